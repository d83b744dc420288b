import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import { createInterface } from "node:readline";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { bodyOf } from "../../support/agent/mini-relay.ts";
import { startRelay, startService } from "../../support/agent/path.ts";

const main = fileURLToPath(
  new URL(`../../../src/cli/main${extname(import.meta.url)}`, import.meta.url),
);

interface Running {
  readonly process: ChildProcess;
  /** Lines of standard error so far. */
  readonly lines: string[];
  /** The first line, now or later, that matches. */
  line(pattern: RegExp): Promise<string>;
  /** Exit code and signal. */
  readonly ended: Promise<[number | null, string | null]>;
}

/** Runs `hawser agent` with these flags and no `HAWSER_` variable but those given. */
function runAgent(
  t: TestContext,
  flags: string[],
  variables: Record<string, string> = {},
): Running {
  const clean = Object.entries(process.env).filter(([name]) => !name.startsWith("HAWSER_"));
  const child = spawn(process.execPath, [main, "agent", ...flags], {
    env: { ...Object.fromEntries(clean), ...variables },
    stdio: ["ignore", "ignore", "pipe"],
  });
  t.after(() => child.kill("SIGKILL"));
  const lines: string[] = [];
  const reader = createInterface({ input: child.stderr });
  reader.on("line", (line) => lines.push(line));
  const line = async (pattern: RegExp): Promise<string> => {
    for (;;) {
      const found = lines.find((each) => pattern.test(each));
      if (found !== undefined) return found;
      await once(reader, "line");
    }
  };
  const ended = once(child, "close").then(
    ([code, signal]) => [code, signal] as [number | null, string | null],
  );
  return { process: child, lines, line, ended };
}

function tokenFile(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "hawser-agent-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "token");
  writeFileSync(path, "vAc_command\n", { mode: 0o600 });
  return path;
}

test("it serves, says each state in one line, and stops on SIGTERM with 0", async (t) => {
  const relay = await startRelay(t);
  const service = await startService(t);
  const flags = ["--relay", relay.url, "--token-file", tokenFile(t), "--to", service.url];
  const agent = runAgent(t, flags);
  const tunnel = await relay.nextTunnel();
  await agent.line(/^\S+Z info {2}connecting to ws:/);
  await agent.line(/info {2}connected to ws:.* serving http:/);
  assert.equal((await bodyOf(await tunnel.request("/hello/cli"))).toString(), "hello cli");
  const held = tunnel.request("/hold");
  await service.held(1);
  agent.process.kill("SIGTERM");
  await agent.line(/info {2}stopping/);
  service.release();
  assert.equal((await bodyOf(await held)).toString(), "released");
  tunnel.dropIdle();
  assert.deepEqual(await agent.ended, [0, null]);
  assert.match(agent.lines.at(-1) ?? "", /stopped$/);
  assert.ok(!agent.lines.join("\n").includes("vAc_"), "no token in any line");
});

test("--json logs JSON lines, and SIGINT stops while it waits to dial", async (t) => {
  const relay = await startRelay(t);
  relay.refusal = { status: 401 };
  const flags = ["--relay", relay.url, "--to", "tcp://127.0.0.1:1", "--json"];
  const agent = runAgent(t, flags, { HAWSER_TOKEN: "vAc_command" });
  const fields = JSON.parse(await agent.line(/token_refused/)) as Record<string, unknown>;
  assert.equal(fields["code"], "HTTP_401");
  assert.equal(fields["state"], "waiting");
  agent.process.kill("SIGINT");
  assert.deepEqual(await agent.ended, [0, null]);
});

test("bad flags are all told at once, with 2", async (t) => {
  const agent = runAgent(t, [
    "--relay",
    "x",
    "--to",
    "y",
    "--token",
    "vAc_secret",
    "--max-streams",
    "z",
  ]);
  assert.deepEqual(await agent.ended, [2, null]);
  const text = agent.lines.join("\n");
  for (const flag of ["--relay", "--to", "--token", "--max-streams"]) {
    assert.ok(text.includes(`${flag}:`), `${flag} in ${text}`);
  }
  assert.ok(!text.includes("vAc_secret"));
});

test("a flag that there is not ends with 2", async (t) => {
  assert.deepEqual(await runAgent(t, ["--nonsense"]).ended, [2, null]);
});

test("--check-config starts nothing", async (t) => {
  const flags = ["--relay", "ws://127.0.0.1:1", "--to", "tcp://127.0.0.1:1", "--check-config"];
  const agent = runAgent(t, flags, { HAWSER_TOKEN: "vAc_command" });
  assert.deepEqual(await agent.ended, [0, null]);
});
