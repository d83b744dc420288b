import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Slot, SlotList } from "../../../src/core/slot-list.ts";

test("slot list: whatever comes and goes, what is there is what a set would hold", () => {
  const deed = fc.oneof(fc.constant(-1), fc.nat({ max: 20 }));
  fc.assert(
    fc.property(fc.array(deed, { maxLength: 100 }), (deeds) => {
      const list = new SlotList<number>();
      const slots: Slot<number>[] = [];
      const there = new Set<number>();
      for (const [at, one] of deeds.entries()) {
        const slot = slots[one];
        if (one < 0 || slot === undefined) {
          slots.push(list.add(at));
          there.add(at);
        } else assert.equal(list.remove(slot), there.delete(slot.value));
        assert.equal(list.size, there.size);
      }
      assert.deepEqual([...list].sort(), [...there].sort());
    }),
  );
});

test("slot list: a value may go while all are looked at", () => {
  const list = new SlotList<string>();
  const slots = ["a", "b", "c"].map((value) => list.add(value));
  const seen: string[] = [];
  for (const value of list) {
    seen.push(value);
    for (const slot of slots) list.remove(slot);
  }
  assert.deepEqual(seen, ["a", "b", "c"]);
  assert.equal(list.size, 0);
});
