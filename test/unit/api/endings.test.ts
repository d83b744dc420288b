import assert from "node:assert/strict";
import test from "node:test";
import { RunningByPrincipal } from "../../../src/api/endings.ts";

test("endings: what runs in the name of a principal is cut once, and others' go on", () => {
  const running = new RunningByPrincipal();
  const cut: string[] = [];
  running.onEnd("a", () => cut.push("a1"));
  running.onEnd("a", () => cut.push("a2"));
  running.onEnd("b", () => cut.push("b"));
  running.end(["a", "unknown"]);
  running.end(["a"]);
  assert.deepEqual(cut, ["a1", "a2"]);
  assert.equal(running.size, 1);
});

test("endings: what is over is forgotten, also when its principal has ended and begun anew", () => {
  const running = new RunningByPrincipal();
  const never = (): void => assert.fail("it was over");
  const over = running.onEnd("a", never);
  over();
  over();
  assert.equal(running.size, 0);
  const first = running.onEnd("a", () => {});
  running.end(["a"]);
  let cut = 0;
  running.onEnd("a", () => {
    cut += 1;
  });
  first();
  running.end(["a"]);
  assert.equal(cut, 1);
  assert.equal(running.size, 0);
});
