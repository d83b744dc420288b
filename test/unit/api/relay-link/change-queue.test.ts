import assert from "node:assert/strict";
import { test } from "node:test";
import { pino } from "pino";
import { RelayCallError } from "../../../../src/api/index.ts";
import { type ChangeQueueOptions, RelayChangeQueue } from "../../../../src/api/relay-link/index.ts";
import type { ChangesTaken, CredentialChanges } from "../../../../src/core/contract.ts";
import { ManualTimers } from "../../../support/agent/manual-timers.ts";
import { until } from "../../../support/until.ts";

/** A relay that answers each call when the test says so. */
class ScriptedRelay {
  readonly calls: CredentialChanges[] = [];
  #settle: ((error: Error | null) => void)[] = [];

  readonly announce = (changes: CredentialChanges): Promise<ChangesTaken> => {
    this.calls.push(changes);
    return new Promise((resolve, reject) => {
      this.#settle.push((error) => (error === null ? resolve({ closed: 0 }) : reject(error)));
    });
  };

  get open(): number {
    return this.#settle.length;
  }

  async answer(error: Error | null = null): Promise<void> {
    await until(() => this.#settle.length > 0, "a call");
    this.#settle.shift()?.(error);
  }
}

function queueOf(over: Partial<ChangeQueueOptions> = {}) {
  const relay = new ScriptedRelay();
  const timers = new ManualTimers();
  const lines: string[] = [];
  const logger = pino({ level: "trace" }, { write: (line: string) => void lines.push(line) });
  const after = (delayMs: number, callback: () => void): (() => void) => {
    const entry = timers.set(callback, delayMs);
    return () => timers.clear(entry);
  };
  const fixed = { relay, logger, timers: { after }, random: () => 0.999 };
  const queue = new RelayChangeQueue({ ...fixed, ...over });
  return { queue, relay, timers, lines };
}

/** Whether a promise is settled once all that is ready has run. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  void promise.then(() => {
    settled = true;
  });
  await new Promise((resolve) => setImmediate(resolve));
  return settled;
}

const DOWN = new Error("down");

test("changes: an announcement settles when the relay has taken it, and not before", async () => {
  const { queue, relay } = queueOf();
  const taken = queue.announce({ revoked: ["vAc_00000001"], devices: ["d"] });
  assert.equal(await isSettled(taken), false);
  assert.deepEqual(relay.calls, [{ revoked: ["vAc_00000001"], changed: [], devices: ["d"] }]);
  await relay.answer();
  await taken;
  assert.equal(queue.size, 0);
});

test("changes: nothing to tell is no call", async () => {
  const { queue, relay } = queueOf();
  await queue.announce({});
  await queue.announce({ revoked: [] });
  assert.equal(relay.calls.length, 0);
});

test("changes: one call at a time; what comes meanwhile goes together in the next, each thing once", async () => {
  const { queue, relay } = queueOf();
  const first = queue.announce({ revoked: ["a"] });
  const second = queue.announce({ revoked: ["b"] });
  const third = queue.announce({ revoked: ["b", "c"], changed: ["k"] });
  assert.equal(relay.calls.length, 1);
  await relay.answer();
  await first;
  assert.equal(await isSettled(second), false);
  await relay.answer();
  await Promise.all([second, third]);
  assert.deepEqual(relay.calls[1], { revoked: ["b", "c"], changed: ["k"], devices: [] });
});

test("changes: the same thing announced while its call is under way is told once more", async () => {
  const { queue, relay } = queueOf();
  const first = queue.announce({ changed: ["k"] });
  const second = queue.announce({ changed: ["k"] });
  await relay.answer();
  await first;
  assert.equal(await isSettled(second), false);
  await relay.answer();
  await second;
  assert.equal(relay.calls.length, 2);
});

test("changes: an announcement that the relay does not take settles after a second, and is sent again until it is", async () => {
  const { queue, relay, timers } = queueOf();
  const announced = queue.announce({ revoked: ["a"] });
  await relay.answer(DOWN);
  assert.equal(await isSettled(announced), false);
  timers.advance(1_000);
  await announced;
  for (let attempt = 2; attempt < 10; attempt++) {
    await until(() => relay.open > 0, `call ${attempt}`);
    await relay.answer(DOWN);
    await until(() => queue.size === 1, "the change to wait again");
    // No delay is longer than this, however often it failed.
    timers.advance(1_500);
  }
  await relay.answer();
  await until(() => queue.size === 0, "the change to be taken");
  assert.deepEqual(relay.calls.at(-1)?.revoked, ["a"]);
});

test("changes: what failed stands before what came meanwhile", async () => {
  const { queue, relay, timers } = queueOf();
  void queue.announce({ revoked: ["a", "b"] });
  void queue.announce({ revoked: ["c", "b"] });
  await relay.answer(DOWN);
  await until(() => queue.size === 3, "all to wait");
  timers.advance(1_500);
  await until(() => relay.calls.length === 2, "the second call");
  assert.deepEqual(relay.calls[1]?.revoked, ["a", "b", "c"]);
  await relay.answer();
});

test("changes: a call has as many entries as the relay takes, and those that wait for the rest wait on", async () => {
  const { queue, relay } = queueOf({ callMax: 3 });
  void queue.announce({ changed: ["first"] });
  const many = queue.announce({ revoked: ["a", "b", "c", "d"] });
  await relay.answer();
  await until(() => relay.calls.length === 2, "the second call");
  assert.deepEqual(relay.calls[1]?.revoked, ["a", "b", "c"]);
  await relay.answer();
  await until(() => relay.calls.length === 3, "the third call");
  assert.equal(await isSettled(many), false);
  assert.deepEqual(relay.calls[2]?.revoked, ["d"]);
  await relay.answer();
  await many;
});

test("changes: at its limit the queue takes no more, says so once, and goes on when there is room", async () => {
  const { queue, relay, timers, lines } = queueOf({ entriesMax: 3 });
  void queue.announce({ changed: ["under way"] });
  void queue.announce({ revoked: ["a", "b", "c", "d", "e"] });
  assert.equal(queue.size, 3);
  await queue.announce({ revoked: ["f"] });
  assert.equal(lines.filter((line) => line.includes("too many changes wait")).length, 1);
  await relay.answer(DOWN);
  await until(() => queue.size === 4, "all to wait");
  timers.advance(1_500);
  await relay.answer();
  await until(() => queue.size === 0, "all to be taken");
  assert.deepEqual(relay.calls[1]?.revoked, ["a", "b", "c"]);
  const after = queue.announce({ revoked: ["g"] });
  await relay.answer();
  await after;
});

test("changes: close makes a last attempt, at once, and lets everybody go", async () => {
  const { queue, relay } = queueOf();
  const announced = queue.announce({ revoked: ["a"] });
  await relay.answer(DOWN);
  await until(() => queue.size === 1, "the change to wait");
  const closed = queue.close();
  await until(() => relay.calls.length === 2, "the last attempt");
  await relay.answer();
  await closed;
  assert.equal(await isSettled(announced), true);
  assert.equal(queue.size, 0);
});

test("changes: close ends though the relay is away, and says what it was not told", async () => {
  const { queue, relay, lines } = queueOf();
  void queue.announce({ revoked: ["a"] });
  await relay.answer(DOWN);
  await until(() => queue.size === 1, "the change to wait");
  const closed = queue.close();
  await relay.answer(DOWN);
  await closed;
  assert.equal(lines.filter((line) => line.includes("was not told of")).length, 1);
});

test("changes: what the relay cannot read does not hold up what comes behind it", async () => {
  const { queue, relay, lines } = queueOf();
  void queue.announce({ revoked: ["odd"] });
  const behind = queue.announce({ revoked: ["good"] });
  const call = "POST /internal/changes";
  await relay.answer(new RelayCallError("ERR_RELAY_CLIENT_STATUS", call, { status: 400 }));
  await relay.answer();
  await behind;
  assert.deepEqual(relay.calls[1]?.revoked, ["good"]);
  assert.equal(lines.filter((line) => line.includes("cannot read changes")).length, 1);
});
