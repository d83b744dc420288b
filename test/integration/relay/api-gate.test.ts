import assert from "node:assert/strict";
import { test } from "node:test";
import { mintDeviceId, mintToken } from "../../../src/core/token.ts";
import { ManualTimers } from "../../support/agent/manual-timers.ts";
import type { StandInDevice } from "../../support/api/api-stand-in.ts";
import { passing, passingUntil, startApiRelay } from "../../support/api/start-api-relay.ts";
import { SECRET } from "../../support/relay/start-relay.ts";
import { until } from "../../support/until.ts";

/** A relay that asks the API server who may connect and who may call: what it costs, and what it lets through. */

const HELLO = {
  http: (_request: unknown, response: { end(text: string): void }) => response.end("hello"),
};

function manual(): {
  timers: ManualTimers;
  options: { clock: ManualTimers; timers: ManualTimers; random: () => number };
} {
  const timers = new ManualTimers(1_000);
  return { timers, options: { clock: timers, timers, random: () => 0.5 } };
}

test("1,000 devices that connect at once cost 5 calls at most, one at a time", async (t) => {
  // At once by the gate's time, however long 1,000 handshakes take on a busy machine.
  const { timers, options } = manual();
  const started = await startApiRelay(t, options);
  const devices = Array.from({ length: 1_000 }, () => started.api.addDevice());
  // The call at the start asks nothing.
  await until(() => started.api.calls.length === 1, "the call at the start");
  const connected = Promise.all(devices.map((device) => started.connect(device)));
  await until(() => started.api.checks === 1_000, "1,000 checks");
  await passing(timers, connected);
  assert.equal(started.relay.inspect().tunnels, 1_000);
  assert.ok(started.api.calls.length <= 1 + 5, `${started.api.calls.length} calls`);
  assert.equal(started.api.checks, 1_000);
  assert.equal(started.api.atOnce, 1);
});

test("one question is asked once, however many wait for its answer; then it costs nothing", async (t) => {
  const started = await startApiRelay(t);
  const device = started.api.addDevice();
  const key = started.api.addKey();
  await started.connect(device, HELLO);
  const before = started.api.checks;
  const release = started.api.hold();
  const asked = started.api.nextCall();
  const answers = Array.from({ length: 50 }, () => started.edge(device.deviceId, key.text));
  await asked;
  release();
  for (const { status, text } of await Promise.all(answers)) {
    assert.deepEqual([status, text], [200, "hello"]);
  }
  const { calls } = started.api;
  assert.equal(started.api.checks - before, 1);
  const count = calls.length;
  for (let request = 0; request < 20; request++) {
    assert.equal((await started.edge(device.deviceId, key.text)).status, 200);
  }
  assert.equal(calls.length, count);
});

test("a cached key is answered at once and not by a promise", async (t) => {
  const started = await startApiRelay(t);
  const key = started.api.addKey();
  const first = started.gate.authenticateCaller(key.text);
  assert.ok(first instanceof Promise);
  const verdict = await first;
  assert.equal(started.gate.authenticateCaller(key.text), verdict);
  assert.ok(verdict.ok);
  assert.deepEqual([verdict.value.keyId, verdict.value.userId], [key.ref, "user-of-t1"]);
});

test("malformed tokens and keys are refused without a question, and refusals are remembered", async (t) => {
  const { timers, options } = manual();
  const started = await startApiRelay(t, options);
  await until(() => started.api.calls.length === 1, "the call at the start");
  const key = mintToken("key");
  const token = mintToken("device");
  for (const text of ["x", key.text.slice(0, -1), `${key.text.slice(0, -1)}!`, token.text]) {
    assert.deepEqual(
      [await started.gate.authenticateCaller(text)].map((v) => v.ok),
      [false],
    );
  }
  assert.equal((await started.handshake(key.text)).status, 401);
  assert.equal(started.api.checks, 0);

  assert.equal((await passing(timers, started.handshake(token.text))).status, 401);
  assert.equal((await passing(timers, started.edge(mintDeviceId(), key.text))).status, 401);
  assert.equal(started.api.checks, 2);
  assert.equal((await started.handshake(token.text)).status, 401);
  assert.equal((await started.edge(mintDeviceId(), key.text)).status, 401);
  assert.equal(started.api.checks, 2);
  timers.advance(10_000);
  assert.equal((await passing(timers, started.handshake(token.text))).status, 401);
  assert.equal(started.api.checks, 3);
});

