import { pino } from "pino";
import {
  DEVICE_DEFAULTS,
  type DeviceOptions,
  deviceRoutes,
  type OnExchangeStep,
} from "../../../src/api/devices/index.ts";
import {
  ALL_SCOPES,
  API_DEFAULTS,
  type ApiContext,
  type ApiServer,
  type AuditEntry,
  type Authenticator,
  type AuthVerdict,
  type Principal,
  RelayClient,
  Router,
  startApiServer,
} from "../../../src/api/index.ts";
import { authorizeDeviceTokens, type Store, type User } from "../../../src/api/store/index.ts";
import { ManualClock } from "../../../src/core/clock.ts";
import type { CredentialChanges } from "../../../src/core/contract.ts";
import { parseToken } from "../../../src/core/token.ts";

/** Where nothing listens. */
const NO_RELAY = "http://127.0.0.1:1";
export const INTERNAL_SECRET = "internal-secret-of-the-tests-0123456789";

/** An event of the audit log, and whether its row is written here (`record`) or was by the store (`tell`). */
export type NotedEntry = AuditEntry & { readonly via: "record" | "tell" };

/** An API server with the routes of devices alone, over a real store. */
export interface DevicesServer {
  readonly server: ApiServer;
  readonly context: ApiContext;
  readonly router: Router;
  readonly url: string;
  readonly people: FixedPrincipals;
  /** The clock of the exchange's limits; not that of the store. */
  readonly limitClock: ManualClock;
  readonly audit: NotedEntry[];
  readonly announced: Partial<CredentialChanges>[];
  readonly ended: string[];
  readonly logText: () => string;
}

/** What a server may be given. */
export interface DevicesServerOptions {
  readonly devices?: Partial<DeviceOptions>;
  readonly relay?: RelayClient;
  readonly trustedProxyCidrs?: readonly string[];
  readonly onExchangeStep?: OnExchangeStep;
}

/** Knows fixed bearer texts and cookies by their principals, and device tokens by the store. */
export class FixedPrincipals implements Authenticator {
  readonly #store: Store;
  readonly #known = new Map<string, Principal>();

  constructor(store: Store) {
    this.#store = store;
  }

  /** From now on `secret` proves a key of this user, or what `over` makes of it. */
  add(secret: string, user: User, over: Partial<Principal> = {}): void {
    this.#known.set(secret, {
      kind: "key",
      ref: `ref-of-${secret}`,
      tenantId: user.tenant,
      userId: user.id,
      role: "admin",
      scopes: new Set(ALL_SCOPES),
      ...over,
    });
  }

  async authenticate(
    credential: Parameters<Authenticator["authenticate"]>[0],
  ): Promise<AuthVerdict> {
    const secret = credential.kind === "cookie" ? credential.value : credential.token;
    const known = this.#known.get(secret);
    if (known !== undefined) return { ok: true, principal: known };
    const token = parseToken(secret);
    if (!token.ok || token.kind !== "device") return { ok: false, reason: "rejected" };
    const [device] = await authorizeDeviceTokens(this.#store, [token]);
    if (device == null) return { ok: false, reason: "rejected" };
    const { ref, deviceId, tenant, ownerId } = device;
    const scopes = new Set<string>();
    const own = { tenantId: tenant, userId: ownerId, role: "member", deviceId, scopes } as const;
    return { ok: true, principal: { kind: "device", ref, ...own } };
  }
}

/** Starts one on a free port of the loopback; the caller closes it. */
export async function startDevicesServer(
  store: Store,
  options: DevicesServerOptions = {},
): Promise<DevicesServer> {
  const lines: string[] = [];
  const logger = pino({ level: "trace" }, { write: (text: string) => void lines.push(text) });
  const relay =
    options.relay ?? new RelayClient({ baseUrl: NO_RELAY, secret: INTERNAL_SECRET, logger });
  const audit: NotedEntry[] = [];
  const announced: Partial<CredentialChanges>[] = [];
  const ended: string[] = [];
  const context: ApiContext = {
    store,
    relay,
    logger,
    now: () => store.now(),
    audit: {
      record: (entry) => void audit.push({ ...entry, via: "record" }),
      tell: (entry) => void audit.push({ ...entry, via: "tell" }),
    },
    changes: {
      async announce(changes) {
        announced.push(changes);
        if (options.relay === undefined) return;
        await relay.announce({ revoked: [], changed: [], devices: [], ...changes });
      },
    },
    endings: {
      end: (refs) => void ended.push(...refs),
      begin: (value) => ({ value, at: -1 }),
      over() {},
    },
  };
  const limitClock = new ManualClock();
  const deviceOptions: DeviceOptions = {
    ...DEVICE_DEFAULTS,
    tunnelUrl: "wss://relay.test",
    edgeUrl: "https://relay.test",
    ...options.devices,
  };
  const router = new Router(
    "public",
    deviceRoutes(context, deviceOptions, {
      clock: limitClock,
      ...(options.onExchangeStep === undefined ? {} : { onExchangeStep: options.onExchangeStep }),
    }),
  );
  const people = new FixedPrincipals(store);
  const server = await startApiServer(
    {
      ...API_DEFAULTS,
      listenHost: "127.0.0.1",
      listenPort: 0,
      publicBaseUrl: "https://api.test",
      authFailuresMax: 1_000_000,
      trustedProxyCidrs: options.trustedProxyCidrs ?? [],
    },
    { router, authenticator: people, logger, audit: { record: () => {} } },
  );
  return {
    server,
    context,
    router,
    url: `http://127.0.0.1:${server.port}`,
    people,
    limitClock,
    audit,
    announced,
    ended,
    logText: () => lines.join(""),
  };
}

/** An answer, its body read. */
export interface Answered {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

/** What a request may say. */
export interface Asked {
  /** A bearer text. */
  readonly as?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  readonly body?: unknown;
}

/** One request, written like `GET /api/devices`. */
export async function ask(url: string, request: string, asked: Asked = {}): Promise<Answered> {
  const [method = "", path = ""] = request.split(" ");
  const { as, headers = {}, body } = asked;
  const answer = await fetch(url + path, {
    method,
    headers: {
      ...(as === undefined ? {} : { authorization: `Bearer ${as}` }),
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: answer.status, headers: answer.headers, text: await answer.text() };
}
