import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualTimers } from "../../support/agent/manual-timers.ts";
import { passing, passingUntil, startApiRelay } from "../../support/api/start-api-relay.ts";
import { until } from "../../support/until.ts";

/** Keys that carry a limit of requests, at the edge. */

const HELLO = {
  http: (_request: unknown, response: { end(text: string): void }) => response.end("hello"),
};

async function setUp(
  t: Parameters<typeof startApiRelay>[0],
  more: { cachedKeysMax?: number } = {},
) {
  const timers = new ManualTimers(1_000);
  const started = await startApiRelay(t, { clock: timers, timers, random: () => 0.5, ...more });
  await until(() => started.api.calls.length === 1, "the call at the start");
  const device = started.api.addDevice();
  await passing(timers, started.connect(device, HELLO));
  const statusOf = async (key: string): Promise<number> =>
    (await passing(timers, started.edge(device.deviceId, key))).status;
  return { ...started, timers, device, statusOf };
}

test("beyond a key's own limit a request is 429 with Retry-After, and another key's are not", async (t) => {
  const { api, timers, device, edge, statusOf } = await setUp(t);
  const limited = api.addKey({ requests_per_minute: 3 }).text;
  const free = api.addKey().text;
  for (let count = 0; count < 3; count++) assert.equal(await statusOf(limited), 200);
  const { status, headers, text } = await edge(device.deviceId, limited);
  const problem = JSON.parse(text);
  assert.deepEqual(
    [status, problem.code, problem.stage, problem.retriable],
    [429, "ERR_RELAY_LIMITED", "limited", true],
  );
  assert.equal(Number(headers["retry-after"]), 20);
  assert.equal(await statusOf(free), 200);
  timers.advance(20_000);
  assert.equal(await statusOf(limited), 200);
  assert.equal(await statusOf(limited), 429);
});

test("a device that there is not, or that is foreign, counts as a request of the key", async (t) => {
  const { api, timers, edge, statusOf } = await setUp(t);
  const foreign = api.addDevice("t2");
  const key = api.addKey({ requests_per_minute: 2 }).text;
  const answers = [];
  for (let count = 0; count < 3; count++) {
    answers.push((await passing(timers, edge(foreign.deviceId, key))).status);
  }
  assert.deepEqual(answers, [404, 404, 429]);
  assert.equal(await statusOf(key), 429);
});

test("asking about a key again, and its being forgotten, does not fill its bucket", async (t) => {
  const { api, timers, gate, statusOf } = await setUp(t, { cachedKeysMax: 1 });
  const key = api.addKey({ requests_per_minute: 2 });
  assert.equal(await statusOf(key.text), 200);
  assert.equal(await statusOf(key.text), 200);
  const asked = api.checks;
  gate.forget([key.ref], []);
  assert.equal(await statusOf(key.text), 429);
  assert.equal(api.checks, asked + 1);
  // In use, it is asked about each minute: at half of that the bucket holds one request.
  timers.advance(30_000);
  assert.equal(await statusOf(key.text), 200);
  timers.advance(29_000);
  await passingUntil(timers, () => api.checks > asked + 1);
  assert.equal(await statusOf(key.text), 200);
  assert.equal(await statusOf(key.text), 429);
});

test("a limit that is taken off or changed holds from the next answer on", async (t) => {
  const { api, gate, statusOf } = await setUp(t);
  const key = api.addKey({ requests_per_minute: 1 });
  assert.equal(await statusOf(key.text), 200);
  assert.equal(await statusOf(key.text), 429);
  const row = api.keys.get(key.ref);
  assert.ok(row?.answer.ok === true);
  row.answer = { ...row.answer, requests_per_minute: undefined };
  gate.forget([key.ref], []);
  assert.equal(await statusOf(key.text), 200);
  assert.equal(await statusOf(key.text), 200);
});
