import { ConfigError } from "../../core/errors.ts";
import { EventLimit, httpAudit } from "../audit/index.ts";
import type { ApiContext } from "../context.ts";
import {
  type MachineClients,
  type OidcPorts,
  type OidcSettings,
  RelyingParty,
} from "../oidc/index.ts";
import type { Asker, AuthVerdict, Principal } from "../ports.ts";
import type { Route } from "../route.ts";
import { removeExpired } from "../store/index.ts";
import { AddressLimit } from "./address-limit.ts";
import { readKeyRing } from "./key-ring.ts";
import { type AuthOptions, authOptionsProblems } from "./options.ts";
import { Pages } from "./pages.ts";
import type { AuthParts } from "./parts.ts";
import { RecentEnds } from "./recent-ends.ts";
import { SessionAuth } from "./session-auth.ts";
import { SessionCookie } from "./session-cookie.ts";
import { SessionEndings } from "./session-endings.ts";
import { sessionRoutes } from "./session-routes.ts";
import { signInRoutes } from "./sign-in-routes.ts";
import { signOutRoutes } from "./sign-out-routes.ts";
import { StoreLogouts } from "./store-logouts.ts";
import { TokenBox } from "./token-box.ts";
import { userRoutes } from "./user-routes.ts";

/** How people sign in, built and wired. */
export interface Auth {
  /** `/`, `/api/auth/…` and `/api/users…`. */
  readonly routes: readonly Route[];
  readonly party: RelyingParty;
  /**
   * The verdict on the login cookie's value. Never rejects.
   *
   * @param isPassive whether the request is no activity of a person
   */
  authenticateCookie(value: string, asker: Asker, isPassive: boolean): Promise<AuthVerdict>;
  /**
   * Who is signed in, for a route that is open: `call.cookie` and the call. Null for nobody.
   *
   * @throws ApiError `unavailable` where the database is away
   */
  personOf(cookie: string | null, asker: Asker): Promise<Principal | null>;
  /** Words for readiness. A provider that is down does not make the server unready. */
  readonly state: Readonly<Record<string, string>>;
  /**
   * Removes what has run out, {@link removeExpired} of the store included, and cuts what still runs in the name of
   * sessions that are over: to be called once a minute or so.
   */
  removeExpired(): Promise<void>;
  /** Discovers the provider in the background. Never throws. */
  warmUp(): void;
  /** Stops the background work. Idempotent. */
  close(): void;
}

/**
 * Builds it. Nothing is asked of the provider before it is needed.
 *
 * @param ports its `clock.epochMs` is the clock of the context and of the store
 * @throws ConfigError with every option that cannot be used
 */
export function createAuth(
  context: ApiContext,
  options: AuthOptions,
  settings: OidcSettings,
  ports: OidcPorts,
  machineClients: MachineClients,
): Auth {
  const parts = partsOf(context, options, settings, ports, machineClients);
  const { party, sessions } = parts;
  return {
    routes: [
      ...signInRoutes(parts),
      ...signOutRoutes(parts),
      ...sessionRoutes(parts),
      ...userRoutes(parts),
    ],
    party,
    authenticateCookie: (value, asker, isPassive) => sessions.authenticate(value, asker, isPassive),
    personOf: async (cookie, asker) => {
      const { session } = await sessions.visitor(cookie, asker);
      return session === null ? null : sessions.principalOf(session);
    },
    get state() {
      const client = party.isPublicClient ? "public" : "confidential";
      return { oidc: party.state, oidc_client: client };
    },
    removeExpired: async () => {
      const ended = await removeExpired(context.store, { idleMs: options.sessionIdleMs });
      parts.endings.ended(ended, "timed_out", { asker: null, actor: null });
    },
    warmUp: () => party.warmUp(),
    close: () => party.close(),
  };
}

function partsOf(
  context: ApiContext,
  options: AuthOptions,
  settings: OidcSettings,
  ports: OidcPorts,
  machineClients: MachineClients,
): AuthParts {
  const signing = readKeyRing(options.sessionSecrets);
  const sealing = readKeyRing(options.tokenEncKeys);
  const problems = authOptionsProblems(options);
  if (problems.length > 0 || !signing.ok || !sealing.ok) throw new ConfigError(problems);
  const own = new URL(settings.publicBaseUrl).origin;
  const cookies = new SessionCookie(signing.ring, own.startsWith("https:"));
  const recent = new RecentEnds();
  const refusals = httpAudit(context.audit, context.now);
  const logouts = new StoreLogouts(context.store);
  const limit = (perMinuteMax: number): AddressLimit =>
    new AddressLimit(perMinuteMax, options.limitAddressesMax, ports.clock);
  return {
    context,
    options,
    settings,
    timers: ports.timers,
    party: new RelyingParty(settings, ports, { logouts, machineClients }),
    logouts,
    cookies,
    box: new TokenBox(sealing.ring),
    sessions: new SessionAuth(context, options, cookies, recent, refusals),
    endings: new SessionEndings(context, recent),
    recent,
    pages: new Pages(settings.publicBaseUrl),
    refusals,
    failedNotices: new EventLimit(context.now),
    origins: { own, others: new Set(options.corsOrigins) },
    limits: {
      logins: limit(options.loginsPerMinute),
      callbacks: limit(options.callbacksPerMinute),
      backchannelFailures: limit(options.backchannelFailuresPerMinute),
    },
  };
}
