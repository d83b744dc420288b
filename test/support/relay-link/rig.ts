import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { type Logger, pino } from "pino";
import {
  API_DEFAULTS,
  type ApiContext,
  type ApiServer,
  type AuditEntry,
  RelayClient,
  type Route,
  Router,
  RunningByPrincipal,
  startApiServer,
} from "../../../src/api/index.ts";
import {
  authorizeRoute,
  InternalAuthenticator,
  RelayChangeQueue,
  tunnelsRoute,
} from "../../../src/api/relay-link/index.ts";
import { openDatabase, type Store } from "../../../src/api/store/index.ts";
import type { Clock } from "../../../src/core/clock.ts";
import {
  ApiGate,
  type ApiGateOptions,
  RELAY_DEFAULTS,
  type Relay,
  type RelayOptions,
  startRelay,
  TunnelReports,
} from "../../../src/relay/index.ts";
import { lendPort } from "../ports.ts";
import { ask, SECRET } from "../relay/start-relay.ts";
import { connectDevice, type DeviceBehaviour, type WsDevice } from "../relay/ws-device.ts";
import { Changes } from "../until.ts";

/** What a rig may be told. */
export interface RigOptions {
  /** Default: SQLite in a folder that goes with the test. */
  readonly store?: Store;
  readonly gate?: Partial<ApiGateOptions>;
  readonly relay?: Partial<RelayOptions>;
  /** How long the relay gathers events of tunnels; default 10 ms. */
  readonly reportWaitMs?: number;
  /** By which the API server measures how long the noting of a report takes. */
  readonly reportClock?: Clock;
}

/**
 * The relay and the API server's side of it, as they run in earnest: a store, the internal listener, the gate, reports of
 * tunnels, and the queue of changes. Either end can go away and come back on its ports.
 */
export class Rig {
  readonly store: Store;
  readonly context: ApiContext;
  readonly audit: AuditEntry[] = [];
  readonly audited = new Changes();
  readonly endings = new RunningByPrincipal();
  readonly logger: Logger;
  /** Calls of the internal listener, by their paths. */
  readonly calls: string[] = [];
  readonly #lines: string[] = [];
  readonly #options: RigOptions;
  #changes!: RelayChangeQueue;
  #client!: RelayClient;
  #api: ApiServer | null = null;
  #apiPort = 0;
  #relay: Relay | null = null;
  #ports = { edge: 0, internal: 0 };
  #gate: ApiGate | null = null;
  #reports: TunnelReports | null = null;

