import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { ManualClock } from "../../../src/core/clock.ts";
import type { Session } from "../../../src/mux/index.ts";
import { Arena, ArenaRun, Turn } from "../../../src/relay/turn.ts";

test("the time of a turn stands still until its end, and is read anew for that and for the next turn", async () => {
  const clock = new ManualClock(1_000);
  const turn = new Turn(clock);
  assert.equal(turn.now, 1_000);
  clock.advance(5);
  assert.equal(turn.now, 1_000);
  const seen: number[] = [];
  turn.addTask({ turnRun: () => seen.push(turn.now) });
  turn.addTask({
    turnRun: () => {
      clock.advance(1);
      seen.push(turn.now);
    },
  });
  await nextTurn();
  assert.deepEqual(seen, [1_005, 1_005]);
  assert.equal(turn.now, 1_006);
});

test("a turn in which nothing but the time was asked for ends, too", async () => {
  const clock = new ManualClock(1_000);
  const turn = new Turn(clock);
  assert.equal(turn.now, 1_000);
  clock.advance(5);
  await nextTurn();
  assert.equal(turn.now, 1_005);
});

test("wall clock and clock of a turn are read together", (t) => {
  t.mock.timers.enable({ apis: ["Date"], now: 7_000 });
  const clock = new ManualClock(1_000);
  const turn = new Turn(clock);
  assert.equal(turn.wallNow, 7_000);
  t.mock.timers.setTime(8_000);
  clock.advance(1_000);
  assert.equal(turn.wallNow, 7_000);
  assert.equal(turn.now, 1_000);
});

test("a session that is run alone is flushed at its end, others with the turn", async () => {
  const turn = new Turn(new ManualClock(0));
  const flushed: string[] = [];
  const named = (name: string) => ({ flush: () => flushed.push(name) }) as unknown as Session;
  const [alone, other, clean] = [named("alone"), named("other"), named("clean")];
  turn.beginAlone(alone);
  turn.addDirty(alone);
  turn.addDirty(other);
  assert.deepEqual(flushed, []);
  turn.endAlone();
  turn.beginAlone(clean);
  turn.endAlone();
  assert.deepEqual(flushed, ["alone"]);
  turn.addDirty(alone);
  await nextTurn();
  assert.deepEqual(flushed, ["alone", "other", "alone"]);
});

test("a run of any length is what was put into it, whoever wrote between", () => {
  // About the length up to which bytes are copied in a loop and handed out in a piece that all share.
  for (const length of [0, 1, 13, 63, 64, 65, 66, 200]) {
    const arena = new Arena();
    const run = new ArenaRun();
    const other = new ArenaRun();
    const chunk = Uint8Array.from({ length: length + 8 }, (_, at) => at);
    run.append(arena, chunk, 4, 4 + (length >> 1));
    other.append(arena, chunk, 0, 3);
    run.append(arena, chunk, 4 + (length >> 1), 4 + length);
    assert.deepEqual([...run.view(arena)], [...chunk.subarray(4, 4 + length)]);
    assert.deepEqual([...other.view(arena)], [0, 1, 2]);
  }
});
