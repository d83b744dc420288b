import assert from "node:assert/strict";
import test from "node:test";
import { RunningByPrincipal } from "../../../src/api/endings.ts";

test("endings: what runs in the name of a principal is cut once, and others' go on", () => {
  const running = new RunningByPrincipal();
  const cut: string[] = [];
  for (const name of ["a1", "a2", "b1"]) {
    running.begin({ ref: name.slice(0, 1), cut: () => cut.push(name) });
  }
  running.end(["a", "unknown"]);
  running.end(["a"]);
  assert.deepEqual(cut.sort(), ["a1", "a2"]);
  assert.equal(running.size, 1);
});

test("endings: what is over is forgotten, also when its principal has ended and begun anew", () => {
  const running = new RunningByPrincipal();
  const never = (): void => assert.fail("it was over");
  const over = running.begin({ ref: "a", cut: never });
  running.over(over);
  running.over(over);
  assert.equal(running.size, 0);
  const first = running.begin({ ref: "a", cut: () => {} });
  running.end(["a"]);
  let cut = 0;
  const count = (): void => {
    cut += 1;
  };
  running.begin({ ref: "a", cut: count });
  running.over(first);
  running.end(["a"]);
  assert.equal(cut, 1);
  assert.equal(running.size, 0);
});

test("endings: what one that is cut ends with it is not cut itself", () => {
  const running = new RunningByPrincipal();
  const cut: string[] = [];
  const slots = ["first", "second"].map((name, at, { length }) =>
    running.begin({
      ref: "a",
      cut() {
        cut.push(name);
        const other = slots[length - 1 - at];
        if (other !== undefined) running.over(other);
      },
    }),
  );
  running.end(["a"]);
  assert.equal(cut.length, 1);
  assert.equal(running.size, 0);
});
