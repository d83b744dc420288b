import assert from "node:assert/strict";
import { test } from "node:test";
import * as mux from "../../../src/mux/index.ts";
import { Counts } from "../../support/mux/counts.ts";
import { seedFromEnvironment } from "../../support/mux/prng.ts";
import { runSchedule } from "./schedule.ts";

const SCHEDULES = 3_000;

/** What a run must have met, each at least a hundred times. */
const MET = [
  ...["data", "syn", "ack", "fin", "rst", "credit", "ping", "pong", "go away"].flatMap((kind) => [
    `${kind} A`,
    `${kind} B`,
  ]),
  "window stall",
  "FIN crosses FIN",
  "FIN held for its time",
  "RST crosses data",
  "RST crosses FIN",
  "GoAway with streams open",
  "cut in header",
  "cut in payload",
  "split in header",
  "split in payload",
  "frames coalesced",
  "transport drained",
  "late accept",
  "consumed late",
  "refused",
  "keepalive death",
  "idle time",
  "deed on a dead stream",
] as const;

test("two sessions agree with the model over every schedule", { timeout: 300_000 }, (t) => {
  const one = seedFromEnvironment(0);
  const counts = new Counts();
  if (one !== 0) {
    runSchedule(mux, one, counts);
    t.diagnostic(`the schedule of seed ${one} passes`);
    return;
  }
  for (let seed = 1; seed <= SCHEDULES; seed++) runSchedule(mux, seed, counts);
  for (const [name, count] of counts.sorted()) t.diagnostic(`${name}: ${count}`);
  for (const name of MET) {
    assert.ok(counts.get(name) >= 100, `"${name}" was met ${counts.get(name)} times only`);
  }
});
