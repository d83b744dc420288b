import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { hawserMain } from "../../support/process/hawser.ts";

/** Resolves with the internal port that the relay's first lines tell. */
async function internalPort(child: ChildProcess): Promise<number> {
  let text = "";
  for (;;) {
    const match = /"internal":"127\.0\.0\.1:(\d+)"/.exec(text);
    if (match !== null) return Number(match[1]);
    assert.ok(child.stdout !== null);
    const [chunk] = await once(child.stdout, "data");
    text += String(chunk);
  }
}

test("a relay whose log nobody reads any more serves on, and ends on SIGTERM with code 0", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "hawser-test-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const credentials = join(folder, "credentials.json");
  await writeFile(credentials, JSON.stringify({ version: 1, tokens: [], keys: [] }));
  const child = spawn(
    process.execPath,
    [
      ...[hawserMain(), "relay", "--credentials", credentials, "--data-dir", folder],
      ...["--listen-host", "127.0.0.1", "--listen-port", "0", "--internal-port", "0"],
    ],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  t.after(() => child.kill("SIGKILL"));
  const port = await internalPort(child);
  child.stdout?.destroy();
  // Each of these makes the relay write a line of its log into the closed pipe.
  for (let i = 0; i < 3; i++) {
    const answer = await fetch(`http://127.0.0.1:${port}/internal/session/vAc_00000000/forward/x`);
    assert.equal(answer.status, 401);
  }
  const exited = once(child, "exit");
  child.kill("SIGTERM");
  assert.deepEqual(await exited, [0, null]);
});
