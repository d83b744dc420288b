import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { promisify } from "node:util";
import { hawserMain } from "../../support/process/hawser.ts";

const execute = promisify(execFile);

/** Runs a line of shell in which `hawser` is the command. Descriptor 4 is the standard output of the line. */
function shell(line: string): Promise<{ stdout: string; stderr: string }> {
  const script = `hawser() { "$node" "$main" "$@"; }; exec 4>&1; ${line}`;
  const env = { ...process.env, node: process.execPath, main: hawserMain() };
  return execute("sh", ["-c", script], { env, timeout: 30_000 });
}

for (const words of ["--help", "relay --help", "help dev", "--version"]) {
  test(`hawser ${words} into a pipe that nobody reads: quiet, exit code 0`, async () => {
    const { stdout, stderr } = await shell(`{ hawser ${words}; echo "code $?" >&4; } | true`);
    assert.deepEqual([stdout, stderr], ["code 0\n", ""]);
  });
}

test("hawser --help | head -1: the first line", async () => {
  const { stdout, stderr } = await shell("hawser --help | head -1");
  assert.match(stdout, /^Usage: hawser.*\n$/);
  assert.equal(stderr, "");
});

test("wrong usage with nobody to read of it: exit code 2 all the same", async () => {
  const { stdout } = await shell(`{ hawser sail; echo "code $?" >&4; } 2>&1 | true`);
  assert.equal(stdout, "code 2\n");
});
