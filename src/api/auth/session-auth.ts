import { AppError } from "../../core/errors.ts";
import type { ApiContext } from "../context.ts";
import { apiError } from "../errors.ts";
import type { Asker, AuthVerdict, HttpAudit, Principal } from "../ports.ts";
import type { ReplyHeaders } from "../reply.ts";
import {
  type BrowserTrace,
  type CurrentLoginSession,
  findBrowserTrace,
  findLoginSession,
  STORE_RETRY_S,
} from "../store/index.ts";
import type { AuthOptions } from "./options.ts";
import type { RecentEnds } from "./recent-ends.ts";
import { askerOf } from "./requests.ts";
import type { CookieFault, GenuineCookie, SessionCookie } from "./session-cookie.ts";
import { sessionRefOf } from "./session-endings.ts";

const NO_SCOPES: ReadonlySet<string> = new Set();

/** Who a browser is, on a route that is open. */
export interface Visitor {
  /** Null without a cookie, and for one that we have not issued. */
  readonly browser: GenuineCookie | null;
  /** Null where nobody is signed in. */
  readonly session: CurrentLoginSession | null;
}

/** Turns cookies into sessions. */
export class SessionAuth {
  readonly #context: ApiContext;
  readonly #options: AuthOptions;
  readonly #cookies: SessionCookie;
  readonly #recent: RecentEnds;
  readonly #refusals: HttpAudit;

  constructor(
    context: ApiContext,
    options: AuthOptions,
    cookies: SessionCookie,
    recent: RecentEnds,
    refusals: HttpAudit,
  ) {
    this.#context = context;
    this.#options = options;
    this.#cookies = cookies;
    this.#recent = recent;
    this.#refusals = refusals;
  }

  /**
   * The verdict on a cookie's value: that of a live session, or none. One that we have not issued is told to the audit
   * log. Whatever does not open a session is removed from the browser, unless a sign-in is under way with it. Never
   * rejects.
   *
   * @param isPassive leaves the idle limit where it is
   */
  async authenticate(value: string, asker: Asker, isPassive: boolean): Promise<AuthVerdict> {
    const reading = this.#cookies.read(value);
    if (!reading.ok) {
      this.#tellForged(reading.fault, asker);
      return { ok: false, reason: "rejected", clearCookie: this.#cookies.clear() };
    }
    const { cookie } = reading;
    try {
      const session = await this.#find(cookie.key, !isPassive);
      if (session === null) return await this.#endedVerdict(cookie);
      const verdict = { ok: true, principal: this.principalOf(session) } as const;
      if (!cookie.isStale) return verdict;
      return { ...verdict, setCookie: () => this.#reissued(cookie, session) };
    } catch (error) {
      this.#logFailure(error);
      return { ok: false, reason: "unavailable", retryAfter: STORE_RETRY_S };
    }
  }

  /**
   * The same for open routes, where nothing is refused.
   *
   * @throws ApiError `unavailable` where the database is away
   */
  async visitor(value: string | null, asker: Asker): Promise<Visitor> {
    const reading = value === null ? null : this.#cookies.read(value);
    if (reading === null) return { browser: null, session: null };
    if (!reading.ok) {
      this.#tellForged(reading.fault, asker);
      return { browser: null, session: null };
    }
    const browser = reading.cookie;
    return { browser, session: await this.stored(this.#find(browser.key, true)) };
  }

  /** `Set-Cookie` where the visitor's session has a cookie under an old key; nothing otherwise. */
  reissue({ browser, session }: Visitor): ReplyHeaders {
    if (browser === null || session === null || !browser.isStale) return {};
    const cookie = this.#reissued(browser, session);
    return cookie === null ? {} : { "set-cookie": cookie };
  }

  /** Seconds that the cookie of a session lasts; null for as long as the browser runs. */
  maxAgeSec(absoluteExpiresAtMs: number): number | null {
    if (!this.#options.sessionPersistent) return null;
    return Math.max(1, Math.floor((absoluteExpiresAtMs - this.#context.now()) / 1_000));
  }

  principalOf(session: CurrentLoginSession): Principal {
    return {
      kind: "session",
      ref: sessionRefOf(session.key),
      tenantId: session.tenant,
      userId: session.userId,
      role: session.role,
      scopes: NO_SCOPES,
      session: {
        key: session.key,
        publicId: session.publicId,
        authTimeMs: session.authTime,
        createdAtMs: session.createdAt,
        idleExpiresAtMs: session.lastSeenAt + this.#options.sessionIdleMs,
        absoluteExpiresAtMs: session.absoluteExpiresAt,
      },
    };
  }

  /**
   * Waits for the store.
   *
   * @throws ApiError `unavailable` where the database is away; errors of the store's own as they are
   */
  async stored<T>(work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      throw this.unavailable(error);
    }
  }

  /** What is known of a browser that is not signed in: by this process, whose answers may be on their way, or by all. */
  async traceOf(key: string): Promise<BrowserTrace> {
    const trace = await findBrowserTrace(this.#context.store, key);
    return this.#recent.find(key) === "replaced" ? "replaced" : trace;
  }

  /** What a failure of the store is to a client; errors of the store's own stay as they are. */
  unavailable(error: unknown): unknown {
    if (error instanceof AppError && error.code !== "ERR_STORE_BUSY") return error;
    this.#logFailure(error);
    return apiError("unavailable", { retryAfter: STORE_RETRY_S });
  }

  #find(key: string, slide: boolean): Promise<CurrentLoginSession | null> {
    const idleMs = this.#options.sessionIdleMs;
    return findLoginSession(this.#context.store, key, { idleMs, slide });
  }

  async #endedVerdict({ key }: GenuineCookie): Promise<AuthVerdict> {
    // A sign-in is under way with it, or a new cookie is on its way.
    if ((await this.traceOf(key)) !== null) return { ok: false, reason: "ended" };
    return { ok: false, reason: "ended", clearCookie: this.#cookies.clear() };
  }

  #reissued(
    { sid, key }: GenuineCookie,
    { absoluteExpiresAt }: CurrentLoginSession,
  ): string | null {
    if (this.#recent.find(key) !== null) return null;
    return this.#cookies.write(sid, this.maxAgeSec(absoluteExpiresAt));
  }

  #tellForged(reason: CookieFault, asker: Asker): void {
    const about = { event: "authz_fail", asker: askerOf(asker), principal: null } as const;
    this.#refusals.record({ ...about, route: "", reason });
  }

  #logFailure(error: unknown): void {
    const code = error instanceof Error && "code" in error ? String(error.code) : "";
    this.#context.logger.error({ code }, "the database cannot be used");
  }
}
