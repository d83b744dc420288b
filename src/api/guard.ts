import type { AuthFailures } from "./auth-failures.ts";
import { mediaTypesOf } from "./body.ts";
import { hasTokenInQuery, type Presented, presentedBy } from "./credential.ts";
import { csrfFault, isForeignRead, isSafe, type Origins } from "./csrf.ts";
import { apiError, insufficientScope, unauthenticated } from "./errors.ts";
import type { Exchange } from "./exchange.ts";
import { after, type Later } from "./later.ts";
import {
  type Authenticator,
  CLASS_ADMITS,
  type Credential,
  type HttpAudit,
  type HttpAuditEvent,
  type Principal,
  type PrincipalGate,
  type PrincipalKind,
} from "./ports.ts";
import type { Route } from "./route.ts";

/** What a {@link Guard} works with. */
export interface GuardDeps {
  readonly authenticator: Authenticator;
  readonly failures: AuthFailures;
  readonly audit: HttpAudit;
  readonly origins: Origins;
  readonly cookieName: string;
  /** Absent where callers are not counted. */
  readonly gate?: PrincipalGate;
}

/** Who passed. */
export interface Admitted {
  readonly principal: Principal | null;
  /** The login cookie's value on open routes. */
  readonly cookie: string | null;
}

/** Stands before every handler: who asks, does a browser ask on its own behalf, may the caller do this. */
export class RouteGuard {
  readonly #deps: GuardDeps;

  constructor(deps: GuardDeps) {
    this.#deps = deps;
  }

  /**
   * Lets a request through to the handler of its route, or throws.
   *
   * @param query of the request where it is ours; "" for that of a tail
   * @throws ApiError `unauthenticated`, `rate_limited`, `unavailable`, `csrf_failed`, `cross_site`,
   *   `insufficient_scope`, `insufficient_role`
   */
  admit(exchange: Exchange, route: Route, query: string): Later<Admitted> {
    const presented = presentedBy(exchange.request, this.#deps.cookieName);
    if (presented.duplicateCookie) this.#tell(exchange, "duplicate_cookie", "cookie");
    if (hasTokenInQuery(query)) this.#tell(exchange, "credential_in_url", "query");
    const { credential } = presented;
    const admits = CLASS_ADMITS[route.class];
    if (admits.length === 0) {
      return { principal: null, cookie: credential?.kind === "cookie" ? credential.value : null };
    }
    const probe = probeOf(route, query);
    return after(this.#principalOf(exchange, presented, admits, probe), (principal) => {
      if (principal === null) return { principal, cookie: null };
      exchange.principal = principal;
      this.#count(exchange, principal);
      if (credential?.kind === "cookie") this.#checkBrowser(exchange, route);
      this.#checkRights(exchange, route, principal);
      return { principal, cookie: null };
    });
  }

  #principalOf(
    exchange: Exchange,
    { credential, presented }: Presented,
    admits: readonly PrincipalKind[],
    probe: Probe,
  ): Later<Principal | null> {
    if (!presented && probe.isOptional) return null;
    if (!presented) throw unauthenticated(false);
    const { failures, authenticator } = this.#deps;
    const retryAfter = failures.retryAfter(exchange.address);
    if (retryAfter > 0) {
      this.#tell(exchange, "excess_rate_limit_exceeded", "auth_failures");
      throw apiError("rate_limited", { retryAfter });
    }
    if (credential === null) return this.#refused(exchange, null, probe);
    const { isPassive } = probe;
    return after(authenticator.authenticate(credential, admits, exchange, isPassive), (verdict) => {
      if (!verdict.ok && verdict.reason === "unavailable") {
        throw apiError("unavailable", { retryAfter: verdict.retryAfter });
      }
      if (verdict.ok && fits(verdict.principal, credential, admits)) {
        if (verdict.setCookie !== undefined) exchange.issueCookie(verdict.setCookie);
        return verdict.principal;
      }
      if (!verdict.ok && verdict.clearCookie !== undefined) {
        exchange.addHeaders({ "set-cookie": verdict.clearCookie });
      }
      if (!verdict.ok && verdict.reason === "ended") {
        if (probe.isOptional) return null;
        throw unauthenticated(true);
      }
      return this.#refused(exchange, credential, probe);
    });
  }

  /** A credential that is none, or was never good. */
  #refused(exchange: Exchange, credential: Credential | null, probe: Probe): null {
    this.#deps.failures.failed(exchange.address);
    if (probe.isOptional && credential?.kind === "cookie") return null;
    throw unauthenticated(true);
  }

  /** Before all that costs more; after who it is, so that nobody uses up what is somebody else's. */
  #count(exchange: Exchange, principal: Principal): void {
    const { gate } = this.#deps;
    if (gate === undefined) return;
    const passed = gate.pass(principal);
    const { retryAfter } = passed;
    exchange.setPassed(passed);
    if (retryAfter === 0) return;
    this.#tell(exchange, "excess_rate_limit_exceeded", "principal");
    const detail = "Too many requests with these credentials.";
    throw apiError("rate_limited", { retryAfter, detail });
  }

  #checkBrowser(exchange: Exchange, route: Route): void {
    const { request, method } = exchange;
    const { origins } = this.#deps;
    if (isSafe(method)) {
      if (isForeignRead(request, origins)) {
        this.#tell(exchange, "authz_fail", "cross_site");
        throw apiError("cross_site");
      }
      return;
    }
    const types = mediaTypesOf(route.body) ?? cookieTypesOf(route);
    const fault = csrfFault(request, origins, types);
    if (fault === null) return;
    this.#tell(exchange, "malicious_csrf", fault);
    throw apiError("csrf_failed");
  }

  #checkRights(exchange: Exchange, route: Route, principal: Principal): void {
    const isBound = principal.kind !== "session" && principal.kind !== "internal";
    if (route.scope !== null && isBound && !principal.scopes.has(route.scope)) {
      this.#tell(exchange, "authz_fail", "scope");
      throw insufficientScope(route.scope);
    }
    if (route.role === "admin" && principal.role !== "admin") {
      this.#tell(exchange, "authz_fail", "role");
      throw apiError("insufficient_role");
    }
  }

  #tell(exchange: Exchange, event: HttpAuditEvent["event"], reason: string): void {
    const { requestId, address, userAgent, principal, route } = exchange;
    const asker = { requestId, address, userAgent };
    this.#deps.audit.record({ event, asker, principal, route: route?.path ?? "", reason });
  }
}

/** What a request to a route that is a probe asks for. */
interface Probe {
  readonly isOptional: boolean;
  readonly isPassive: boolean;
}

function probeOf({ probe }: Route, query: string): Probe {
  if (!probe) return { isOptional: false, isPassive: false };
  const asked = new URLSearchParams(query);
  return { isOptional: asked.get("optional") === "1", isPassive: asked.get("passive") === "1" };
}

/** The types of a streamed body that a cookie's request may have. */
function cookieTypesOf({ body }: Route): readonly string[] {
  const listed = body?.kind === "stream" ? body.cookieMediaTypes : undefined;
  return listed ?? ["application/json"];
}

/** Whether a principal is of a kind that the route takes and that this sort of credential can prove. */
function fits(
  { kind }: Principal,
  credential: Credential,
  admits: readonly PrincipalKind[],
): boolean {
  return admits.includes(kind) && (kind === "session") === (credential.kind === "cookie");
}
