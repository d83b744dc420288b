import type { WebSocket } from "uWebSockets.js";
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { pino } from "pino";
import { ManualClock } from "../../../src/core/clock.ts";
import { muxOptions } from "../../../src/mux/index.ts";
import { buildContext } from "../../../src/relay/build-context.ts";
import { RELAY_DEFAULTS } from "../../../src/relay/index.ts";
import type { CallerGate, TunnelGate } from "../../../src/relay/ports.ts";
import { Tunnel } from "../../../src/relay/tunnel.ts";
import { parseFrames, pong, TYPE } from "../../support/mux/frames.ts";

const START_MS = 10_000;
const INTERVAL_MS = 30_000;
const TIMEOUT_MS = 10_000;
/** Entries of the wheel are called up to so much late. */
const SLOT_MS = 250;

/** Tunnels of one relay over WebSockets that only record, with time moved by hand. */
function makeFleet(count: number) {
  const clock = new ManualClock(START_MS);
  const context = buildContext(
    { ...RELAY_DEFAULTS, internalSecret: "0123456789abcdef" },
    muxOptions({ pingAtStart: false, keepAliveJitter: 0 }),
    {
      tunnelGate: {} as TunnelGate,
      callerGate: {} as CallerGate,
      logger: pino({ level: "silent" }),
      clock,
    },
  );
  const devices = Array.from({ length: count }, (_, n) => {
    const sent: Uint8Array[] = [];
    let isTerminated = false;
    const ws = {
      send: (message: Uint8Array) => sent.push(message.slice()) && 1,
      getBufferedAmount: () => 0,
      close: () => {
        isTerminated = true;
      },
    };
    const identity = { deviceId: `d${n}`, tokenRef: `vAc_${n}`, userId: "u1" };
    const tunnel = new Tunnel(context, identity, "127.0.0.1", ws as unknown as WebSocket<Tunnel>);
    context.store.register(tunnel);
    return { tunnel, sent, isTerminated: () => isTerminated };
  });
  const advance = (ms: number): void => {
    for (let left = ms; left > 0; left -= SLOT_MS) {
      clock.advance(Math.min(left, SLOT_MS));
      context.wheel.advance(clock.now());
    }
  };
  return { clock, context, devices, advance };
}

/** Answers the ping that was sent last. */
function answer({ tunnel, sent }: { tunnel: Tunnel; sent: readonly Uint8Array[] }): void {
  const [ping] = parseFrames(sent.at(-1) ?? new Uint8Array(0));
  assert.ok(ping !== undefined && ping.type === TYPE.PING);
  const bytes = pong(ping.length);
  tunnel.webSocketOnMessage(new Uint8Array(bytes).buffer, true);
}

test("a ping leaves in the call of the wheel, once, and not with the turn", async () => {
  const { devices, advance } = makeFleet(3);
  advance(INTERVAL_MS);
  assert.deepEqual(
    devices.map(({ sent }) => sent.length),
    [1, 1, 1],
  );
  await nextTurn();
  assert.deepEqual(
    devices.map(({ sent }) => sent.length),
    [1, 1, 1],
  );
});

test("after the answer of an idle device nothing is due before its next ping", () => {
  const { clock, devices, advance } = makeFleet(1);
  const [device] = devices;
  assert.ok(device !== undefined);
  advance(INTERVAL_MS);
  assert.ok(device.tunnel.wheelAtMs <= clock.now() + TIMEOUT_MS, "an answer is waited for");
  clock.advance(40);
  answer(device);
  assert.equal(device.tunnel.wheelAtMs, clock.now() + INTERVAL_MS);
  advance(INTERVAL_MS - SLOT_MS);
  assert.equal(device.sent.length, 1);
  advance(2 * SLOT_MS);
  assert.equal(device.sent.length, 2);
});

test("a device that answers one ping and not the next one is found dead in time", () => {
  const { devices, advance } = makeFleet(1);
  const [device] = devices;
  assert.ok(device !== undefined);
  advance(INTERVAL_MS);
  answer(device);
  advance(INTERVAL_MS + TIMEOUT_MS - SLOT_MS);
  assert.equal(device.isTerminated(), false);
  advance(2 * SLOT_MS);
  assert.equal(device.isTerminated(), true);
});

test("what is received is told to the store as it comes, so that its queue needs no search", () => {
  const { clock, devices, advance } = makeFleet(3);
  advance(INTERVAL_MS);
  for (const device of devices) {
    clock.advance(10);
    answer(device);
    assert.equal(device.tunnel.storeQueuedAt, clock.now());
    assert.equal(device.tunnel.storeNewer, null, "the last one of the queue");
  }
});
