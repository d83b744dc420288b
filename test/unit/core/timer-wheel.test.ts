import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { TimerWheel, type WheelEntry } from "../../../src/core/timer-wheel.ts";

class Entry implements WheelEntry {
  wheelNext: WheelEntry | null = null;
  wheelPrevious: WheelEntry | null = null;
  wheelSlot = -1;
  wheelAtMs = 0;
  calls: number[] = [];
  onDue: (() => void) | null = null;

  wheelOnDue(nowMs: number): void {
    this.calls.push(nowMs);
    this.onDue?.();
  }
}

describe("TimerWheel", () => {
  it("calls an entry once, never early and at most one slot late", () => {
    const wheel = new TimerWheel(1_000);
    const entry = new Entry();
    wheel.schedule(entry, 1_600);
    for (let now = 1_000; now <= 5_000; now += 10) {
      wheel.advance(now);
      if (now < 1_600) assert.deepEqual(entry.calls, []);
    }
    assert.equal(entry.calls.length, 1);
    assert.ok((entry.calls[0] ?? 0) <= 1_850);
    assert.equal(wheel.size, 0);
  });

  it("calls an entry of the past with the next slot", () => {
    const wheel = new TimerWheel(10_000);
    const entry = new Entry();
    wheel.schedule(entry, 0);
    wheel.advance(10_250);
    assert.deepEqual(entry.calls, [10_250]);
  });

  it("keeps an entry that is further away than a turn of the wheel", () => {
    const wheel = new TimerWheel(0);
    const entry = new Entry();
    wheel.schedule(entry, 300_000);
    for (let now = 0; now < 300_000; now += 250) wheel.advance(now);
    assert.deepEqual(entry.calls, []);
    wheel.advance(300_000);
    assert.deepEqual(entry.calls, [300_000]);
  });

  it("calls all that are due after a long sleep", () => {
    const wheel = new TimerWheel(0);
    const entries = Array.from({ length: 1_000 }, () => new Entry());
    entries.forEach((entry, index) => {
      wheel.schedule(entry, index * 997);
    });
    wheel.advance(10_000_000);
    assert.ok(entries.every((entry) => entry.calls.length === 1));
    assert.equal(wheel.size, 0);
  });

  it("moves and cancels", () => {
    const wheel = new TimerWheel(0);
    const [moved, cancelled] = [new Entry(), new Entry()];
    wheel.schedule(moved, 500);
    wheel.schedule(cancelled, 500);
    wheel.schedule(moved, 2_000);
    wheel.cancel(cancelled);
    wheel.cancel(cancelled);
    wheel.advance(1_000);
    assert.deepEqual([moved.calls, cancelled.calls], [[], []]);
    wheel.advance(2_000);
    assert.deepEqual([moved.calls, cancelled.calls], [[2_000], []]);
  });

  it("takes out what is due never", () => {
    const wheel = new TimerWheel(0);
    const entry = new Entry();
    wheel.schedule(entry, 500);
    wheel.schedule(entry, Number.POSITIVE_INFINITY);
    wheel.advance(1_000_000);
    assert.deepEqual([entry.calls, wheel.size, entry.wheelSlot], [[], 0, -1]);
    assert.throws(() => wheel.schedule(entry, Number.NaN));
  });

  it("lets one entry cancel or move another that is due in the same slot", () => {
    const wheel = new TimerWheel(0);
    const [first, second, third] = [new Entry(), new Entry(), new Entry()];
    const act = (): void => {
      for (const other of [first, second, third]) {
        if (other.calls.length > 0) continue;
        if (other === third) wheel.schedule(other, 1_000);
        else wheel.cancel(other);
      }
    };
    for (const entry of [first, second, third]) {
      entry.onDue = act;
      wheel.schedule(entry, 500);
    }
    wheel.advance(500);
    assert.equal([first, second, third].filter((entry) => entry.calls.length > 0).length, 1);
  });

  it("lets an entry schedule itself again, without calling it twice in one advance", () => {
    const wheel = new TimerWheel(0);
    const entry = new Entry();
    entry.onDue = () => wheel.schedule(entry, 0);
    wheel.schedule(entry, 0);
    for (let now = 250; now <= 1_000; now += 250) wheel.advance(now);
    assert.deepEqual(entry.calls, [250, 500, 750, 1_000]);
  });

  it("agrees with a plain list", () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant("schedule"), id: fc.nat(9), ms: fc.nat(200_000) }),
      fc.record({ kind: fc.constant("cancel"), id: fc.nat(9), ms: fc.constant(0) }),
      fc.record({ kind: fc.constant("advance"), id: fc.constant(0), ms: fc.nat(100_000) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const wheel = new TimerWheel(0);
        const entries = Array.from({ length: 10 }, () => new Entry());
        const dueTick = new Map<number, number>();
        const expected = new Array<number>(10).fill(0);
        let now = 0;
        for (const { kind, id, ms } of steps) {
          const entry = entries[id] as Entry;
          if (kind === "schedule") {
            wheel.schedule(entry, now + ms);
            const tick = Math.ceil((now + ms) / 250);
            dueTick.set(id, Math.max(Math.floor(now / 250) + 1, tick));
          } else if (kind === "cancel") {
            wheel.cancel(entry);
            dueTick.delete(id);
          } else {
            now += ms;
            wheel.advance(now);
            for (const [due, tick] of dueTick) {
              if (tick > Math.floor(now / 250)) continue;
              expected[due] = (expected[due] ?? 0) + 1;
              dueTick.delete(due);
            }
          }
          assert.deepEqual(
            entries.map((each) => each.calls.length),
            expected,
          );
          assert.equal(wheel.size, dueTick.size);
        }
      }),
    );
  });
});
