import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { pino } from "pino";
import {
  AUTH_DEFAULTS,
  type Auth,
  type AuthOptions,
  createAuth,
} from "../../../src/api/auth/index.ts";
import {
  API_DEFAULTS,
  type ApiContext,
  type ApiServer,
  type AuditEntry,
  type HttpAuditEvent,
  type RelayClient,
  type Route,
  Router,
  RunningByPrincipal,
  startApiServer,
} from "../../../src/api/index.ts";
import { checkOidcOptions, type OidcOptions, type OidcPorts } from "../../../src/api/oidc/index.ts";
import { openDatabase, type Store } from "../../../src/api/store/index.ts";
import type { CredentialChanges } from "../../../src/core/contract.ts";
import { MemoryClients } from "../oidc/ports.ts";
import { BASE_URL, CLIENT_SECRET } from "../oidc/rig.ts";
import { Browser } from "./browser.ts";

const CLIENT = {
  oidcClientId: "hawser",
  oidcClientAuth: "client_secret_basic",
  oidcClientSecret: CLIENT_SECRET,
} as const;

/** A key ring's text with fresh keys under these ids. */
export function keyRing(...ids: readonly string[]): string {
  return ids.map((id) => `${id}:${randomBytes(32).toString("base64")}`).join(",");
}

/** What {@link startAuth} is told; the rest is as in production, with limits that tests do not meet by accident. */
export interface AuthRigOptions {
  readonly issuer: string;
  readonly ports: OidcPorts;
  readonly oidc?: OidcOptions;
  readonly auth?: Partial<AuthOptions>;
  /** Default: a new SQLite file. */
  readonly store?: Store;
  readonly routes?: readonly Route[];
  readonly authFailuresMax?: number;
}

/** An API server with the routes of signing in. */
export interface AuthRig {
  readonly auth: Auth;
  readonly server: ApiServer;
  readonly store: Store;
  readonly context: ApiContext;
  readonly baseUrl: string;
  readonly options: AuthOptions;
  readonly audit: AuditEntry[];
  readonly httpAudit: HttpAuditEvent[];
  readonly announced: Partial<CredentialChanges>[];
  readonly lines: string[];
  /** A new browser that reaches the server by its base URL. */
  browser(): Browser;
  url(path: string): string;
  /** Posts a form as a server does, not a browser. */
  post(path: string, body: string, headers?: Readonly<Record<string, string>>): Promise<Response>;
  /** Names of audit events, in order. */
  events(): string[];
}

export async function startAuth(t: TestContext, given: AuthRigOptions): Promise<AuthRig> {
  const baseUrl = given.oidc?.publicBaseUrl ?? BASE_URL;
  const { clock } = given.ports;
  const store = given.store ?? (await openStore(t, () => clock.epochMs()));
  const audit: AuditEntry[] = [];
  const httpAudit: HttpAuditEvent[] = [];
  const announced: Partial<CredentialChanges>[] = [];
  const lines: string[] = [];
  const logger = pino({ level: "trace" }, { write: (line: string) => void lines.push(line) });
  const context: ApiContext = {
    store,
    relay: null as unknown as RelayClient,
    changes: { announce: async (changes) => void announced.push(changes) },
    audit: { record: (entry) => audit.push(entry), tell: (entry) => audit.push(entry) },
    endings: new RunningByPrincipal(),
    logger,
    now: () => clock.epochMs(),
  };
  const options: AuthOptions = {
    ...AUTH_DEFAULTS,
    sessionSecrets: keyRing("k1"),
    tokenEncKeys: keyRing("e1"),
    loginsPerMinute: 10_000,
    callbacksPerMinute: 10_000,
    ...given.auth,
  };
  const settings = checkOidcOptions({
    publicBaseUrl: baseUrl,
    oidcIssuer: given.issuer,
    oidcAllowInsecure: true,
    ...(given.oidc?.oidcClientAuth === undefined ? CLIENT : {}),
    ...given.oidc,
  });
  const auth = createAuth(context, options, settings, given.ports, new MemoryClients());
  t.after(() => auth.close());
  const router = new Router("public", [...auth.routes, ...(given.routes ?? [])]);
  const api = { ...API_DEFAULTS, listenHost: "127.0.0.1", listenPort: 0, publicBaseUrl: baseUrl };
  const server = await startApiServer(
    {
      ...api,
      corsOrigins: options.corsOrigins,
      authFailuresMax: given.authFailuresMax ?? API_DEFAULTS.authFailuresMax,
    },
    {
      router,
      authenticator: {
        authenticate: (credential, _admits, asker, isPassive) =>
          credential.kind === "cookie"
            ? auth.authenticateCookie(credential.value, asker, isPassive)
            : { ok: false, reason: "rejected" },
      },
      logger,
      audit: { record: (event) => httpAudit.push(event) },
      clock,
    },
  );
  t.after(() => server.close());
  const origins = new Map([[new URL(baseUrl).origin, server.port]]);
  return {
    auth,
    server,
    store,
    context,
    baseUrl,
    options,
    audit,
    httpAudit,
    announced,
    lines,
    browser: () => new Browser(origins),
    url: (path) => baseUrl + path,
    post: (path, body, headers = {}) =>
      fetch(`http://127.0.0.1:${server.port}${path}`, {
        method: "POST",
        headers: { "content-type": "application/x-www-form-urlencoded", ...headers },
        body,
        redirect: "manual",
      }),
    events: () => audit.map(({ event }) => event),
  };
}

/** A store of its own in a file that goes with the test. */
export async function openStore(t: TestContext, now: () => number): Promise<Store> {
  const folder = await mkdtemp(join(tmpdir(), "hawser-auth-"));
  const store = await openDatabase(`sqlite:${join(folder, "hawser.db")}`, { now });
  t.after(async () => {
    await store.close();
    await rm(folder, { recursive: true, force: true });
  });
  return store;
}
