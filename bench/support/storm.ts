import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
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
  getDevice,
  noteSignIn,
  openDatabase,
  type Store,
  tenantId,
} from "../../src/api/store/index.ts";
import { mintDeviceId, mintToken } from "../../src/core/token.ts";
import { type Child, cpuSeconds, startChild } from "./child.ts";

/** What a fleet that comes back at once costs. Times in milliseconds, from the start of the new relay process. */
export interface StormResult {
  readonly devices: number;
  /** Until every device had its tunnel again. */
  readonly backMs: number;
  /** Until the API server knew of every one of them. */
  readonly notedMs: number;
  readonly authorizeCalls: number;
  readonly reportCalls: number;
  /** CPU of the API server's process, the probing included. */
  readonly apiCpuMs: number;
  /** Of calls to the API server meanwhile, each of which reads the database. */
  readonly probes: number;
  readonly probeP50Ms: number;
  readonly probeP99Ms: number;
  readonly probeMaxMs: number;
  /** Probes that were not answered 200. */
  readonly probeFailures: number;
}

const SECRET = "secret-of-a-bench-0123456789-0123456789";
const TENANT = tenantId("bench");
const PROBE_EVERY_MS = 20;
const LIMIT_MS = 120_000;
const built = fileURLToPath(new URL("../..", import.meta.url));

/**
 * A relay process with `count` connected devices is killed and started again; the API server in this process answers its
 * questions, takes its reports, and serves others meanwhile.
 *
 * @throws Error when not all of them come back in time
 */
export async function runStorm(count: number): Promise<StormResult> {
  const folder = mkdtempSync(join(tmpdir(), "hawser-storm-"));
  const storm = new Storm(folder);
  try {
    return await storm.run(count);
  } finally {
    await storm.end();
    rmSync(folder, { recursive: true, force: true });
  }
}

class Storm {
  readonly #folder: string;
  readonly #closing: (() => Promise<void>)[] = [];
  readonly #calls = { "/internal/authorize": 0, "/internal/tunnels": 0 };
  #noted = 0;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async run(count: number): Promise<StormResult> {
    const store = await openDatabase(`sqlite:${join(this.#folder, "hawser.db")}`);
    this.#closing.push(() => store.close());
    const deviceId = await this.#populate(store, count);
    const internal = await this.#startApi(store, deviceId);
    const ports = await this.#relayPorts(internal.port);
    const devices = startChild({
      name: "devices",
      command: process.execPath,
      args: [
        join(built, "bench/support/storm-devices.js"),
        String(ports.edge),
        this.#path("tokens"),
      ],
      endBy: "stdin",
    });
    this.#closing.push(() => devices.stop());
    await inTime(devices.line("up 1"), "the first connection of all");
    await this.#untilNoted(count);
    process.kill(ports.relay.pid, "SIGKILL");
    await ports.relay.stop();

    this.#noted = 0;
    const before = { ...this.#calls };
    const cpuBefore = cpuSeconds(process.pid);
    const probe = this.#probe(internal.publicPort);
    const startedAt = performance.now();
    const again = this.#startRelay(internal.port, ports.edge, ports.internal);
    this.#closing.push(() => again.stop());
    await inTime(devices.line("up 2"), "the return of all");
    const backMs = performance.now() - startedAt;
    const authorizeCalls = this.#calls["/internal/authorize"] - before["/internal/authorize"];
    await this.#untilNoted(count);
    const notedMs = performance.now() - startedAt;
    const latencies = (await probe.stop()).sort((one, other) => one - other);
    const at = (share: number): number =>
      latencies[Math.min(latencies.length - 1, Math.floor(share * latencies.length))] ?? 0;
    return {
      devices: count,
      backMs: Math.round(backMs),
      notedMs: Math.round(notedMs),
      authorizeCalls,
      reportCalls: this.#calls["/internal/tunnels"] - before["/internal/tunnels"],
      apiCpuMs: Math.round(1_000 * (cpuSeconds(process.pid) - cpuBefore)),
      probes: latencies.length,
      probeP50Ms: Math.round(10 * at(0.5)) / 10,
      probeP99Ms: Math.round(10 * at(0.99)) / 10,
      probeMaxMs: Math.round(10 * at(1)) / 10,
      probeFailures: probe.failures(),
    };
  }