  constructor(store: Store, options: RigOptions) {
    this.store = store;
    this.#options = options;
    this.logger = pino(
      { level: "trace" },
      { write: (line: string) => void this.#lines.push(line) },
    );
    const self = this;
    const record = (entry: AuditEntry): void => {
      this.audit.push(entry);
      this.audited.tell();
    };
    this.context = {
      store,
      get relay() {
        return self.#client;
      },
      get changes() {
        return self.#changes;
      },
      audit: { record, tell: record },
      endings: this.endings,
      logger: this.logger,
      now: () => store.now(),
    };
  }

  get relay(): Relay {
    if (this.#relay === null) throw new Error("the relay is down");
    return this.#relay;
  }

  get gate(): ApiGate {
    if (this.#gate === null) throw new Error("the relay is down");
    return this.#gate;
  }

  get reports(): TunnelReports {
    if (this.#reports === null) throw new Error("the relay is down");
    return this.#reports;
  }

  get changes(): RelayChangeQueue {
    return this.#changes;
  }

  get apiPort(): number {
    return this.#apiPort;
  }

  get edgePort(): number {
    return this.#ports.edge;
  }

  get logText(): string {
    return this.#lines.join("");
  }

  async start(): Promise<void> {
    this.#apiPort = await lendPort();
    this.#ports = { edge: await lendPort(), internal: await lendPort() };
    await this.startApi();
    await this.startRelay();
    this.#client = new RelayClient({
      baseUrl: `http://127.0.0.1:${this.#ports.internal}`,
      secret: SECRET,
      logger: this.logger,
    });
    this.#changes = new RelayChangeQueue({ relay: this.#client, logger: this.logger });
  }

  /** The internal listener, on its port of before. */
  async startApi(): Promise<void> {
    const routes = [
      authorizeRoute(this.context),
      tunnelsRoute(this.context, this.#options.reportClock),
    ];
    const counted = routes.map(
      (each): Route => ({
        ...each,
        handler: (call) => {
          this.calls.push(each.path);
          return each.handler(call);
        },
      }),
    );
    this.#api = await startApiServer(
      {
        ...API_DEFAULTS,
        listenHost: "127.0.0.1",
        listenPort: this.#apiPort,
        publicBaseUrl: "http://127.0.0.1",
      },
      {
        router: new Router("internal", counted),
        authenticator: new InternalAuthenticator(SECRET),
        logger: this.logger,
        audit: { record: () => {} },
      },
    );
  }

  async stopApi(): Promise<void> {
    await this.#api?.close();
    this.#api = null;
  }

  /** The relay, on its ports of before, remembering nothing. */
  async startRelay(): Promise<void> {
    const api = { origin: `http://127.0.0.1:${this.#apiPort}`, prefix: "" };
    const gate = new ApiGate({ api, secret: SECRET, ...this.#options.gate }, this.logger);
    const reports = new TunnelReports({
      api,
      secret: SECRET,
      ca: null,
      timeoutMs: 5_000,
      logger: this.logger,
      waitMs: this.#options.reportWaitMs ?? 10,
    });
    this.#gate = gate;
    this.#reports = reports;
    const relay = await startRelay(
      {
        ...RELAY_DEFAULTS,
        listenHost: "127.0.0.1",
        listenPort: this.#ports.edge,
        internalPort: this.#ports.internal,
        internalSecret: SECRET,
        holdMs: 0,
        ...this.#options.relay,
      },
      {
        tunnelGate: gate,
        callerGate: gate,
        gateMemory: gate,
        tunnelListener: reports,
        logger: this.logger,
      },
    );
    gate.on("revoked", (refs) => relay.revoke(refs));
    gate.on("failClosed", () => relay.closeTunnels());
    gate.start(() => [...relay.liveTokens(), ...relay.runningKeys()]);
    this.#relay = relay;
  }

  async stopRelay(): Promise<void> {
    await this.#gate?.close();
    await this.#relay?.close();
    await this.#reports?.close();
    this.#gate = null;
    this.#relay = null;
    this.#reports = null;
  }

  /** The relay ends, and tells nobody anything. */
  async killRelay(): Promise<void> {
    const reports = this.#reports;
    if (reports !== null) reports.tunnelOnEvent = () => {};
    await this.stopRelay();
  }

  async end(): Promise<void> {
    await this.#changes?.close();
    await this.stopRelay();
    await this.stopApi();
    await this.#client?.destroy();
  }

  /** Connects a device; rejects with the status where it is refused. */
  async connect(t: TestContext, token: string, behaviour: DeviceBehaviour = {}): Promise<WsDevice> {
    const device = await connectDevice(`ws://127.0.0.1:${this.edgePort}`, token, behaviour);
    t.after(() => device.close());
    return device;
  }

  /** Asks the edge for a path of a device. */
  edge(deviceId: string, key: string, path = "/") {
    const headers = { authorization: `Bearer ${key}` };
    return ask(this.edgePort, `/d/${deviceId}${path}`, { headers });
  }

  /** Resolves when the log of events has so many with this name, and gives them. */
  async events(event: string, count = 1): Promise<AuditEntry[]> {
    const found = (): AuditEntry[] => this.audit.filter((entry) => entry.event === event);
    await this.audited.until(() => found().length >= count, `${count} × ${event}`);
    return found();
  }
}

/** Starts all of it on ports of its own; everything ends with the test. */
export async function startRig(t: TestContext, options: RigOptions = {}): Promise<Rig> {
  const folder = await mkdtemp(join(tmpdir(), "hawser-relay-link-"));
  const store = options.store ?? (await openDatabase(`sqlite:${join(folder, "hawser.db")}`));
  const rig = new Rig(store, options);
  t.after(async () => {
    await rig.end();
    if (options.store === undefined) await store.close();
    await rm(folder, { recursive: true, force: true });
  });
  await rig.start();
  return rig;
}
