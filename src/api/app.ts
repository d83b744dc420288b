import type { Writable } from "node:stream";
import type { Logger } from "pino";
import { ConfigError, type ConfigProblem } from "../core/errors.ts";
import { listenProblem } from "../core/listen-problem.ts";
import { hawserVersion } from "../core/version.ts";
import {
  type AuditStream,
  auditRoutes,
  DatabaseAuditLog,
  httpAudit,
  openAuditStream,
  quietLog,
} from "./audit/index.ts";
import { type Auth, type AuthOptions, authOptionsProblems, createAuth } from "./auth/index.ts";
import {
  ApiAuthenticator,
  BearerAuthenticator,
  PrincipalLimits,
  type RequestRates,
  StoredMachineClients,
} from "./bearer/index.ts";
import { cliLoginRoutes, ownKeyRoutes } from "./cli-login/index.ts";
import type { ApiContext, AuditEntry, AuditLog } from "./context.ts";
import { sessionCookieName } from "./credential.ts";
import { type DeviceOptions, deviceRoutes, LateDevices } from "./devices/index.ts";
import { RunningByPrincipal } from "./endings.ts";
import { apiError } from "./errors.ts";
import { type ForwardOptions, forwardRoute } from "./forward/index.ts";
import { Housekeeping } from "./housekeeping.ts";
import { keyRoutes, machineClientRoutes } from "./keys/index.ts";
import { ApiMetrics } from "./metrics.ts";
import type { OidcFetch, OidcPorts, OidcSettings } from "./oidc/index.ts";
import { API_DEFAULTS, type ApiOptions } from "./options.ts";
import type { Readiness } from "./ports.ts";
import { RelayClient } from "./relay-client.ts";
import {
  authorizeRoute,
  InternalAuthenticator,
  RelayChangeQueue,
  tunnelsRoute,
} from "./relay-link/index.ts";
import type { Route } from "./route.ts";
import { Router } from "./router.ts";
import { type ApiServer, apiOptionsProblems, startApiServer } from "./server.ts";
import { descriptionRoute, healthRoutes, metricsRoute } from "./service-routes.ts";
import {
  countLoginSessions,
  isReachable,
  isStoreAway,
  openDatabase,
  STORE_RETRY_S,
  type Store,
} from "./store/index.ts";
import { systemTime } from "./system-time.ts";

/** What a whole API server is told at start. */
export interface ApiAppOptions {
  /** The public listener. */
  readonly http: ApiOptions;
  /** The listener that relays ask, and health and metrics for whoever is near. */
  readonly internal: {
    readonly listenHost: string;
    readonly listenPort: number;
    /** The shared secret of the internal APIs, ours and the relay's. */
    readonly secret: string;
  };
  /** `sqlite:<path>` or `postgres://…`. */
  readonly databaseUrl: string;
  /** Of the relay's internal API: `http://127.0.0.1:3801`. */
  readonly relayUrl: string;
  readonly oidc: OidcSettings;
  readonly auth: AuthOptions;
  readonly devices: DeviceOptions;
  /** Requests to devices through the API at once; the defaults of that part where it is left out. */
  readonly forward?: Pick<ForwardOptions, "inFlightMax" | "inFlightPerTenantMax">;
  /** Requests a minute of one caller, by what it is; the defaults of that part where it is left out. */
  readonly rates?: RequestRates;
  /** Where lines of the audit log go: path of a file or a stream; null for none. */
  readonly auditLog: string | Writable | null;
}

/** What an API server is given besides its options. */
export interface ApiAppDeps {
  readonly logger: Logger;
  /** Milliseconds since 1970 in UTC; the system's clock by default. */
  readonly now?: () => number;
  /** How the identity provider is called; the global `fetch` by default. */
  readonly oidcFetch?: OidcFetch;
}

/** A running API server. */
export interface ApiApp {
  readonly port: number;
  readonly internalPort: number;
  /** Every route of the public listener, and of the internal one. */
  readonly routes: readonly Route[];
  readonly internalRoutes: readonly Route[];
  readonly store: Store;
  /** Reads certificates again. */
  reload(): void;
  /**
   * Readiness goes off; running requests of the public listener may finish for as long as the options say. Relays are
   * answered as before, and what they tell is taken, until {@link stop} or {@link close}.
   */
  stopPublic(): Promise<void>;
  /**
   * Readiness goes off; running requests may finish for as long as the options say; what is to be told and written is
   * told and written. A second call gives the same promise.
   */
  stop(): Promise<void>;
  /** Cuts what runs, and else does as {@link stop}. */
  close(): Promise<void>;
}

/** Every option that cannot be used. Opens nothing. */
export function apiAppProblems(options: ApiAppOptions): ConfigProblem[] {
  return [...apiOptionsProblems(options.http), ...authOptionsProblems(options.auth)];
}

