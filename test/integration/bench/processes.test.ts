import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { skipWithout } from "../../support/go.ts";
import { childrenOf, parentOf, type Seen } from "../../support/process/children.ts";
import { root } from "../../support/root.ts";
import { until } from "../../support/until.ts";

/** What a command of the bench started ends with it, however it ends. */

/** A command that runs, and what it has started by the time at which all of `wanted` are among it. */
async function started(
  t: TestContext,
  { script, flags, environment = {} }: Run,
  wanted: readonly RegExp[],
): Promise<{ readonly child: ChildProcess; readonly children: readonly Seen[] }> {
  const child = spawn(process.execPath, [join(root, "dist", "bench", script), ...flags], {
    env: { ...process.env, ...environment },
    stdio: ["ignore", "ignore", "pipe"],
  });
  let children: Seen[] = [];
  t.after(() => {
    for (const { pid } of [...children, { pid: child.pid ?? 0 }]) {
      if (parentOf(pid) !== null) process.kill(pid, "SIGKILL");
    }
  });
  const pid = child.pid ?? 0;
  await until(() => {
    children = childrenOf(pid);
    return wanted.every((pattern) => children.some(({ command }) => pattern.test(command)));
  }, `the processes of ${script}`);
  return { child, children };
}

interface Run {
  readonly script: string;
  readonly flags: readonly string[];
  readonly environment?: NodeJS.ProcessEnv;
}

for (const [signal, code] of [
  ["SIGTERM", 143],
  ["SIGINT", 130],
] as const) {
  test(`a command that is ended by ${signal} leaves no process behind`, {
    timeout: 60_000,
  }, async (t) => {
    const run = { script: "matrix.js", flags: ["--only=get_small_1dev_c1", "--seconds=60"] };
    const { child, children } = await started(t, run, [/\0relay\0/, /\/devices\.js\0/]);
    child.kill(signal);
    assert.deepEqual(await once(child, "exit"), [code, null]);
    await until(() => children.every(({ pid }) => parentOf(pid) === null), "their end");
  });
}

test("a command whose last server does not start ends, and the servers before it do", {
  skip: skipWithout("wrk"),
  timeout: 60_000,
}, async (t) => {
  const run = {
    script: "access-proxy.js",
    flags: ["--rounds=1", "--seconds=1"],
    environment: { HAWSER_LOG_LEVEL: "nothing" },
  };
  const { child, children } = await started(t, run, [/target\.js\0/, /bare-proxy\.js\0/]);
  let told = "";
  child.stderr?.on("data", (data: Buffer) => {
    told += data.toString();
  });
  const [code] = await once(child, "close");
  assert.equal(code, 1, told);
  assert.match(told, /^bench:access-proxy: access-proxy ended \(exit code \d+\): /);
  await until(() => children.every(({ pid }) => parentOf(pid) === null), "their end");
});
