import assert from "node:assert/strict";
import { test } from "node:test";
import { pino } from "pino";
import type { AuthorizeAnswer, AuthorizeRequest } from "../../../../src/core/contract.ts";
import {
  AuthorizeQueue,
  type QueueListener,
  STORM_WAITS,
  WAIT_MS,
} from "../../../../src/relay/api-gate/authorize-queue.ts";
import { ManualTimers } from "../../../support/agent/manual-timers.ts";

interface Call {
  readonly request: AuthorizeRequest;
  /** Answers that every key is good and every token refused. */
  answer(extras?: Partial<AuthorizeAnswer>): Promise<void>;
  fail(): Promise<void>;
}

interface Harness {
  readonly timers: ManualTimers;
  readonly queue: AuthorizeQueue;
  readonly calls: Call[];
  readonly rechecked: [readonly string[], readonly string[]][];
  readonly backs: () => number;
}

function harness(waitingMax = 20_000): Harness {
  const timers = new ManualTimers(1_000);
  const calls: Call[] = [];
  const rechecked: [readonly string[], readonly string[]][] = [];
  let backs = 0;
  const listener: QueueListener = {
    queueOnRechecked: (good, revoked) => rechecked.push([good, revoked]),
    queueOnBack: () => {
      backs += 1;
    },
  };
  const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  const send = (request: AuthorizeRequest): Promise<AuthorizeAnswer> =>
    new Promise((resolve, reject) => {
      calls.push({
        request,
        answer: (extras = {}) => {
          resolve({
            tokens: request.tokens.map(() => ({ ok: false, status: 401 })),
            keys: request.keys.map(() => ({ ok: true, user_id: "u", tenant_id: "t" })),
            devices: request.devices.map(() => null),
            revoked: [],
            ...extras,
          });
          return settled();
        },
        fail: () => {
          reject(new Error("away"));
          return settled();
        },
      });
    });
  const queue = new AuthorizeQueue({
    send,
    listener,
    logger: pino({ level: "silent" }),
    clock: timers,
    timers,
    random: () => 0.5,
    waitingMax,
  });
  return { timers, queue, calls, rechecked, backs: () => backs };
}

function askMany(queue: AuthorizeQueue, count: number, from = 0): Promise<unknown>[] {
  return Array.from({ length: count }, (_, index) => queue.ask("keys", `k${from + index}`, "d"));
}

test("authorize queue: a call is sent 50 ms after the first check, with all that came", async () => {
  const { queue, timers, calls } = harness();
  const token = queue.ask("tokens", "t1", "d1");
  timers.advance(WAIT_MS - 1);
  const key = queue.ask("keys", "k1", "d2");
  const device = queue.ask("devices", "dev", "");
  assert.equal(calls.length, 0);
  timers.advance(1);
  assert.deepEqual(calls[0]?.request, {
    tokens: [{ ref: "t1", digest: "d1" }],
    keys: [{ ref: "k1", digest: "d2" }],
    devices: ["dev"],
    recheck: [],
  });
  await calls[0]?.answer();
  assert.deepEqual(await token, { answered: true, reply: { ok: false, status: 401 } });
  assert.equal((await key).answered, true);
  assert.deepEqual(await device, { answered: true, reply: null });
  assert.equal(queue.size, 0);
  assert.equal(timers.pending, 0);
});

test("authorize queue: 500 checks are sent at once, the 501st with the next call, one call at a time", async () => {
  const { queue, timers, calls } = harness();
  const asked = askMany(queue, 499);
  assert.equal(calls.length, 0);
  asked.push(...askMany(queue, 700, 499));
  assert.equal(calls.length, 1);
  assert.equal(calls[0]?.request.keys.length, 500);
  timers.advance(60_000);
  assert.equal(calls.length, 1);
  await calls[0]?.answer();
  assert.equal(calls[1]?.request.keys.length, 500);
  await calls[1]?.answer();
  assert.equal(calls[2]?.request.keys.length, 199);
  await calls[2]?.answer();
  assert.equal((await Promise.all(asked)).length, 1_199);
});

test("authorize queue: the same question is asked once, whether it waits or is under way", async () => {
  const { queue, timers, calls } = harness();
  const first = queue.ask("keys", "k1", "d");
  assert.equal(queue.ask("keys", "k1", "d"), first);
  timers.advance(WAIT_MS);
  assert.equal(queue.ask("keys", "k1", "d"), first);
  assert.notEqual(queue.ask("keys", "k1", "other"), first);
  await calls[0]?.answer();
  assert.deepEqual(calls[0]?.request.keys, [{ ref: "k1", digest: "d" }]);
  assert.notEqual(queue.ask("keys", "k1", "d"), first);
});

test("authorize queue: after a call with many checks the next one waits longer, until few come again", async () => {
  const { queue, timers, calls } = harness();
  let waitMs = WAIT_MS;
  for (const { checksMin, waitMs: next } of [...STORM_WAITS].reverse()) {
    askMany(queue, checksMin, 1_000 * checksMin);
    const before = calls.length;
    timers.advance(waitMs - 1);
    assert.equal(calls.length, before);
    timers.advance(1);
    assert.equal(calls.length, before + 1);
    await calls.at(-1)?.answer();
    waitMs = next;
  }
  // Few again: half of the wait before, down to that of a quiet relay.
  for (let few = 1; waitMs > WAIT_MS || few < 6; few++) {
    askMany(queue, 1, 100 * few);
    const before = calls.length;
    timers.advance(waitMs - 1);
    assert.equal(calls.length, before);
    timers.advance(1);
    assert.equal(calls.length, before + 1);
    await calls.at(-1)?.answer();
    waitMs = Math.max(WAIT_MS, Math.floor(waitMs / 2));
  }
});

