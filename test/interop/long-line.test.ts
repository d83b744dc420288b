import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { DelayProxy } from "../support/delay-proxy.ts";
import { skipWithout } from "../support/go.ts";
import { startTestRelay } from "../support/relay/start-relay.ts";
import { patternSha256 } from "./mux-end.ts";
import { GoPeer } from "./peer.ts";
import { transfer } from "./transfer.ts";

const MIB = 1_024 * 1_024;
const FIRST_WINDOW = 256 * 1_024;
const ONE_WAY_MS = 50;
const SIZE = 12 * MIB;

/** Milliseconds that one download takes from a stock Go device at the other end of a line of 100 ms. */
async function downloadMs(t: TestContext, maxWindowBytes: number): Promise<number> {
  const { relay, devices, key } = await startTestRelay(t, { mux: { maxWindowBytes } });
  const device = devices[0];
  assert.ok(device !== undefined);
  const line = await DelayProxy.start(relay.port, ONE_WAY_MS);
  t.after(() => line.close());
  const peer = await GoPeer.start(t, "yamux-newest", [
    "device",
    ...["-relay", `ws://127.0.0.1:${line.port}/tunnel/connect`],
    ...["-token", device.token.text, "-role", "server"],
  ]);
  await peer.said("connected");
  const headers = { authorization: `Bearer ${key.text}` };
  const base = `http://127.0.0.1:${relay.port}/d/${device.deviceId}`;
  const started = performance.now();
  const got = await transfer(`${base}/down?bytes=${SIZE}`, { headers });
  const elapsed = performance.now() - started;
  assert.deepEqual([got.status, got.bytes, got.sha256], [200, SIZE, patternSha256(SIZE)]);
  return elapsed;
}

test("a stock Go device on a line of 100 ms is not held to the first window a round trip", {
  skip: skipWithout("go"),
  timeout: 55_000,
}, async (t) => {
  const fixed = await downloadMs(t, FIRST_WINDOW);
  const grown = await downloadMs(t, 4 * MIB);
  t.diagnostic(`fixed window ${Math.round(fixed)} ms, growing window ${Math.round(grown)} ms`);
  assert.ok(grown * 2 < fixed, `fixed ${fixed} ms, growing ${grown} ms`);
});