test("a key that may not call, or too often, is told so", async (t) => {
  const started = await startApiRelay(t);
  const [forbidden, limited] = [started.api.addKey(), started.api.addKey()];
  started.api.revoke(forbidden.ref, 403);
  const row = started.api.keys.get(limited.ref);
  if (row !== undefined) row.answer = { ok: false, status: 429, retry_after: 7 };
  assert.equal((await started.edge(mintDeviceId(), forbidden.text)).status, 403);
  const answer = await started.edge(mintDeviceId(), limited.text);
  assert.deepEqual([answer.status, answer.headers["retry-after"]], [429, "7"]);
});

test("a foreign device answers as a missing one, a device of one's own that is away as offline", async (t) => {
  const started = await startApiRelay(t);
  const key = started.api.addKey();
  const held = started.api.addKey({ devices: [mintDeviceId()] });
  const own = started.api.addDevice();
  const foreign = started.api.addDevice("t2");
  const online = started.api.addDevice("t2");
  await started.connect(online, HELLO);
  const missing = await started.edge(mintDeviceId(), key.text);
  assert.equal(missing.status, 404);
  for (const { deviceId } of [foreign, online]) {
    const answer = await started.edge(deviceId, key.text);
    const withoutId = (text: string) => text.replace(/"request_id":"[^"]*"/, "");
    assert.deepEqual([answer.status, withoutId(answer.text)], [404, withoutId(missing.text)]);
  }
  assert.equal((await started.edge(own.deviceId, held.text)).status, 404);
  const offline = await started.edge(own.deviceId, key.text);
  assert.deepEqual([offline.status, JSON.parse(offline.text).stage], [503, "offline"]);
  const { length } = started.api.calls;
  await started.edge(own.deviceId, key.text);
  await started.edge(foreign.deviceId, key.text);
  assert.equal(started.api.calls.length, length, "owners are remembered");
});

/** A relay with a live device and a used key, and another device and key that nobody has seen. */
async function withKnown(t: Parameters<typeof startApiRelay>[0], failClosedAfterMs = 0) {
  const { timers, options } = manual();
  const started = await startApiRelay(t, { ...options, failClosedAfterMs });
  const device = started.api.addDevice();
  const key = started.api.addKey();
  const live = await passing(timers, started.connect(device, HELLO));
  assert.equal((await passing(timers, started.edge(device.deviceId, key.text))).status, 200);
  return {
    ...started,
    timers,
    device,
    key,
    live,
    unknownDevice: started.api.addDevice(),
    unknownKey: started.api.addKey(),
  };
}

test("API server away: live tunnels stay, known tokens and keys stay good, unknown ones get 503 and Retry-After", async (t) => {
  const started = await withKnown(t);
  const { timers, device, key, unknownDevice, unknownKey } = started;
  await started.api.stop();
  // All that was known is past its minute when the API server is missed.
  timers.advance(120_000);
  const first = await passing(timers, started.handshake(unknownDevice.token.text));
  assert.equal(first.status, 503);
  const { status, headers, text } = await started.edge(device.deviceId, unknownKey.text);
  assert.equal(status, 503);
  assert.match(String(headers["retry-after"]), /^[1-9]\d?$/);
  assert.equal(JSON.parse(text).code, "ERR_RELAY_GATE_UNAVAILABLE");
  assert.match(String(first.headers["retry-after"]), /^[1-9]\d?$/);

  assert.equal((await started.edge(device.deviceId, key.text)).text, "hello");
  const again = await started.connect(device, HELLO);
  assert.equal(await started.live.closed, 4409);
  assert.equal((await started.edge(device.deviceId, key.text)).text, "hello");
  timers.advance(24 * 3_600_000);
  assert.equal((await started.edge(device.deviceId, key.text)).text, "hello");
  assert.equal((await started.edge(unknownDevice.deviceId, key.text)).status, 503);

  await started.api.start();
  const answered = started.api.nextCall();
  await passing(timers, answered);
  await passingUntil(timers, () => started.logText().includes("the API server is back"));
  await passing(timers, started.connect(unknownDevice, HELLO));
  const back = await passing(timers, started.edge(unknownDevice.deviceId, unknownKey.text));
  assert.equal(back.text, "hello");
  assert.equal(again.webSocket.readyState, again.webSocket.OPEN);
});

