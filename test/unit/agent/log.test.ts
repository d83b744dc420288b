import assert from "node:assert/strict";
import { test } from "node:test";
import { type AgentLog, ThrottledLog } from "../../../src/agent/log.ts";
import { ManualClock } from "../../../src/core/clock.ts";

test("one line a reason and interval, and the next says how many were left out", () => {
  const lines: object[] = [];
  const note = (fields: object): void => void lines.push(fields);
  const log: AgentLog = { debug: note, info: note, warn: note, error: note };
  const clock = new ManualClock();
  const throttled = new ThrottledLog(log, clock, 10_000);
  for (let request = 0; request < 5; request += 1) throttled.warn("refused", { n: 1 }, "refused");
  throttled.warn("broken", { n: 2 }, "broken");
  clock.advance(10_000);
  throttled.warn("refused", { n: 3 }, "refused");
  throttled.warn("refused", { n: 4 }, "refused");
  clock.advance(10_000);
  throttled.warn("broken", { n: 5 }, "broken");
  assert.deepEqual(lines, [{ n: 1 }, { n: 2 }, { n: 3, suppressed: 4 }, { n: 5 }]);
});
