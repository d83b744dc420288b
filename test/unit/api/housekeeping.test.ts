import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { pino } from "pino";
import { Housekeeping } from "../../../src/api/housekeeping.ts";
import { ManualTimers } from "../../support/api/manual-timers.ts";

function start(run: () => Promise<void>) {
  const timers = new ManualTimers();
  const lines: string[] = [];
  const logger = pino({ level: "trace" }, { write: (line: string) => void lines.push(line) });
  return { timers, lines, housekeeping: new Housekeeping(run, { logger, intervalMs: 7, timers }) };
}

/** Something that runs until it is told to end. */
function held() {
  const runs: (() => void)[] = [];
  const run = () => new Promise<void>((resolve) => void runs.push(resolve));
  return { runs, run };
}

describe("Housekeeping", () => {
  it("runs at once, and again an interval after the end, never twice at a time", async () => {
    const { runs, run } = held();
    const { timers, housekeeping } = start(run);
    housekeeping.start();
    housekeeping.start();
    assert.equal(runs.length, 1);
    assert.deepEqual(timers.delays, []);
    runs[0]?.();
    await timers.set(7);
    assert.equal(runs.length, 1);
    timers.fire(7);
    assert.equal(runs.length, 2);
    assert.deepEqual(timers.delays, []);
    runs[1]?.();
    await timers.set(7);
    await housekeeping.stop();
    assert.deepEqual(timers.delays, []);
  });

  it("goes on after a run that failed, and logs it", async () => {
    const { timers, lines, housekeeping } = start(() => Promise.reject(new Error("of the store")));
    housekeeping.start();
    await timers.set(7);
    timers.fire(7);
    await timers.set(7);
    assert.equal(lines.length, 2);
    assert.match(lines[0] ?? "", /of the store/);
    await housekeeping.stop();
  });

  it("waits at its stop for the run under way, and sets no timer after it", async () => {
    const { runs, run } = held();
    const { timers, housekeeping } = start(run);
    housekeeping.start();
    let isStopped = false;
    const stopped = housekeeping.stop().then(() => {
      isStopped = true;
    });
    await Promise.resolve();
    assert.equal(isStopped, false);
    runs[0]?.();
    await stopped;
    assert.deepEqual(timers.delays, []);
  });

  it("started again during its last run, it does not run twice", async () => {
    const { runs, run } = held();
    const { timers, housekeeping } = start(run);
    housekeeping.start();
    const stopped = housekeeping.stop();
    housekeeping.start();
    assert.equal(runs.length, 1);
    runs[0]?.();
    await stopped;
    await timers.set(7);
    timers.fire(7);
    assert.equal(runs.length, 2);
    const end = housekeeping.stop();
    runs[1]?.();
    await end;
  });
});