/**
 * Starts an API server: opens its database, listens on both ports.
 *
 * @throws ConfigError for options that cannot be used, and for a database, an audit file or a port that cannot be had
 */
export async function startApi(options: ApiAppOptions, deps: ApiAppDeps): Promise<ApiApp> {
  const problems = apiAppProblems(options);
  if (problems.length > 0) throw new ConfigError(problems);
  const { logger, now = Date.now } = deps;
  const store = await openDatabase(options.databaseUrl, {
    now,
    setting: "databaseUrl",
    onIdleError: (error) => logger.warn({ reason: error.message }, "a database connection ended"),
  });
  let stream: AuditStream | null;
  try {
    stream = await openAuditStream(options.auditLog, { logger });
  } catch (error) {
    await store.close();
    throw error;
  }
  const app = new RunningApi(options, deps, store, stream);
  try {
    await app.start();
  } catch (error) {
    await app.close();
    throw error;
  }
  return app;
}

class RunningApi implements ApiApp {
  readonly store: Store;
  readonly #options: ApiAppOptions;
  readonly #deps: ApiAppDeps;
  readonly #metrics: ApiMetrics;
  readonly #relay: RelayClient;
  readonly #changes: RelayChangeQueue;
  readonly #audit: DatabaseAuditLog;
  readonly #context: ApiContext;
  readonly #auth: Auth;
  readonly #bearer: BearerAuthenticator;
  readonly #late: LateDevices;
  readonly #housekeeping: Housekeeping;
  readonly #router = new Router("public");
  readonly #internalRouter = new Router("internal");
  #public: ApiServer | null = null;
  #internal: ApiServer | null = null;
  #isStopping = false;
  #ended: Promise<void> | null = null;