  async end(): Promise<void> {
    for (const close of this.#closing.reverse()) await close();
  }

  #path(name: string): string {
    return join(this.#folder, name);
  }

  /** Inserts the fleet in a few statements: pairing each would take longer than the storm. */
  async #populate(store: Store, count: number): Promise<string> {
    const user = await noteSignIn(store, TENANT, {
      iss: "https://idp.test",
      sub: "bench",
      email: null,
      name: null,
    });
    if (user === null) throw new Error("no user");
    const texts: string[] = [];
    let firstId = "";
    const now = store.now();
    for (let done = 0; done < count; done += 500) {
      const fleet = Array.from({ length: Math.min(500, count - done) }, () => {
        return { id: mintDeviceId(), token: mintToken("device") };
      });
      firstId = fleet[0]?.id ?? firstId;
      const devices = fleet.map(({ id }) => ({
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
        createdAt: now,
        activateBy: null,
        firstConnectedAt: now,
        lastSeenAt: now,
        lastRemoteAddr: null,
        lastCloseReason: null,
      }));
      const tokens = fleet.map(({ id, token }) => ({
        ref: token.ref,
        digest: token.secretDigest,
        tenant: TENANT,
        deviceId: id,
        generation: 1,
        createdAt: now,
        expiresAt: null,
        goodUntil: null,
        lastUsedAt: null,
        endedAt: null,
      }));
      await store.query.insertInto("devices").values(devices).execute();
      await store.query.insertInto("deviceTokens").values(tokens).execute();
      texts.push(...fleet.map(({ token }) => token.text));
    }
    writeFileSync(this.#path("tokens"), `${texts.join("\n")}\n`, { mode: 0o600 });
    writeFileSync(this.#path("secret"), SECRET, { mode: 0o600 });
    return firstId;
  }

  async #startApi(
    store: Store,
    deviceId: string,
  ): Promise<{ readonly port: number; readonly publicPort: number }> {
    const logger = pino({ level: "silent" });
    // No change is announced here.
    const relay = new RelayClient({ baseUrl: "http://127.0.0.1:9", secret: SECRET, logger });
    this.#closing.push(() => relay.destroy());
    const context: ApiContext = {
      store,
      relay,
      changes: new RelayChangeQueue({ relay, logger }),
      audit: {
        record: () => {},
        tell: ({ event }) => {
          if (event === "tunnel_connected") this.#noted += 1;
        },
      },
      endings: new RunningByPrincipal(),
      logger,
      now: () => store.now(),
    };
    const routes = [authorizeRoute(context), tunnelsRoute(context)].map((each) =>
      this.#counted(each),
    );
    const probe = route({
      method: "GET",
      path: "/api/probe",
      class: "public",
      reason: "Reads one device.",
      summary: "Probes.",
      responses: { 200: { description: "Done.", schema: z.object({}) } },
      handler: async () =>
        json(200, { found: (await getDevice(store, TENANT, deviceId)) !== null }),
    });
    const listen = async (router: Router): Promise<ApiServer> => {
      const authenticator: Authenticator = new InternalAuthenticator(SECRET);
      const address = { listenHost: "127.0.0.1", listenPort: 0 };
      const server = await startApiServer(
        { ...API_DEFAULTS, ...address, publicBaseUrl: "http://127.0.0.1" },
        { router, authenticator, logger, audit: { record: () => {} } },
      );
      this.#closing.push(() => server.close());
      return server;
    };
    const internal = await listen(new Router("internal", routes));
    const open = await listen(new Router("public", [probe]));
    return { port: internal.port, publicPort: open.port };
  }

  #counted(each: Route): Route {
    const path = each.path as "/internal/authorize" | "/internal/tunnels";
    return {
      ...each,
      handler: (call) => {
        this.#calls[path] += 1;
        return each.handler(call);
      },
    };
  }

  /** Starts a relay on ports that the system picks, and reads them from its log. */
  async #relayPorts(apiPort: number) {
    const relay = this.#startRelay(apiPort, 0, 0);
    this.#closing.push(() => relay.stop());
    const listens = /"listen":"127\.0\.0\.1:(\d+)","internal":"127\.0\.0\.1:(\d+)"/;
    for (const startedAt = performance.now(); ; await wait(20)) {
      const [, edge, internal] = listens.exec(readFileSync(this.#path("log"), "utf8")) ?? [];
      if (edge !== undefined) return { relay, edge: Number(edge), internal: Number(internal) };
      if (relay.failure !== null) throw new Error(relay.failure);
      if (performance.now() - startedAt > LIMIT_MS) throw new Error("the relay does not start");
    }
  }

  #startRelay(apiPort: number, edge: number, internal: number): Child {
    const main = join(built, "src/cli/main.js");
    const settings = {
      api: `http://127.0.0.1:${apiPort}`,
      "listen-host": "127.0.0.1",
      "listen-port": edge,
      "internal-port": internal,
      "internal-secret-file": this.#path("secret"),
    };
    const words = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]);
    return startChild({
      name: "relay",
      command: process.execPath,
      args: [main, "relay", ...words],
      outputFile: this.#path("log"),
      endBy: "signal",
    });
  }

  async #untilNoted(count: number): Promise<void> {
    const startedAt = performance.now();
    while (this.#noted < count) {
      if (performance.now() - startedAt > LIMIT_MS) throw new Error("reports are missing");
      await wait(20);
    }
  }

  /** Calls the API server again and again, and takes the time. */
  #probe(port: number) {
    const latencies: number[] = [];
    let failures = 0;
    let isOver = false;
    const loop = (async () => {
      while (!isOver) {
        const startedAt = performance.now();
        const answer = await fetch(`http://127.0.0.1:${port}/api/probe`).catch(() => null);
        await answer?.text();
        latencies.push(performance.now() - startedAt);
        if (answer?.status !== 200) failures += 1;
        await wait(PROBE_EVERY_MS);
      }
    })();
    const stop = async (): Promise<number[]> => {
      isOver = true;
      await loop;
      return latencies;
    };
    return { stop, failures: () => failures };
  }
}

function wait(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function inTime<T>(promise: Promise<T>, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`never came: ${what}`)), LIMIT_MS);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
