import type { Clock } from "../../core/clock.ts";

/**
 * What this part takes from others. It has no server, no database, no clock and no timer of its own.
 *
 * A pino logger is an {@link OidcLog}; the store of login sessions implements {@link PendingSignIns} and
 * {@link LogoutSink}; the registry of machine clients implements {@link MachineClients}.
 */

/** Fields of a line never hold a code, a token, a secret or text that the identity provider sent. */
export interface OidcLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** One clock for everything: monotonic for intervals, the wall's for what tokens carry. */
export interface OidcClock extends Clock {
  /** Milliseconds since 1970 in UTC. */
  epochMs(): number;
}

/** One-shot timers; the process's ones must not keep it alive. */
export interface OidcTimers {
  /** Runs `callback` once after `delayMs` milliseconds. Returns a handle for {@link OidcTimers.clear}. */
  set(callback: () => void, delayMs: number): unknown;
  clear(handle: unknown): void;
}

/** The subset of `fetch` that calls to the identity provider need. */
export type OidcFetch = (url: string, init: RequestInit) => Promise<Response>;

/** What the identity provider is called for. */
export type IdpCallKind = "discovery" | "keys" | "token" | "userinfo";

/** `failed`: no answer, one that cannot be used, or a status of 500 and more; `refused`: not sent, as it failed before. */
export type IdpCallResult = "answered" | "failed" | "refused";

/** Is told of each call to an identity provider. Must not throw. */
export interface IdpObserver {
  idpCalled(kind: IdpCallKind, result: IdpCallResult): void;
}

/** What every class of this part is built with. */
export interface OidcPorts {
  readonly clock: OidcClock;
  readonly timers: OidcTimers;
  readonly log: OidcLog;
  /** Uniform in [0, 1), for back-off. */
  readonly random?: () => number;
  /** Another transport, for example one with a proxy. */
  readonly fetch?: OidcFetch;
  readonly observer?: IdpObserver;
}

/** A sign-in that was begun. Secret: it is kept on the server and never sent to a browser. */
export interface PendingSignIn {
  readonly state: string;
  readonly nonce: string;
  readonly codeVerifier: string;
  /** The issuer that the browser was sent to, as its metadata spells it. RFC 9207, section 2.4. */
  readonly issuer: string;
  /** A path of ours that was valid at the start. It is checked again at the end. */
  readonly returnTo: string;
  readonly createdAtMs: number;
  /** The person was to prove again who they are: `auth_time` must be new. */
  readonly reauth: boolean;
}

/**
 * The pending sign-ins of **one browser**. Whoever calls hands in the ones of the browser that asks: a state of
 * another browser is not found.
 */
export interface PendingSignIns {
  /** Keeps it, for at least {@link PENDING_TTL_MS}; may evict the oldest ones of the browser. */
  put(pending: PendingSignIn): Promise<void>;
  /** Finds by state and removes, in one atomic step: of two calls at a time one gets it. */
  take(state: string): Promise<PendingSignIn | null>;
}

/** How long a sign-in may take from start to callback. */
export const PENDING_TTL_MS = 600_000;

/** A logout that the identity provider announced, verified. */
export interface LogoutNotice {
  readonly issuer: string;
  /** Ends the sessions of this provider session. Where it is null, all of `sub` that began by `issuedAtMs`. */
  readonly sid: string | null;
  readonly sub: string | null;
  readonly issuedAtMs: number;
  readonly tokenId: string;
  /** Until then `tokenId` must be remembered. */
  readonly tokenIdUntilMs: number;
  /** Until then the notice itself must be remembered, see {@link noticeCovers}. */
  readonly tombstoneUntilMs: number;
}

/** Where announced logouts take effect. */
export interface LogoutSink {
  /**
   * In one step of the store: where (`issuer`, `tokenId`) is known, nothing and `replayed`; else remembers it, ends
   * the sessions that it names and keeps the notice as a tombstone.
   *
   * @see OpenID Connect Back-Channel Logout 1.0, sections 2.6 and 2.7
   */
  apply(notice: LogoutNotice): Promise<"applied" | "replayed">;
  /**
   * Whether a tombstone covers this sign-in. The store must ask itself again in the step that creates the session.
   */
  isEnded(signIn: SignInRef): Promise<boolean>;
}

/** What a tombstone is compared with. */
export interface SignInRef {
  readonly issuer: string;
  readonly sub: string;
  readonly sid: string | null;
  /** When the ID token was issued. */
  readonly issuedAtMs: number;
}

/**
 * Whether a logout ends this sign-in: by the provider's session where the notice names one, else by the subject where
 * the sign-in is not newer than the notice, so that a late notice does not end a newer sign-in. Both times are whole
 * seconds: within one second the notice wins.
 */
export function noticeCovers(notice: LogoutNotice, signIn: SignInRef): boolean {
  if (notice.issuer !== signIn.issuer) return false;
  if (notice.sub !== null && notice.sub !== signIn.sub) return false;
  if (notice.sid !== null) return notice.sid === signIn.sid;
  return notice.sub !== null && signIn.issuedAtMs <= notice.issuedAtMs;
}

/** A machine client that an administrator registered. */
export interface MachineClient {
  readonly tenant: string;
  /** Scopes that its tokens may carry at most. */
  readonly scopes: readonly string[];
}

export interface MachineClients {
  /** Null for one that is not registered: its tokens are refused. */
  find(issuer: string, clientId: string): Promise<MachineClient | null>;
}
