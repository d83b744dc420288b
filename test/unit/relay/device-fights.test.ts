import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../../../src/core/clock.ts";
import { DeviceFights } from "../../../src/relay/device-fights.ts";

test("five replacements a minute are nobody's concern", () => {
  const clock = new ManualClock(5_000);
  const fights = new DeviceFights(clock);
  for (let count = 0; count < 50; count++) {
    assert.equal(fights.delayMs("device"), 0);
    assert.equal(fights.recordReplacement("device"), null);
    clock.advance(12_000);
  }
});

test("from the sixth on each has to wait twice as long as the one before, up to 30 s", () => {
  const clock = new ManualClock(5_000);
  const fights = new DeviceFights(clock);
  const delays: number[] = [];
  for (let count = 1; count <= 13; count++) {
    const fight = fights.recordReplacement("device");
    assert.equal(fight?.delayMs ?? 0, fights.delayMs("device"));
    if (fight !== null) assert.deepEqual([fight.deviceId, fight.replacements], ["device", count]);
    delays.push(fights.delayMs("device"));
  }
  const seconds = delays.map((delay) => delay / 1_000);
  assert.deepEqual(seconds, [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 30, 30, 30]);
  clock.advance(29_000);
  assert.equal(fights.delayMs("device"), 1_000);
  clock.advance(1_000);
  assert.equal(fights.delayMs("device"), 0);
});

test("two devices that heed the delay for ever replace each other less than ten times a minute", () => {
  const clock = new ManualClock();
  const fights = new DeviceFights(clock);
  let replacements = 0;
  while (clock.now() < 600_000) {
    if (fights.delayMs("device") === 0) {
      fights.recordReplacement("device");
      replacements += 1;
    }
    clock.advance(100);
  }
  assert.ok(replacements > 40 && replacements < 100, `${replacements} in ten minutes`);
});

test("a fight is over a minute after the last replacement", () => {
  const clock = new ManualClock();
  const fights = new DeviceFights(clock);
  for (let count = 0; count < 20; count++) fights.recordReplacement("device");
  clock.advance(60_000);
  assert.equal(fights.delayMs("device"), 0);
  assert.equal(fights.recordReplacement("device"), null);
});

test("the table is bounded; the longest quiet is forgotten", () => {
  const clock = new ManualClock();
  const fights = new DeviceFights(clock, { devicesMax: 100, replacementsPerMinuteMax: 1 });
  for (let count = 0; count < 1_000; count++) {
    clock.advance(1);
    fights.recordReplacement(`device-${count}`);
    fights.recordReplacement(`device-${count}`);
  }
  assert.equal(fights.devices, 100);
  assert.ok(fights.delayMs("device-999") > 0);
  assert.equal(fights.delayMs("device-0"), 0);
  clock.advance(60_000);
  fights.recordReplacement("other");
  assert.equal(fights.devices, 1, "the calm go first");
});