test("API server away: an error or nonsense counts as away, and it is told once", async (t) => {
  const started = await withKnown(t);
  const { timers, device, key, unknownKey } = started;
  started.api.failWith = 500;
  const refused = await passing(timers, started.edge(device.deviceId, unknownKey.text));
  assert.equal(refused.status, 503);
  timers.advance(60_000);
  await passing(timers, started.api.nextCall());
  assert.equal((await started.edge(device.deviceId, key.text)).text, "hello");
  assert.equal(started.logText().split("the API server is away").length, 2);
  started.api.failWith = 0;
  await passingUntil(timers, () => started.logText().includes("the API server is back"));
  assert.equal((await passing(timers, started.edge(device.deviceId, unknownKey.text))).status, 200);
});

test("API server away: what was revoked meanwhile is found at once when it is back", async (t) => {
  const started = await withKnown(t);
  await started.api.stop();
  started.timers.advance(120_000);
  await passingUntil(started.timers, () => started.logText().includes("server is away"));
  started.api.revoke(started.device.token.ref);
  await started.api.start();
  assert.equal(await passing(started.timers, started.live.closed), 4403);
});

test("--fail-closed-after: when the API server is away for so long, tunnels close and nothing is good", async (t) => {
  const started = await withKnown(t, 30_000);
  const { timers, device, key } = started;
  await started.api.stop();
  timers.advance(60_000);
  await passingUntil(timers, () => started.logText().includes("server is away"));
  timers.advance(25_000);
  assert.equal((await started.edge(device.deviceId, key.text)).text, "hello");
  timers.advance(6_000);
  assert.equal(await started.live.closed, 1013);
  assert.equal((await started.edge(device.deviceId, key.text)).status, 503);
  assert.equal((await started.handshake(device.token.text)).status, 503);
  await started.api.start();
  await passingUntil(timers, () => started.logText().includes("the API server is back"));
  await passing(timers, started.connect(device, HELLO));
  assert.equal((await passing(timers, started.edge(device.deviceId, key.text))).text, "hello");
});

test("revoking closes the tunnel within 2 s, requests in flight included, and the token is good no more", async (t) => {
  const started = await startApiRelay(t);
  const device = started.api.addDevice();
  const key = started.api.addKey();
  const live = await started.connect(device, { http: () => {} });
  const running = started.edge(device.deviceId, key.text);
  await live.opened();
  started.api.revoke(device.token.ref);
  const startedAt = performance.now();
  const { closed } = await started.client.announce({
    revoked: [device.token.ref],
    changed: [],
    devices: [],
  });
  assert.equal(closed, 1);
  assert.equal(await live.closed, 4403);
  assert.equal((await running).status, 502);
  assert.ok(performance.now() - startedAt < 2_000);
  assert.equal((await started.handshake(device.token.text)).status, 401);
});

test("closing a session to revoke its token is enough: the gate forgets it too", async (t) => {
  const started = await startApiRelay(t);
  const device = started.api.addDevice();
  const live = await started.connect(device);
  started.api.revoke(device.token.ref);
  await started.client.close(device.token.ref);
  // The device may dial again, and finds out then.
  assert.equal(await live.closed, 4410);
  assert.equal((await started.handshake(device.token.text)).status, 401);
});

test("a token that is revoked while it is being checked is not let in by the answer from before", async (t) => {
  const started = await startApiRelay(t);
  await until(() => started.api.calls.length === 1, "the call at the start");
  const device = started.api.addDevice();
  const release = started.api.hold();
  const asked = started.api.nextCall();
  const handshake = started.handshake(device.token.text);
  await asked;
  started.api.revoke(device.token.ref);
  await started.client.announce({ revoked: [device.token.ref], changed: [], devices: [] });
  release();
  assert.equal((await handshake).status, 401);
});

