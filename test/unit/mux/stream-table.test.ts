import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import type { Stream } from "../../../src/mux/index.ts";
import { StreamTable } from "../../../src/mux/stream-table.ts";

function stream(id: number): Stream {
  return { id } as unknown as Stream;
}

test("a table does what a Map does, in the same order, whatever comes and goes", () => {
  const steps = fc.array(fc.record({ adds: fc.boolean(), id: fc.integer({ min: 1, max: 6 }) }));
  fc.assert(
    fc.property(steps, (all) => {
      const table = new StreamTable();
      const model = new Map<number, Stream>();
      for (const { adds, id } of all) {
        if (!adds) {
          table.delete(id);
          model.delete(id);
        } else if (!model.has(id)) {
          const added = stream(id);
          table.add(added);
          model.set(id, added);
        }
        assert.equal(table.size, model.size);
        assert.equal(table.get(id), model.get(id));
        assert.deepEqual([...table.values()], [...model.values()]);
      }
    }),
  );
});

test("what is removed during a walk, before its turn, is left out", () => {
  const table = new StreamTable();
  for (const id of [1, 3, 5]) table.add(stream(id));
  const seen: number[] = [];
  for (const { id } of table.values()) {
    seen.push(id);
    table.delete(1);
    table.delete(3);
  }
  assert.deepEqual(seen, [1, 5]);
});
