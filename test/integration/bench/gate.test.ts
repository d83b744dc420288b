/** The gate, run small: its counts hold, a build that was made worse is refused for the right figure, and its sums are right. */
import assert from "node:assert/strict";
import test from "node:test";
import { countCalls } from "../../../bench/counts/system-calls.ts";
import { REGRESSIONS, runRegression } from "../../../bench/gate/selftest.ts";
import { GATE_IDS, GATED_COUNTS, GATED_ROWS } from "../../../bench/gate/table.ts";
import { adviceOn, gateTable, gateVerdict } from "../../../bench/gate/verdict.ts";
import { measureMicro, microBenches } from "../../../bench/micro/measure.ts";

test("gate: one more copy of each received chunk is refused, for the copies", {
  timeout: 120_000,
}, async () => {
  const [copy] = REGRESSIONS.filter(({ name }) => name === "copy-per-chunk");
  assert.ok(copy !== undefined);
  const { ok, failed } = await runRegression(copy, ["copied_down", "copied_up"]);
  assert.deepEqual([ok, failed], [true, ["copied_down"]]);
});

test("gate: a count fails in both directions, beyond its precision", () => {
  const { value, precision } = GATED_COUNTS.allocated_small;
  const verdicts = [-1.01, -0.99, 0, 0.99, 1.01].map((times) =>
    gateVerdict("allocated_small", value + times * precision),
  );
  assert.deepEqual(
    verdicts.map(({ ok }) => ok),
    [false, true, true, true, false],
  );
  const [better, , , , worse] = verdicts;
  assert.ok(better !== undefined && worse !== undefined);
  assert.match(adviceOn(better), /became better: put .* into bench\/gate\/table\.ts/);
  assert.match(adviceOn(worse), /allocated_small is worse/);
});

test("gate: a ratio fails on its bad side alone, which for a rate is below", () => {
  const cost = GATED_ROWS.up_1;
  const most = cost.value * (1 + cost.tolerance);
  assert.deepEqual(
    [0, most * 0.99, most * 1.01].map((measured) => gateVerdict("up_1", measured).ok),
    [true, true, false],
  );
  const rate = GATED_ROWS.up_rate_1;
  const least = rate.value / (1 + rate.tolerance);
  assert.deepEqual(
    [least * 0.99, least * 1.01, 1_000].map((measured) => gateVerdict("up_rate_1", measured).ok),
    [false, true, true],
  );
});

test("gate: what could not be measured fails", () => {
  for (const id of GATE_IDS) assert.equal(gateVerdict(id, Number.NaN).ok, false, id);
});

test("gate: the table names every figure, and says what was measured twice", () => {
  const text = gateTable(GATE_IDS.map((id) => gateVerdict(id, 1e9, id === "up_1")));
  for (const id of GATE_IDS) assert.match(text, new RegExp(`^${id} `, "m"));
  assert.match(text, /^up_1 .*NO {2}measured twice$/m);
  assert.equal(text.match(/measured twice/g)?.length, 1);
});

test("gate: every regression is refused for a figure that is measured with it", () => {
  for (const { name, ids, fails } of REGRESSIONS) {
    assert.ok(fails.length > 0, name);
    for (const id of fails) assert.ok(ids.includes(id), `${name}: ${id}`);
  }
});

test("gate: system calls are those of the main thread in the least disturbed step", () => {
  const held = "7  --- SIGSTOP {si_signo=SIGSTOP, si_code=SI_USER, si_pid=1, si_uid=0} ---";
  const trace = [
    "7  recvfrom(1, before the first hold) = 1",
    held,
    "7  epoll_pwait(9, [], 1024, 100, NULL, 8) = -1 EINTR (Interrupted system call)",
    "7  recvfrom(21, ...) = 80",
    "8  write(3, of another thread) = 8",
    "7  futex(0x1, FUTEX_WAKE_PRIVATE, 1) = 0",
    "7  sendto(21, ...) = 80",
    "7  read(4, a timer) = 8",
    held,
    "7  recvfrom(21, ...) = 80",
    "7  sendto(21, ...) = 80",
    held,
    "7  sendto(21, cut off by the end) = 80",
  ].join("\n");
  assert.deepEqual(countCalls(trace, 7), { perStep: 2, byName: { recvfrom: 1, sendto: 1 } });
});

test("micro: every bench does the same work each time", async () => {
  const benches = await microBenches();
  try {
    for (const bench of benches) {
      const { ns, ratio } = measureMicro(bench, { rounds: 1, timeMs: 2 });
      assert.ok(ns > 0 && ratio > 0, bench.id);
    }
  } finally {
    for (const bench of benches) bench.close?.();
  }
});

test("micro: a bench whose work changes is refused", () => {
  let calls = 0;
  const bench = { id: "odd", title: "", operations: 1, reference: "bytes" } as const;
  const run = (): number => ++calls;
  assert.throws(() => measureMicro({ ...bench, run }, { rounds: 1, timeMs: 1 }), /the work is/);
});