test("every live token is re-checked each 60 s, and what is not good any more is closed", async (t) => {
  const { timers, options } = manual();
  const started = await startApiRelay(t, options);
  const devices = [started.api.addDevice(), started.api.addDevice()] as const;
  const [good, bad] = await passing(
    timers,
    Promise.all(devices.map((device) => started.connect(device))),
  );
  const refs = devices.map(({ token }) => token.ref).sort();
  const before = started.api.calls.length;
  started.api.revoke(devices[1].token.ref);
  timers.advance(50_000);
  assert.equal(started.api.calls.length, before);
  const asked = started.api.nextCall();
  timers.advance(10_000);
  await asked;
  assert.deepEqual([...(started.api.calls.at(-1)?.recheck ?? [])].sort(), refs);
  assert.equal(await bad?.closed, 4403);
  assert.equal(good?.webSocket.readyState, 1);

  const next = started.api.nextCall();
  timers.advance(61_000);
  await next;
  assert.deepEqual(started.api.calls.at(-1)?.recheck, [devices[0].token.ref]);
  // A live token stays fresh by its re-checks: its device comes back without a question.
  await until(() => started.gate.inspect().waiting === 0, "the answers");
  const checks = started.api.checks;
  await started.connect(devices[0]);
  assert.equal(started.api.checks, checks);
});

test("a key in use is asked about each minute while it stays good; one that rested is asked about first", async (t) => {
  const started = await withKnown(t);
  const { timers, api, key, device } = started;
  const keyChecks = () => api.calls.reduce((sum, { keys }) => sum + keys.length, 0);
  assert.equal((await started.edge(device.deviceId, key.text)).status, 200);
  timers.advance(61_000);
  await passingUntil(timers, () => keyChecks() === 2);
  await passingUntil(timers, () => started.gate.inspect().waiting === 0);
  assert.equal((await started.edge(device.deviceId, key.text)).status, 200);
  assert.equal(keyChecks(), 2);

  started.api.revoke(key.ref);
  timers.advance(61_000);
  await passingUntil(timers, () => started.gate.inspect().keys === 0);
  assert.equal((await started.edge(device.deviceId, key.text)).status, 401);

  const rested = api.addKey();
  await passing(timers, started.edge(device.deviceId, rested.text));
  timers.advance(62_000);
  timers.advance(62_000);
  await passingUntil(timers, () => started.gate.inspect().waiting === 0);
  api.revoke(rested.ref);
  assert.equal((await passing(timers, started.edge(device.deviceId, rested.text))).status, 401);
});

test("a change of a key or a device is in force when the relay was told", async (t) => {
  const started = await startApiRelay(t);
  const device = started.api.addDevice();
  const key = started.api.addKey();
  await started.connect(device, HELLO);
  assert.equal((await started.edge(device.deviceId, key.text)).status, 200);

  const row = started.api.keys.get(key.ref);
  if (row?.answer.ok) row.answer = { ...row.answer, devices: [mintDeviceId()] };
  await started.client.announce({ revoked: [], changed: [key.ref], devices: [] });
  assert.equal((await started.edge(device.deviceId, key.text)).status, 404);

  started.api.revoke(key.ref);
  await started.client.announce({ revoked: [key.ref], changed: [], devices: [] });
  assert.equal((await started.edge(device.deviceId, key.text)).status, 401);

  const made = mintDeviceId();
  const other = started.api.addKey();
  assert.equal((await started.edge(made, other.text)).status, 404);
  started.api.devices.set(made, "t1");
  await started.client.announce({ revoked: [], changed: [], devices: [made] });
  assert.equal((await started.edge(made, other.text)).status, 503);
  started.api.devices.set(device.deviceId, "t2");
  await started.client.announce({ revoked: [], changed: [], devices: [device.deviceId] });
  assert.equal((await started.edge(device.deviceId, other.text)).status, 404);
});

