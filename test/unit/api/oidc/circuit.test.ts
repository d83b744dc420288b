import assert from "node:assert/strict";
import test from "node:test";
import { Circuit } from "../../../../src/api/oidc/circuit.ts";
import { ManualClock } from "../../../../src/core/clock.ts";

function failTimes(circuit: Circuit, times: number): void {
  for (let count = 0; count < times; count++) {
    assert.ok(circuit.enter());
    circuit.fail();
  }
}

test("circuit: it opens at the fifth failure", () => {
  const circuit = new Circuit(new ManualClock());
  failTimes(circuit, 4);
  assert.equal(circuit.isOpen, false);
  failTimes(circuit, 1);
  assert.equal(circuit.isOpen, true);
  assert.equal(circuit.enter(), false);
});

test("circuit: failures that are 30 s old do not count", () => {
  const clock = new ManualClock();
  const circuit = new Circuit(clock);
  failTimes(circuit, 4);
  clock.advance(30_000);
  failTimes(circuit, 4);
  assert.equal(circuit.isOpen, false);
});

test("circuit: a success forgets failures", () => {
  const circuit = new Circuit(new ManualClock());
  failTimes(circuit, 4);
  circuit.succeed();
  failTimes(circuit, 4);
  assert.equal(circuit.isOpen, false);
});

test("circuit: after 10 s one call tries, and decides", () => {
  const clock = new ManualClock();
  const circuit = new Circuit(clock);
  failTimes(circuit, 5);
  clock.advance(9_999);
  assert.equal(circuit.enter(), false);
  clock.advance(1);
  assert.equal(circuit.enter(), true);
  assert.equal(circuit.enter(), false, "one at a time");
  circuit.fail();
  assert.equal(circuit.enter(), false, "open again");
  clock.advance(10_000);
  assert.equal(circuit.enter(), true);
  circuit.succeed();
  assert.equal(circuit.isOpen, false);
  assert.equal(circuit.enter(), true);
});
