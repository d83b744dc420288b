import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";
import type { TestContext } from "node:test";
import { pino } from "pino";
import { type Agent, connect } from "../../../src/agent/index.ts";
import {
  API_DEFAULTS,
  type ApiApp,
  type ApiAppOptions,
  AUTH_DEFAULTS,
  DEVICE_DEFAULTS,
  startApi,
} from "../../../src/api/index.ts";
import { checkOidcOptions, type OidcOptions } from "../../../src/api/oidc/index.ts";
import {
  API_GATE_DEFAULTS,
  ApiGate,
  RELAY_DEFAULTS,
  type Relay,
  startRelay,
  TunnelReports,
} from "../../../src/relay/index.ts";
import { keyRing } from "../api/auth-rig.ts";
import { Browser, type Page } from "../api/browser.ts";
import {
  API_AUDIENCE,
  type RealIdp,
  type RealIdpOptions,
  startRealIdp,
  UserAgent,
} from "../oidc/real-idp.ts";
import { CLIENT_SECRET } from "../oidc/rig.ts";
import { lendPort } from "../ports.ts";
import { startTap, type Tapped } from "./tap.ts";

/** The internal secret of a product under test. */
export const INTERNAL_SECRET = "canary-internal-secret-of-the-product-5b1d";

/** What of a {@link Product} is not the same for all tests. */
export interface ProductOptions {
  readonly oidc?: OidcOptions;
  readonly api?: (options: ApiAppOptions) => ApiAppOptions;
  /** `sqlite:…` or `postgres://…`; a new SQLite file by default. */
  readonly databaseUrl?: string;
  /** Keeps what goes over the wire, see {@link Product.taps}. */
  readonly tapped?: boolean;
  /** Where the identity provider is found, and what it says of people. */
  readonly idp?: Pick<RealIdpOptions, "host" | "claimsOf">;
}

/** What went over the wire, by where it went. Empty where the product is not tapped. */
export interface Taps {
  /** Browsers, programs and the identity provider to the API server. */
  readonly api?: Tapped | undefined;
  /** Devices and callers to the relay's public port. */
  readonly edge?: Tapped | undefined;
  /** The API server to the relay. */
  readonly relay?: Tapped | undefined;
  /** The relay to the API server. */
  readonly authorize?: Tapped | undefined;
}

/** Everything that a person has after signing in. */
export interface Person {
  readonly name: string;
  readonly browser: Browser;
  /** Calls the API as a page of ours does; a body is sent as JSON. */
  call(method: string, path: string, body?: unknown): Promise<Page>;
  /** The same, and the answer's JSON; fails on a status of 400 and more. */
  json(method: string, path: string, body?: unknown): Promise<Record<string, unknown>>;
}

/** The whole product on loopback: identity provider, API server, relay. */
export interface Product {
  readonly baseUrl: string;
  readonly idp: RealIdp;
  readonly app: ApiApp;
  readonly relay: Relay;
  readonly edgeUrl: string;
  /** Every log line of API server, relay and agents, and every audit line. */
  readonly logs: string[];
  readonly auditLines: string[];
  readonly databaseUrl: string;
  readonly folder: string;
  readonly options: ApiAppOptions;
  readonly taps: Taps;
  /** Heads of all requests that services of devices got. */
  readonly deviceHeads: string[];
  signIn(name: string): Promise<Person>;
  /** Connects an agent with this token whose service answers every path by its own name. */
  connect(token: string, serviceText?: string): Promise<Agent>;
}

/** Starts it. Everything ends with the test. */
export async function startProduct(t: TestContext, given: ProductOptions = {}): Promise<Product> {
  const folder = await mkdtemp(join(tmpdir(), "hawser-product-"));
  // Hooks run in their order: the database in it is open until after this one.
  t.after(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));
  const baseUrl = `http://127.0.0.1:${await lendPort()}`;
  const edgePort = await lendPort();
  const relayInternalPort = await lendPort();
  const isTapped = given.tapped === true;
  /** Where a server listens that is found at `port`. */
  const behind = async (port: number): Promise<number> => (isTapped ? await lendPort() : port);
  const tap = async (port: number, to: number): Promise<Tapped | undefined> =>
    isTapped ? await startTap(t, port, to) : undefined;
  const idp = await startRealIdp(t, {
    baseUrl,
    backchannelLogoutUri: `${baseUrl}/api/auth/backchannel-logout`,
    ...given.idp,
  });
  const logs: string[] = [];
  const auditLines: string[] = [];
  const logger = pino({ level: "trace" }, { write: (line: string) => void logs.push(line) });
  const databaseUrl = given.databaseUrl ?? `sqlite:${join(folder, "hawser.db")}`;
  const edgeUrl = `http://127.0.0.1:${edgePort}`;
  const listenPort = await behind(Number(new URL(baseUrl).port));
  const options = optionsOf({
    baseUrl,
    listenPort,
    databaseUrl,
    edgeUrl,
    relayUrl: `http://127.0.0.1:${relayInternalPort}`,
    oidc: {
      oidcIssuer: idp.issuer,
      oidcClientId: "confidential",
      oidcClientAuth: "client_secret_basic",
      oidcClientSecret: CLIENT_SECRET,
      ...given.oidc,
    },
    auditLog: new Writable({
      write(chunk: Buffer, _encoding, done) {
        auditLines.push(chunk.toString());
        done();
      },
    }),
  });
  const app = await startApi(given.api?.(options) ?? options, { logger });
  t.after(() => app.close());
  const authorizePort = isTapped ? await lendPort() : app.internalPort;
  const api = { origin: `http://127.0.0.1:${authorizePort}`, prefix: "" };
  const asking = { ...API_GATE_DEFAULTS, api, ca: null, secret: INTERNAL_SECRET };
  const gate = new ApiGate(asking, logger);
  const timeoutMs = API_GATE_DEFAULTS.callTimeoutMs;
  const reports = new TunnelReports({ ...asking, timeoutMs, logger });
  const relay = await startRelay(
    {
      ...RELAY_DEFAULTS,
      listenHost: "127.0.0.1",
      listenPort: await behind(edgePort),
      internalPort: await behind(relayInternalPort),
      internalSecret: INTERNAL_SECRET,
      holdMs: 0,
    },
    {
      tunnelGate: gate,
      callerGate: gate,
      gateMemory: gate,
      tunnelListener: reports,
      logger,
      accessLines: { write: (lines: Uint8Array) => void logs.push(Buffer.from(lines).toString()) },
    },
  );
  gate.on("revoked", (refs) => relay.revoke(refs));
  gate.start(() => relay.liveTokens());
  t.after(async () => {
    await relay.close();
    await gate.close();
    await reports.close();
  });
  const taps: Taps = {
    api: await tap(Number(new URL(baseUrl).port), app.port),
    edge: await tap(edgePort, relay.port),
    relay: await tap(relayInternalPort, relay.internalPort),
    authorize: await tap(authorizePort, app.internalPort),
  };
  const deviceHeads: string[] = [];
  return {
    baseUrl,
    taps,
    deviceHeads,
    idp,
    app,
    relay,
    edgeUrl,
    logs,
    auditLines,
    databaseUrl,
    folder,
    options,
    signIn: (name) => signIn(baseUrl, idp, name),
    connect: (token, serviceText = "hello from the device\n") =>
      connectAgent(t, { relayUrl: edgeUrl, token, serviceText, logs, deviceHeads }),
  };
}

