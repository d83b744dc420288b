/**
 * What the HTTP layer needs from others: who the caller is, whether the server is ready, where events of security go.
 * Declared here, implemented elsewhere, passed in by `cli`.
 */

export const ROUTE_CLASSES = ["public", "page", "session", "key", "device", "internal"] as const;
/** Who may use a route. There is no default. */
export type RouteClass = (typeof ROUTE_CLASSES)[number];

/** What a credential turned out to be. */
export type PrincipalKind = "session" | "key" | "service" | "device" | "internal";

/**
 * The one table of what opens which class. A principal of any other kind is answered 401, as if it were unknown.
 *
 * A person's session may do what a key may; a key may not do what needs a person.
 */
export const CLASS_ADMITS: Readonly<Record<RouteClass, readonly PrincipalKind[]>> = {
  public: [],
  page: [],
  session: ["session"],
  key: ["session", "key", "service"],
  device: ["device"],
  internal: ["internal"],
};

/** The one credential of a request. Secret: neither kept nor logged. */
export type Credential =
  | { readonly kind: "cookie"; readonly value: string }
  | { readonly kind: "bearer"; readonly token: string };

/** Who is asking. Holds no secret. */
export interface Principal {
  readonly kind: PrincipalKind;
  /** Public name for logs: a token's reference, or the digest prefix of a session. */
  readonly ref: string;
  /** "" for `internal` alone. */
  readonly tenantId: string;
  readonly userId: string;
  readonly role: "member" | "admin";
  /** What a key, service or device may do. A session is not bound by scopes. */
  readonly scopes: ReadonlySet<string>;
  /** Devices that a key is held to; absent for all of the tenant. */
  readonly devices?: ReadonlySet<string>;
  /** The device itself, for `device` alone. */
  readonly deviceId?: string;
  /** When the credential ends by itself, in milliseconds since 1970; for `key` and `service`. */
  readonly expiresAtMs?: number;
  /** What a key is held to where it carries a limit of its own. */
  readonly requestsPerMinute?: number;
  /** Of a `service` alone: by what the registry knows it. */
  readonly client?: { readonly issuer: string; readonly clientId: string };
  /** Of a `session` alone. */
  readonly session?: SessionFacts;
}

/** What is known of the login session behind a request. Times in milliseconds since 1970. */
export interface SessionFacts {
  /** SHA-256 of the id in the cookie, by which the store knows it: no cookie can be made from it. */
  readonly key: string;
  /** What listings show. */
  readonly publicId: string;
  /** When the person last proved who they are. */
  readonly authTimeMs: number;
  readonly createdAtMs: number;
  readonly idleExpiresAtMs: number;
  readonly absoluteExpiresAtMs: number;
}

/** How a request reached us, for limits and audit. */
export interface Asker {
  readonly requestId: string;
  /** The client's address in its one spelling. */
  readonly address: string;
  readonly userAgent: string;
}

/** The verdict on a credential. Unknown, expired and revoked are one and the same. */
export type AuthVerdict =
  | {
      readonly ok: true;
      readonly principal: Principal;
      /**
       * The login cookie is to be issued anew, under a newer key: gives the whole `Set-Cookie` value. Asked when the
       * head of the answer is written; null where the session has ended meanwhile.
       */
      readonly setCookie?: () => string | null;
    }
  | {
      readonly ok: false;
      /**
       * An `ended` one is genuine, and was good once: it is answered as a rejected one, but nobody guessed anything. A
       * page that goes on asking with it must not use up its address's failures.
       */
      readonly reason: "rejected" | "ended";
      /** A whole `Set-Cookie` value that removes the cookie. */
      readonly clearCookie?: string;
    }
  | { readonly ok: false; readonly reason: "unavailable"; readonly retryAfter: number };

/** Decides credentials. */
export interface Authenticator {
  /**
   * @param admits the kinds that the route takes, so that nothing else need be looked up; the router checks the
   *   answer all the same
   * @param isPassive whether the request is no activity of a person, and must not keep a session alive
   */
  authenticate(
    credential: Credential,
    admits: readonly PrincipalKind[],
    asker: Asker,
    isPassive: boolean,
  ): AuthVerdict | Promise<AuthVerdict>;
}

/** What follows from who is asking, whatever is asked. */
export interface PrincipalGate {
  /** Counts one request of a caller that has proven who it is. Must not throw. */
  pass(principal: Principal): Passed;
}

/** What a {@link PrincipalGate} says of a request. */
export interface Passed {
  /** Fields of whatever is answered, by their names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** The same as they stand in a head, each with its CR LF. */
  readonly lines: string;
  /** Seconds until the next request would be taken; 0 where this one is. */
  readonly retryAfter: number;
}

/** Whether requests can be served. `detail` is public: words such as `up`, never addresses or causes. */
export interface Readiness {
  check(): Promise<{ readonly ready: boolean; readonly detail: Readonly<Record<string, string>> }>;
}

/** What the HTTP layer itself has to tell the audit log. */
export interface HttpAuditEvent {
  readonly event:
    | "malicious_csrf"
    | "authz_fail"
    | "excess_rate_limit_exceeded"
    | "credential_in_url"
    | "duplicate_cookie";
  readonly asker: Asker;
  readonly principal: Principal | null;
  /** The route's pattern; "" before there is one. */
  readonly route: string;
  /** A fixed word: which rule failed. */
  readonly reason: string;
}

/** Takes events of security. Must not throw. */
export interface HttpAudit {
  record(event: HttpAuditEvent): void;
}

/** Counts requests. Must not throw. */
export interface HttpObserver {
  /**
   * One request is over.
   *
   * @param routeClass "" where no route was found
   * @param status of the answer; 499 where the client left before one began
   * @param totalMs from its first byte that was read to the end of the answer
   */
  requestOver(routeClass: RouteClass | "", status: number, totalMs: number): void;
}
