import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { pino } from "pino";
import { z } from "zod";
import {
  API_DEFAULTS,
  type ApiContext,
  type ApiServer,
  type Authenticator,
  json,
  RelayClient,
  type Route,
  Router,
  RunningByPrincipal,
  route,
  startApiServer,
} from "../../src/api/index.ts";
import {
  authorizeRoute,
  InternalAuthenticator,
  RelayChangeQueue,
  tunnelsRoute,
} from "../../src/api/relay-link/index.ts";
import {
  createApiKey,
  getDevice,
  noteSignIn,
  openDatabase,
  type Store,
  tenantId,
} from "../../src/api/store/index.ts";
import { parseToken } from "../../src/core/token.ts";
import type { Fleet } from "./fleet.ts";

/** An API server in this process, with a SQLite database that knows a fleet and its key. */
export interface FleetApi {
  /** Options of a relay that asks it. */
  readonly gate: readonly string[];
  /** Of the probe, which reads one device. */
  readonly probeUrl: string;
  /** Calls of the relay so far. */
  readonly calls: { readonly authorize: number; readonly reports: number };
  /** Tunnels that it was told are up, since the start. */
  readonly noted: number;
  close(): Promise<void>;
}

const SECRET = "secret-of-a-bench-0123456789-0123456789";
const TENANT = tenantId("bench");
const ROWS_A_STATEMENT = 500;
const KEY_LIFE_MS = 86_400_000;

/**
 * Starts the real routes that a relay asks and reports to, over a database in `folder`.
 *
 * @param folder empty, of this server alone
 */
export async function startFleetApi(folder: string, fleet: Fleet): Promise<FleetApi> {
  const closing: (() => Promise<void>)[] = [];
  const close = async (): Promise<void> => {
    for (const each of closing.splice(0).reverse()) await each();
  };
  try {
    const store = await openDatabase(`sqlite:${join(folder, "hawser.db")}`);
    closing.push(() => store.close());
    await populate(store, fleet);
    const calls = { authorize: 0, reports: 0 };
    const told = { connected: 0 };
    const logger = pino({ level: "silent" });
    // No change is announced here.
    const relay = new RelayClient({ baseUrl: "http://127.0.0.1:9", secret: SECRET, logger });
    closing.push(() => relay.destroy());
    const context: ApiContext = {
      store,
      relay,
      changes: new RelayChangeQueue({ relay, logger }),
      audit: {
        record: () => {},
        tell: ({ event }) => {
          if (event === "tunnel_connected") told.connected += 1;
        },
      },
      endings: new RunningByPrincipal(),
      logger,
      now: () => store.now(),
    };
    const listen = async (name: "internal" | "public", routes: Route[]): Promise<ApiServer> => {
      const authenticator: Authenticator = new InternalAuthenticator(SECRET);
      const address = { listenHost: "127.0.0.1", listenPort: 0 };
      const server = await startApiServer(
        { ...API_DEFAULTS, ...address, publicBaseUrl: "http://127.0.0.1" },
        { router: new Router(name, routes), authenticator, logger, audit: { record: () => {} } },
      );
      closing.push(() => server.close());
      return server;
    };
    const internal = await listen("internal", [
      counted(authorizeRoute(context), () => {
        calls.authorize += 1;
      }),
      counted(tunnelsRoute(context), () => {
        calls.reports += 1;
      }),
    ]);
    const open = await listen("public", [probeRoute(store, fleet.deviceIds[0] ?? "")]);
    const secretFile = join(folder, "secret");
    writeFileSync(secretFile, SECRET, { mode: 0o600 });
    return {
      gate: [`--api=http://127.0.0.1:${internal.port}`, `--internal-secret-file=${secretFile}`],
      probeUrl: `http://127.0.0.1:${open.port}/api/probe`,
      calls,
      get noted() {
        return told.connected;
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

function counted(each: Route, count: () => void): Route {
  return {
    ...each,
    handler: (call) => {
      count();
      return each.handler(call);
    },
  };
}

function probeRoute(store: Store, deviceId: string): Route {
  return route({
    method: "GET",
    path: "/api/probe",
    class: "public",
    reason: "Reads one device.",
    summary: "Probes.",
    responses: { 200: { description: "Done.", schema: z.object({}) } },
    handler: async () => json(200, { found: (await getDevice(store, TENANT, deviceId)) !== null }),
  });
}

/** Inserts the fleet in a few statements: pairing each would take longer than what is measured. */
async function populate(store: Store, fleet: Fleet): Promise<void> {
  const user = await noteSignIn(store, TENANT, {
    iss: "https://idp.test",
    sub: "bench",
    email: null,
    name: null,
  });
  const key = parseToken(fleet.key);
  if (user === null || !key.ok) throw new Error("no user, or no key");
  const createdAt = store.now();
  await createApiKey(store, TENANT, user.id, {
    ref: key.ref,
    secretDigest: key.secretDigest,
    name: "bench",
    scopes: ["tunnel:use"],
    devices: null,
    requestsPerMinute: null,
    expiresAt: createdAt + KEY_LIFE_MS,
  });
  const known = [...fleet.tokens];
  for (let done = 0; done < known.length; done += ROWS_A_STATEMENT) {
    const some = known.slice(done, done + ROWS_A_STATEMENT);
    const devices = some.map(([, { deviceId: id }]) => ({
      id,
      tenant: TENANT,
      ownerId: user.id,
      name: id,
      tags: "[]",
      model: null,
      serial: null,
      agentVersion: null,
      state: "active" as const,
      awaitsApproval: 0,
      createdAt,
      activateBy: null,
      firstConnectedAt: createdAt,
      lastSeenAt: createdAt,
      lastRemoteAddr: null,
      lastCloseReason: null,
    }));
    const tokens = some.map(([ref, { digest, deviceId }]) => ({
      ref,
      digest,
      tenant: TENANT,
      deviceId,
      generation: 1,
      createdAt,
      expiresAt: null,
      goodUntil: null,
      lastUsedAt: null,
      endedAt: null,
    }));
    await store.query.insertInto("devices").values(devices).execute();
    await store.query.insertInto("deviceTokens").values(tokens).execute();
  }
}