function optionsOf(given: {
  baseUrl: string;
  listenPort: number;
  databaseUrl: string;
  edgeUrl: string;
  relayUrl: string;
  oidc: OidcOptions;
  auditLog: Writable;
}): ApiAppOptions {
  const { baseUrl, databaseUrl, edgeUrl, relayUrl, auditLog } = given;
  return {
    http: {
      ...API_DEFAULTS,
      listenHost: "127.0.0.1",
      listenPort: given.listenPort,
      publicBaseUrl: baseUrl,
      // A sweep fails on purpose more often than anybody would.
      authFailuresMax: 1_000_000,
    },
    internal: { listenHost: "127.0.0.1", listenPort: 0, secret: INTERNAL_SECRET },
    databaseUrl,
    relayUrl,
    oidc: checkOidcOptions({
      publicBaseUrl: baseUrl,
      oidcAllowInsecure: true,
      apiJwtIssuers: given.oidc.oidcIssuer,
      apiJwtAudience: API_AUDIENCE,
      ...given.oidc,
    }),
    auth: {
      ...AUTH_DEFAULTS,
      sessionSecrets: keyRing("s1"),
      tokenEncKeys: keyRing("e1"),
      loginsPerMinute: 10_000,
      callbacksPerMinute: 10_000,
    },
    devices: { ...DEVICE_DEFAULTS, tunnelUrl: edgeUrl.replace(/^http/, "ws"), edgeUrl },
    auditLog,
  };
}

async function signIn(baseUrl: string, idp: RealIdp, name: string): Promise<Person> {
  const browser = new Browser();
  const start = await browser.step(`${baseUrl}/api/auth/login?return_to=/`);
  const { location } = start.headers;
  if (location === undefined) throw new Error(`the sign-in begins with ${start.status}`);
  const callback = await new UserAgent(idp.issuer).signIn(location, name);
  const page = await browser.navigate(callback.href, { from: idp.issuer });
  if (page.status !== 200) throw new Error(`the sign-in ends with ${page.status}: ${page.body}`);
  const call = (method: string, path: string, body?: unknown): Promise<Page> =>
    browser.fetch(baseUrl + path, {
      method,
      from: baseUrl,
      headers: {
        ...(method === "GET" ? {} : { "x-hawser-csrf": "1" }),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  return {
    name,
    browser,
    call,
    json: async (method, path, body) => {
      const answer = await call(method, path, body);
      if (answer.status >= 400) {
        throw new Error(`${method} ${path}: ${answer.status} ${answer.body}`);
      }
      return answer.body === "" ? {} : JSON.parse(answer.body);
    },
  };
}

async function connectAgent(
  t: TestContext,
  given: {
    readonly relayUrl: string;
    readonly token: string;
    readonly serviceText: string;
    readonly logs: string[];
    readonly deviceHeads: string[];
  },
): Promise<Agent> {
  const { relayUrl, token, serviceText, logs, deviceHeads } = given;
  const service = createServer((request, response) => {
    deviceHeads.push([request.url, ...request.rawHeaders].join("\n"));
    const type = serviceText.startsWith("<") ? "text/html" : "text/plain";
    response.setHeader("content-type", type).end(serviceText);
  });
  service.listen(0, "127.0.0.1");
  await once(service, "listening");
  t.after(() => {
    service.closeAllConnections();
    service.close();
  });
  const note = (fields: object, message: string): void => {
    logs.push(JSON.stringify({ ...fields, msg: message }));
  };
  const agent = connect({
    relay: relayUrl.replace(/^http/, "ws"),
    token,
    to: `http://127.0.0.1:${(service.address() as AddressInfo).port}`,
    log: { debug: note, info: note, warn: note, error: note },
  });
  t.after(() => agent.close());
  return agent;
}
