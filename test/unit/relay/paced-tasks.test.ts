import assert from "node:assert/strict";
import { test } from "node:test";
import { PacedTasks } from "../../../src/relay/paced-tasks.ts";

/** Tasks of 3 a turn, and the turns by hand. */
function setUp() {
  const turns: (() => void)[] = [];
  const done: string[] = [];
  const paced = new PacedTasks(3, (work) => turns.push(work));
  const push = (name: string): void => {
    paced.push((hasWaited) => done.push(hasWaited ? `${name} later` : name));
  };
  const turn = (): void => turns.shift()?.();
  return { paced, turns, done, push, turn };
}

test("paced tasks: the first of a burst run at once, the rest in their order, so many a turn", () => {
  const { paced, turns, done, push, turn } = setUp();
  for (const name of "abcdefgh") push(name);
  assert.deepEqual(done.splice(0), ["a", "b", "c"]);
  assert.equal(paced.size, 5);
  turn();
  assert.deepEqual(done.splice(0), ["d later", "e later", "f later"]);
  push("i");
  turn();
  assert.deepEqual(done.splice(0), ["g later", "h later", "i later"]);
  assert.equal(paced.size, 0);
  turn();
  assert.deepEqual(turns, [], "nothing is scheduled when nothing waits");
});

test("paced tasks: one that comes while others wait does not pass them, nor one that a task pushes", () => {
  const { paced, done, push, turn } = setUp();
  paced.push(() => {
    for (const name of "abc") push(name);
  });
  assert.deepEqual(done.splice(0), ["a", "b"]);
  push("d");
  turn();
  assert.deepEqual(done.splice(0), ["c later", "d later"]);
});

test("paced tasks: a turn that has run some lets in as many again in the next", () => {
  const { done, push, turn } = setUp();
  for (const name of "abc") push(name);
  turn();
  for (const name of "def") push(name);
  assert.deepEqual(done, ["a", "b", "c", "d", "e", "f"]);
});

test("paced tasks: without a clock of a test they run in turns of the event loop", async () => {
  const paced = new PacedTasks(1);
  await new Promise<void>((resolve) => {
    paced.push(() => {});
    paced.push(() => resolve());
  });
  assert.equal(paced.size, 0);
});
