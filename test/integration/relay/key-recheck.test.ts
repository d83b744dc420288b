import assert from "node:assert/strict";
import type { ServerResponse } from "node:http";
import { type TestContext, test } from "node:test";
import { formatToken } from "../../../src/core/token.ts";
import type { ApiGateOptions } from "../../../src/relay/index.ts";
import { ManualTimers } from "../../support/agent/manual-timers.ts";
import { passing, passingUntil, startApiRelay } from "../../support/api/start-api-relay.ts";
import { type RawAnswer, rawRequest } from "../../support/forward/raw-request.ts";
import { until } from "../../support/until.ts";

/** What runs at the edge for a key of which the relay hears nothing more, but by asking. */

/** A relay with a device whose answers begin at once, and end when the test says so. */
async function rigOf(t: TestContext, gateOptions: Partial<ApiGateOptions> = {}) {
  const timers = new ManualTimers(1_000);
  const options = { clock: timers, timers, random: () => 0.5, ...gateOptions };
  const started = await startApiRelay(t, options);
  const device = started.api.addDevice();
  const answers: ServerResponse[] = [];
  await passing(
    timers,
    started.connect(device, {
      http: (_request, response) => {
        response.write("begun");
        answers.push(response);
      },
    }),
  );
  return { ...started, timers, device, answers };
}

type KeyRig = Awaited<ReturnType<typeof rigOf>>;

/** A request of the key whose answer has begun. */
async function begun(
  { relay, timers, device }: KeyRig,
  key: string,
): Promise<{ readonly isOver: () => boolean; readonly answer: Promise<RawAnswer> }> {
  let onBegun = (): void => {};
  const hasBegun = new Promise<void>((resolve) => {
    onBegun = resolve;
  });
  let isOver = false;
  const request = `GET /d/${device.deviceId}/ HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer ${key}\r\n\r\n`;
  const answer = rawRequest(relay.port, request, false, () => onBegun()).finally(() => {
    isOver = true;
  });
  await passing(timers, hasBegun);
  return { isOver: () => isOver, answer };
}

test("a key is re-checked while a request of its runs, however long ago it was shown, and one that is refused is cut", async (t) => {
  const rig = await rigOf(t);
  const [bad, good] = [rig.api.addKey(), rig.api.addKey()];
  const cut = await begun(rig, bad.text);
  const kept = await begun(rig, good.text);
  const rechecked = () => rig.api.calls.filter(({ recheck }) => recheck.includes(bad.ref)).length;
  // For minutes nobody shows either key.
  for (let minute = 1; minute <= 3; minute += 1) {
    rig.timers.advance(60_000);
    await passingUntil(rig.timers, () => rechecked() >= minute);
  }
  assert.equal(cut.isOver(), false);
  rig.api.revoke(bad.ref);
  rig.timers.advance(60_000);
  const { status, whole } = await passing(rig.timers, cut.answer);
  assert.deepEqual([status, whole], [200, false]);
  assert.equal(kept.isOver(), false);
  for (const response of rig.answers) response.end();
  assert.equal((await kept.answer).whole, true);
  await until(() => rig.relay.inspect().running === 0, "the end of both");
  assert.deepEqual(rig.relay.runningKeys(), []);
});

test("a key that the relay was made to forget is re-checked while a request of its runs", async (t) => {
  const rig = await rigOf(t, { cachedKeysMax: 1 });
  const [changed, crowded] = [rig.api.addKey(), rig.api.addKey()];
  const first = await begun(rig, changed.text);
  await rig.client.announce({ revoked: [], changed: [changed.ref], devices: [] });
  const second = await begun(rig, crowded.text);
  // One key is remembered, and it is a third.
  const third = rig.api.addKey();
  await passing(rig.timers, Promise.resolve(rig.gate.authenticateCaller(third.text)));
  rig.api.revoke(changed.ref);
  rig.api.revoke(crowded.ref);
  rig.timers.advance(60_000);
  for (const { answer } of [first, second]) {
    assert.equal((await passing(rig.timers, answer)).whole, false);
  }
});

test("a key that is shown and refused has what it runs ended at once; a wrong secret ends nothing", async (t) => {
  const rig = await rigOf(t);
  const key = rig.api.addKey();
  const running = await begun(rig, key.text);
  const shown = (text: string) =>
    passing(rig.timers, Promise.resolve(rig.gate.authenticateCaller(text)));
  const rechecks = () => rig.api.calls.filter(({ recheck }) => recheck.includes(key.ref)).length;
  // After a minute of rest its next use asks; what runs has just been re-checked.
  rig.timers.advance(62_000);
  await passingUntil(rig.timers, () => rechecks() === 1 && rig.gate.inspect().waiting === 0);
  rig.api.revoke(key.ref);
  const forged = formatToken("key", key.ref.slice(4), Buffer.alloc(32, 7));
  assert.equal((await shown(forged.text)).ok, false);
  assert.equal(rig.relay.inspect().running, 1);
  assert.equal((await shown(key.text)).ok, false);
  assert.equal((await running.answer).whole, false);
  assert.equal(rechecks(), 1);
});

test("a key that expires has what it runs ended, whether the API server can be asked or not", async (t) => {
  const expires_at = "2027-01-31T01:00:00Z";
  let wallNow = Date.parse("2027-01-31T00:00:00Z");
  const rig = await rigOf(t, { wallNow: () => wallNow });
  const [ends, stays] = [rig.api.addKey({ expires_at }), rig.api.addKey()];
  const cut = await begun(rig, ends.text);
  const kept = await begun(rig, stays.text);
  await rig.api.stop();
  rig.timers.advance(61_000);
  await passingUntil(rig.timers, () => rig.logText().includes("server is away"));
  assert.equal(cut.isOver(), false);
  wallNow = Date.parse(expires_at);
  rig.timers.advance(1_000);
  assert.equal((await cut.answer).whole, false);
  assert.equal(kept.isOver(), false);
});

test("keys that were revoked while the API server was away are found as soon as it is back", async (t) => {
  const rig = await rigOf(t);
  const key = rig.api.addKey();
  const running = await begun(rig, key.text);
  await rig.api.stop();
  rig.timers.advance(61_000);
  await passingUntil(rig.timers, () => rig.logText().includes("server is away"));
  rig.api.revoke(key.ref);
  await rig.api.start();
  assert.equal((await passing(rig.timers, running.answer)).whole, false);
});
