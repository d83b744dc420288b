import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { killHungChildren, livingChildren } from "../../../scripts/test-hangs.ts";

const skip = existsSync("/proc/self/stat") ? false : "there is no /proc";

test("test runner: a file that spins is told of with its threads, and killed", {
  skip,
}, async () => {
  const spinning = spawn(process.execPath, ["-e", "for (;;);"], { stdio: "ignore" });
  const ended = once(spinning, "exit");
  await once(spinning, "spawn");
  assert.ok(livingChildren().includes(spinning.pid as number));
  const told: string[] = [];
  const stop = killHungChildren(500, (text) => told.push(text));
  const [code, signal] = await ended;
  stop();
  assert.deepEqual([code, signal], [null, "SIGKILL"]);
  assert.equal(told.length, 1);
  assert.match(
    told[0] as string,
    /^Killed after 0\.5 s, it hangs: process \d+: .*node -e for \(;;\);\n/,
  );
  assert.match(told[0] as string, /^ {2}thread \d+ \S+: [RSD], \d+ ticks, /m);
});
