import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { type Child, runProgram, startChild } from "../../../bench/support/child.ts";

/** The processes of the bench: what they say, and what is said of them. */

/** A process that prints what it is told to, in pieces, each when the one before was read, and stays. */
function talker(t: TestContext, script: string): Child {
  const args = ["-e", `process.stdin.resume().on("end", () => process.exit(0)); ${script}`];
  const child = startChild({ name: "talker", command: process.execPath, args, endBy: "stdin" });
  t.after(() => child.stop());
  return child;
}

test("a line is whole, although it comes in pieces", async (t) => {
  const twice = `process.stdout.write("back 2 1"); setImmediate(() => process.stdout.write("23\\n"));`;
  assert.equal(await talker(t, twice).line("back 2 "), "back 2 123");
});

test("a line that never comes, or not to its end, is waited for until a limit, which ends the process", async (t) => {
  const child = talker(t, `process.stdout.write("hello\\nready 1")`);
  assert.equal(await child.line("hello"), "hello");
  await assert.rejects(child.line("ready ", 50), /^Error: talker does not say "ready "$/);
  await child.ended;
});

test("a line that a process ended without is missed at once, with the process's reason", async (t) => {
  const child = talker(t, `console.error("no relay"); process.exit(3);`);
  await assert.rejects(child.line("ready "), /talker ended \(exit code 3\): no relay/);
});

test("a program that is not there is a failure with a name, and ends nothing else", async (t) => {
  const spec = { name: "device", command: "/no/such/program", args: [], endBy: "signal" } as const;
  const child = startChild(spec);
  t.after(() => child.stop());
  await child.ended;
  assert.match(child.failure ?? "", /^device ended \(exit code .*\): .*ENOENT/);
  await assert.rejects(child.line("ready "), /ENOENT/);
  await assert.rejects(runProgram("/no/such/program", []), /no\/such\/program failed .*ENOENT/);
});