  constructor(options: ApiAppOptions, deps: ApiAppDeps, store: Store, stream: AuditStream | null) {
    const { logger, now = Date.now } = deps;
    this.#options = options;
    this.#deps = deps;
    this.store = store;
    this.#metrics = new ApiMetrics({
      liveSessions: () => countLoginSessions(store, { idleMs: options.auth.sessionIdleMs }),
    });
    const { secret } = options.internal;
    this.#relay = new RelayClient({ baseUrl: options.relayUrl, secret, logger });
    this.#changes = new RelayChangeQueue({ relay: this.#relay, logger });
    this.#audit = new DatabaseAuditLog({ store, stream, logger, now });
    this.#context = {
      store,
      relay: this.#relay,
      changes: this.#changes,
      audit: counted(quietLog(this.#audit, now), this.#metrics),
      endings: new RunningByPrincipal(),
      logger,
      now,
    };
    const ports: OidcPorts = {
      clock: { now: systemTime.now, epochMs: now },
      timers: systemTime,
      log: logger,
      observer: this.#metrics,
      ...(deps.oidcFetch === undefined ? {} : { fetch: deps.oidcFetch }),
    };
    const clients = new StoredMachineClients(store);
    this.#auth = createAuth(this.#context, options.auth, options.oidc, ports, clients);
    this.#bearer = new BearerAuthenticator({
      store,
      accessTokens: options.oidc.accessTokens === null ? null : this.#auth.party.accessTokens,
      logger,
    });
    this.#late = new LateDevices(this.#context);
    this.#housekeeping = new Housekeeping(() => this.#keepHouse(), { logger });
    this.#addRoutes();
  }

  get port(): number {
    return this.#public?.port ?? 0;
  }

  get internalPort(): number {
    return this.#internal?.port ?? 0;
  }

  get routes(): readonly Route[] {
    return this.#router.routes;
  }

  get internalRoutes(): readonly Route[] {
    return this.#internalRouter.routes;
  }

  async start(): Promise<void> {
    const { logger, now = Date.now } = this.#deps;
    const { http, internal, rates } = this.#options;
    const audit = httpAudit(this.#context.audit, now);
    const observer = this.#metrics;
    const translate = translator(logger);
    const authenticator = new ApiAuthenticator(
      (value, _admits, asker, isPassive) => this.#auth.authenticateCookie(value, asker, isPassive),
      this.#bearer,
    );
    this.#internal = await listening(
      { setting: "apiInternal", host: internal.listenHost, port: internal.listenPort },
      startApiServer(
        {
          ...API_DEFAULTS,
          listenHost: internal.listenHost,
          listenPort: internal.listenPort,
          // Nobody guesses 32 random bytes, and relays share their address with whoever else is on this machine.
          authFailuresMax: Number.MAX_SAFE_INTEGER,
          publicBaseUrl: http.publicBaseUrl,
        },
        {
          router: this.#internalRouter,
          authenticator: new InternalAuthenticator(internal.secret),
          logger,
          audit,
          observer,
          translate,
        },
      ),
    );
    const gate = new PrincipalLimits({ now, ...(rates === undefined ? {} : { rates }) });
    this.#public = await listening(
      { setting: "api", host: http.listenHost, port: http.listenPort },
      startApiServer(http, {
        router: this.#router,
        authenticator,
        logger,
        audit,
        observer,
        translate,
        gate,
      }),
    );
    this.#auth.warmUp();
    this.#housekeeping.start();
  }

  reload(): void {
    this.#public?.reloadTls();
  }

  async stopPublic(): Promise<void> {
    this.#isStopping = true;
    await this.#public?.stop();
  }

  stop(): Promise<void> {
    this.#ended ??= this.#end(false);
    return this.#ended;
  }

  async close(): Promise<void> {
    await this.#public?.close();
    await this.#internal?.close();
    this.#ended ??= this.#end(true);
    await this.#ended;
  }

  async #end(isAtOnce: boolean): Promise<void> {
    this.#isStopping = true;
    if (!isAtOnce) {
      await this.#public?.stop();
      await this.#internal?.stop();
    }
    await this.#housekeeping.stop();
    this.#auth.close();
    await this.#bearer.close();
    await this.#changes.close();
    await this.#audit.close();
    await this.#relay.destroy();
    await this.store.close();
  }

  #addRoutes(): void {
    const context = this.#context;
    const { http, devices, forward } = this.#options;
    const ready: Readiness = { check: () => this.#readiness() };
    const info = {
      title: "Hawser",
      version: hawserVersion(),
      publicBaseUrl: http.publicBaseUrl,
      cookieName: sessionCookieName(http.publicBaseUrl.startsWith("https:")),
    };
    const routes = [
      ...healthRoutes(ready),
      descriptionRoute(this.#router, info),
      ...this.#auth.routes,
      ...deviceRoutes(context, devices),
      ...keyRoutes(context),
      ...machineClientRoutes(context),
      ...auditRoutes(context),
      ...cliLoginRoutes(context, {
        publicBaseUrl: http.publicBaseUrl,
        authenticateCookie: (value, asker) => this.#auth.authenticateCookie(value, asker, false),
      }),
      ...ownKeyRoutes(context),
      forwardRoute(context, { ...forward, publicBaseUrl: http.publicBaseUrl }),
    ];
    for (const each of routes) this.#router.add(each);
    const internalRoutes = [
      ...healthRoutes(ready),
      metricsRoute(() => this.#metrics.render(), this.#metrics.mediaType),
      authorizeRoute(context),
      tunnelsRoute(context),
    ];
    for (const each of internalRoutes) this.#internalRouter.add(each);
  }

  async #keepHouse(): Promise<void> {
    await this.#late.round();
    await this.#auth.removeExpired();
  }

  /** An identity provider or a relay that is away does not make the server unready: all else goes on. */
  async #readiness(): ReturnType<Readiness["check"]> {
    const isUp = await isReachable(this.store);
    const detail = {
      ...this.#auth.state,
      database: isUp ? "up" : "down",
      ...(this.#isStopping ? { server: "stopping" } : {}),
    };
    return { ready: isUp && !this.#isStopping, detail };
  }
}

/** A database that is away makes a request fail for now: the client is told to come again. */
function translator(logger: Logger): (error: unknown) => unknown {
  return (error) => {
    if (!isStoreAway(error)) return error;
    const code = error instanceof Error && "code" in error ? String(error.code) : "";
    logger.warn({ code }, "the database cannot be asked now");
    return apiError("unavailable", { retryAfter: STORE_RETRY_S, cause: error });
  };
}

/** What keeps a server from listening is told by the settings of its host and port. */
async function listening(
  { setting, host, port }: { setting: "api" | "apiInternal"; host: string; port: number },
  starting: Promise<ApiServer>,
): Promise<ApiServer> {
  try {
    return await starting;
  } catch (error) {
    const { code, syscall } = (error ?? {}) as NodeJS.ErrnoException;
    const isOurs = code !== undefined && (syscall === "listen" || syscall === "getaddrinfo");
    if (!isOurs) throw error;
    const names = { hostSetting: `${setting}Host`, portSetting: `${setting}Port` };
    throw listenProblem({ host, port, ...names }, code);
  }
}

/** The same log, with each event counted. */
function counted(log: AuditLog, metrics: ApiMetrics): AuditLog {
  return {
    record: (entry: AuditEntry) => {
      metrics.eventRecorded(entry);
      log.record(entry);
    },
    tell: (entry: AuditEntry) => {
      metrics.eventRecorded(entry);
      log.tell(entry);
    },
    flush: async () => (await log.flush?.()) ?? true,
  };
}