test("authorize queue: 10,000 devices that come at 2,000 a second are 30 calls at most, answered in 100 ms each", async () => {
  const { queue, timers, calls } = harness();
  let answeredAt = Number.POSITIVE_INFINITY;
  let answered = 0;
  for (let ms = 0, asked = 0; asked < 10_000 || queue.size > 0; ms++) {
    for (let count = 0; count < 2 && asked < 10_000; count++) {
      void queue.ask("tokens", `t${asked++}`, "d");
    }
    if (calls.length > answered && answeredAt === Number.POSITIVE_INFINITY) answeredAt = ms + 100;
    if (ms >= answeredAt) {
      answeredAt = Number.POSITIVE_INFINITY;
      await calls[answered++]?.answer();
    }
    timers.advance(1);
  }
  assert.ok(calls.length <= 30, `${calls.length} calls`);
});

test("authorize queue: at its limit a new question is not answered, one that is asked already is", async () => {
  const { queue, timers, calls } = harness(3);
  const asked = askMany(queue, 3);
  assert.deepEqual(await queue.ask("keys", "k9", "d"), { answered: false });
  assert.equal(queue.ask("keys", "k2", "d"), asked[2]);
  assert.equal(queue.retryAfterS, 1);
  timers.advance(WAIT_MS);
  await calls[0]?.answer();
  assert.equal((await asked[2]) !== undefined, true);
  const next = queue.ask("keys", "k9", "d");
  timers.advance(WAIT_MS);
  await calls[1]?.answer();
  assert.equal((await next).answered, true);
});

test("authorize queue: a failed call answers all that wait, and then only probes go out until one succeeds", async () => {
  const { queue, timers, calls, backs } = harness();
  const flying = queue.ask("keys", "k1", "d");
  timers.advance(WAIT_MS);
  const waiting = queue.ask("keys", "k2", "d");
  await calls[0]?.fail();
  for (const outcome of [flying, waiting, queue.ask("keys", "k3", "d")]) {
    assert.deepEqual(await outcome, { answered: false });
  }
  assert.equal(queue.away, true);
  assert.equal(calls.length, 1);
  // Back-off with half of its ceilings: 250, 500, 1,000, then 2,500 ms, each 100 ms later.
  for (const [index, waitMs] of [350, 600, 1_100, 2_100, 2_600, 2_600].entries()) {
    assert.equal(timers.nextInMs, waitMs);
    assert.equal(queue.retryAfterS, Math.ceil(waitMs / 1_000));
    timers.advance(waitMs);
    assert.equal(calls.length, index + 2);
    assert.deepEqual(calls[index + 1]?.request, { tokens: [], keys: [], devices: [], recheck: [] });
    await calls[index + 1]?.fail();
  }
  assert.equal(queue.awayMs, 9_350);
  timers.advance(2_600);
  await calls[7]?.answer();
  assert.deepEqual([queue.away, queue.awayMs, backs()], [false, 0, 1]);
  const again = queue.ask("keys", "k1", "d");
  timers.advance(WAIT_MS);
  await calls[8]?.answer();
  assert.equal((await again).answered, true);
  assert.equal(backs(), 1);
});

test("authorize queue: what changes while it is under way is asked again before it is answered", async () => {
  const { queue, timers, calls } = harness();
  const changed = queue.ask("keys", "k1", "d");
  const other = queue.ask("keys", "k2", "d");
  timers.advance(WAIT_MS);
  queue.forget(new Set(["k1"]));
  assert.equal(queue.ask("keys", "k1", "d"), changed);
  await calls[0]?.answer();
  assert.equal((await other).answered, true);
  timers.advance(WAIT_MS);
  assert.deepEqual(calls[1]?.request.keys, [{ ref: "k1", digest: "d" }]);
  await calls[1]?.answer({ keys: [{ ok: false, status: 401 }] });
  assert.deepEqual(await changed, { answered: true, reply: { ok: false, status: 401 } });
});

test("authorize queue: re-checks go at once, 5,000 a call at most, none of them twice", async () => {
  const { queue, timers, calls, rechecked } = harness();
  const key = queue.ask("keys", "k1", "d");
  const refs = Array.from({ length: 5_001 }, (_, index) => `t${index}`);
  queue.recheck(refs);
  queue.recheck(refs.slice(-1));
  assert.equal(calls[0]?.request.recheck.length, 5_000);
  assert.equal(calls[0]?.request.keys.length, 1);
  await calls[0]?.answer({ revoked: ["t7"] });
  assert.equal((await key).answered, true);
  assert.deepEqual(rechecked[0]?.[1], ["t7"]);
  assert.equal(rechecked[0]?.[0].length, 4_999);
  assert.deepEqual(calls[1]?.request.recheck, ["t5000"]);
  await calls[1]?.answer();
  assert.equal(calls.length, 2);
  assert.equal(timers.pending, 0);
});

test("authorize queue: closed, it answers what waits and asks nothing more", async () => {
  const { queue, timers, calls } = harness();
  const flying = queue.ask("keys", "k1", "d");
  timers.advance(WAIT_MS);
  const waiting = queue.ask("keys", "k2", "d");
  queue.close();
  for (const outcome of [flying, waiting, queue.ask("keys", "k3", "d")]) {
    assert.deepEqual(await outcome, { answered: false });
  }
  queue.recheck(["t1"]);
  queue.ping();
  await calls[0]?.answer();
  timers.advance(60_000);
  assert.equal(calls.length, 1);
});
