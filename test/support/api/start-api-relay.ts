import type { TestContext } from "node:test";
import { pino } from "pino";
import { RelayClient } from "../../../src/api/index.ts";
import {
  ApiGate,
  type ApiGateOptions,
  RELAY_DEFAULTS,
  type Relay,
  type RelayOptions,
  startRelay,
} from "../../../src/relay/index.ts";
import type { ManualTimers } from "../agent/manual-timers.ts";
import { type Answer, ask, SECRET } from "../relay/start-relay.ts";
import { connectDevice, type DeviceBehaviour, type WsDevice } from "../relay/ws-device.ts";
import { until } from "../until.ts";
import { type ApiStandIn, type StandInDevice, startApiStandIn } from "./api-stand-in.ts";

/** A relay that asks a stand-in for the API server. */
export interface ApiRelay {
  readonly api: ApiStandIn;
  readonly gate: ApiGate;
  readonly relay: Relay;
  readonly client: RelayClient;
  readonly logText: () => string;
  /** Connects a device; rejects with the status where it is refused. */
  connect(device: StandInDevice, behaviour?: DeviceBehaviour): Promise<WsDevice>;
  /** Asks the edge for `/` of a device. */
  edge(deviceId: string, key: string): Promise<Answer>;
  /** What a handshake with this token is answered, without a WebSocket being made of it. */
  handshake(token: string): Promise<Answer>;
}

/** Starts all three on free ports of the loopback; everything ends with the test. */
export async function startApiRelay(
  t: TestContext,
  gateOptions: Partial<ApiGateOptions> = {},
  relayOptions: Partial<RelayOptions> = {},
): Promise<ApiRelay> {
  const api = await startApiStandIn(t, SECRET);
  const lines: string[] = [];
  const logger = pino({ level: "trace" }, { write: (text: string) => void lines.push(text) });
  const gate = new ApiGate(
    { api: { origin: api.origin, prefix: "" }, secret: SECRET, ...gateOptions },
    logger,
  );
  const relay = await startRelay(
    {
      ...RELAY_DEFAULTS,
      listenHost: "127.0.0.1",
      listenPort: 0,
      internalPort: 0,
      internalSecret: SECRET,
      holdMs: 0,
      ...relayOptions,
    },
    { tunnelGate: gate, callerGate: gate, gateMemory: gate, logger },
  );
  gate.on("revoked", (refs) => relay.revoke(refs));
  gate.on("failClosed", () => relay.closeTunnels());
  gate.start(() => [...relay.liveTokens(), ...relay.runningKeys()]);
  t.after(async () => {
    await gate.close();
    await relay.close();
  });
  const baseUrl = `http://127.0.0.1:${relay.internalPort}`;
  const client = new RelayClient({ baseUrl, secret: SECRET, logger });
  t.after(() => client.destroy());
  return {
    api,
    gate,
    relay,
    client,
    logText: () => lines.join(""),
    connect: async ({ token }, behaviour = {}) => {
      const url = `ws://127.0.0.1:${relay.port}`;
      const device = await connectDevice(url, token.text, behaviour);
      t.after(() => device.close());
      return device;
    },
    edge: (deviceId, key) =>
      ask(relay.port, `/d/${deviceId}/`, { headers: { authorization: `Bearer ${key}` } }),
    handshake: (token) =>
      ask(relay.port, "/tunnel/connect", {
        headers: {
          authorization: `Bearer ${token}`,
          connection: "upgrade",
          upgrade: "websocket",
          "sec-websocket-version": "13",
          "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        },
      }),
  };
}

/** Lets the loop turn until `promise` is settled, and moves the time of a gate on by 5 ms each turn. */
export async function passing<T>(timers: ManualTimers, promise: Promise<T>): Promise<T> {
  let done = false;
  const end = (): void => {
    done = true;
  };
  promise.then(end, end);
  await passingUntil(timers, () => done);
  return await promise;
}

/** The same, until something is so. */
export async function passingUntil(timers: ManualTimers, holds: () => boolean): Promise<void> {
  const look = (): boolean => {
    if (holds()) return true;
    timers.advance(5);
    return false;
  };
  await until(look, "what passing time brings");
}
