import type { TestContext } from "node:test";
import { pino } from "pino";
import { AsciiLines } from "../../../src/core/ascii-lines.ts";
import { monotonicClock } from "../../../src/core/clock.ts";
import type { SessionSummary } from "../../../src/core/contract.ts";
import { muxOptions } from "../../../src/mux/index.ts";
import { AccessLog } from "../../../src/relay/access-log.ts";
import type { RelayContext } from "../../../src/relay/context.ts";
import { registerInternal } from "../../../src/relay/internal.ts";
import { Listener } from "../../../src/relay/listener.ts";
import { RelayMetrics } from "../../../src/relay/metrics.ts";
import { RELAY_DEFAULTS } from "../../../src/relay/options.ts";
import { InMemorySessionStore, SessionHandle } from "../../../src/relay/session-store.ts";
import { loadUws } from "../../../src/relay/uws.ts";
import { SECRET } from "./start-relay.ts";

/** A session without a tunnel. */
class ListedHandle extends SessionHandle {
  readonly deviceId: string;
  readonly tokenRef: string;
  readonly userId: string;
  readonly lastHeartbeatAt = 0;

  constructor(index: number) {
    super();
    this.deviceId = index.toString(32).padStart(16, "0");
    this.tokenRef = `vAc_${index.toString(36).padStart(8, "0")}`;
    this.userId = `user-${index % 100}`;
  }

  close(): void {}
  displace(): void {}
  recordHeartbeat(): void {}

  summary(): SessionSummary {
    return {
      token: this.tokenRef,
      user_id: this.userId,
      device_id: this.deviceId,
      connected_at: "2026-01-01T00:00:00.000Z",
      last_heartbeat: "2026-01-01T00:00:00.000Z",
      remote_addr: "192.0.2.1:0",
    };
  }
}

/** Counts how often the store is asked for a page: each time in a loop turn of its own. */
class CountingStore extends InMemorySessionStore<ListedHandle> {
  steps = 0;

  override list(query: Parameters<InMemorySessionStore<ListedHandle>["list"]>[0] = {}) {
    this.steps += 1;
    return super.list(query);
  }
}

/**
 * The internal API over a store of `count` sessions that are nobody's tunnels: for listings only. `steps` tells how
 * often the store was read.
 */
export async function startListOnly(
  t: TestContext,
  count: number,
): Promise<{ port: number; steps: () => number }> {
  const store = new CountingStore(monotonicClock);
  for (let index = 0; index < count; index++) store.register(new ListedHandle(index));
  const options = { ...RELAY_DEFAULTS, internalSecret: SECRET };
  const uws = loadUws({ headBytesMax: options.headBytesMax });
  const context = {
    options,
    uws,
    muxOptions: muxOptions(),
    store,
    clock: monotonicClock,
    log: pino({ level: "silent" }),
    metrics: new RelayMetrics(),
    accessLog: new AccessLog(new AsciiLines({ write: () => {} }), false),
    draining: false,
  } as unknown as RelayContext;
  const listener = await Listener.open(uws, {
    host: "127.0.0.1",
    port: 0,
    hostSetting: "internalHost",
    portSetting: "internalPort",
    tls: null,
    routes: (app) => registerInternal(app, context),
  });
  t.after(() => listener.close());
  return { port: listener.port, steps: () => store.steps };
}