test("tokens and keys that expire are good no more, whether the API server can be asked or not", async (t) => {
  const { timers, options } = manual();
  let wallNow = Date.parse("2027-01-31T00:00:00Z");
  const started = await startApiRelay(t, { ...options, wallNow: () => wallNow });
  const expires_at = "2027-01-31T01:00:00Z";
  const device = started.api.addDevice("t1", expires_at);
  const key = started.api.addKey({ expires_at });
  await passing(timers, started.connect(device, HELLO));
  await passing(timers, started.edge(device.deviceId, key.text));
  await started.api.stop();
  timers.advance(61_000);
  await passingUntil(timers, () => started.logText().includes("server is away"));
  assert.equal((await started.edge(device.deviceId, key.text)).status, 200);
  wallNow = Date.parse(expires_at);
  timers.advance(1_000);
  assert.equal((await started.edge(device.deviceId, key.text)).status, 503);
  assert.equal((await started.handshake(device.token.text)).status, 503);
});

test("what is remembered has limits, and so has what waits", async (t) => {
  const { timers, options } = manual();
  const limits = { knownTokensMax: 3, knownDevicesMax: 4, cachedKeysMax: 2, refusedMax: 5 };
  const started = await startApiRelay(t, { ...options, ...limits, waitingMax: 8 });
  await until(() => started.api.calls.length === 1, "the call at the start");
  const { gate, api } = started;
  const ask = async (questions: readonly (() => unknown)[]): Promise<void> => {
    for (const question of questions) await passing(timers, Promise.resolve(question()));
  };
  await ask(
    Array.from({ length: 6 }, () => () => gate.authenticateDevice(api.addDevice().token.text)),
  );
  await ask(Array.from({ length: 6 }, () => () => gate.authenticateCaller(api.addKey().text)));
  await ask(Array.from({ length: 9 }, () => () => gate.authenticateCaller(mintToken("key").text)));
  assert.deepEqual(gate.inspect(), { tokens: 3, devices: 4, keys: 2, refused: 5, waiting: 0 });

  const waiting = Array.from({ length: 9 }, () => gate.authenticateCaller(api.addKey().text));
  assert.equal(gate.inspect().waiting, 8);
  const verdicts = await passing(timers, Promise.all(waiting));
  assert.deepEqual(
    verdicts.map((verdict) => (verdict.ok ? 200 : verdict.status)),
    [...new Array(8).fill(200), 503],
  );
});

test("a call that stays unanswered ends in time, and the API server is away", async (t) => {
  const started = await startApiRelay(t, { callTimeoutMs: 100 });
  await until(() => started.api.calls.length === 1, "the call at the start");
  const release = started.api.hold();
  const verdict = await started.gate.authenticateCaller(started.api.addKey().text);
  release();
  assert.deepEqual([verdict.ok, !verdict.ok && verdict.status], [false, 503]);
  assert.match(started.logText(), /ERR_GATE_UNREACHABLE/);
});

test("another internal secret than the API server's is told in the log; the relay serves nobody", async (t) => {
  const started = await startApiRelay(t, { secret: "another-secret-canary-0123456789" });
  assert.equal((await started.handshake(started.api.addDevice().token.text)).status, 503);
  assert.match(started.logText(), /ERR_GATE_STATUS/);
  assert.match(started.logText(), /"status":401/);
  assert.ok(!started.logText().includes("another-secret-canary"));
});

test("no secret is in a log line or in what the API server is sent", async (t) => {
  const started = await withKnown(t);
  const { api, timers, device, key, unknownDevice, unknownKey } = started;
  const strangers: StandInDevice[] = [{ deviceId: mintDeviceId(), token: mintToken("device") }];
  for (const { token } of strangers) await passing(timers, started.handshake(token.text));
  await started.client.announce({ revoked: [device.token.ref], changed: [key.ref], devices: [] });
  await passing(timers, started.edge(device.deviceId, key.text));
  await api.stop();
  await passing(timers, started.handshake(unknownDevice.token.text));
  await passing(timers, started.edge(device.deviceId, unknownKey.text));
  await started.relay.close();
  const everything = started.logText() + api.received;
  for (const token of [
    device.token,
    key,
    unknownKey,
    unknownDevice.token,
    ...strangers.map((s) => s.token),
  ]) {
    // The secret's own characters, without the reference in front of them.
    assert.ok(!everything.includes(token.text.slice(13)), token.ref);
    assert.ok(!started.logText().includes(token.secretDigest), token.ref);
  }
  assert.ok(!everything.includes(SECRET));
  assert.ok(api.received.includes(device.token.ref));
});
