import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { skipWithout } from "../support/go.ts";

/** The command that makes the flame graphs, without its profilers. */

const script = fileURLToPath(new URL("../../bench/flame.js", import.meta.url));

async function flame(...words: readonly string[]): Promise<{ code: number; text: string }> {
  const child = spawn(process.execPath, [script, ...words], { stdio: ["ignore", "pipe", "pipe"] });
  let text = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (piece: string) => {
      text += piece;
    });
  }
  const [code] = await once(child, "close");
  return { code, text };
}

test("flame: --help names the pictures, and an unknown one is refused", {
  timeout: 30_000,
}, async () => {
  const help = await flame("--help");
  assert.equal(help.code, 0);
  assert.match(help.text, /relay-small.*relay-upload.*api-forward/);
  const unknown = await flame("--only", "relay-large");
  assert.equal(unknown.code, 2);
  assert.match(unknown.text, /--only relay-large: known are relay-small,/);
});

test("flame: the loads of the relay and of the API run without the profilers", {
  skip: skipWithout("wrk", "gcc", "go"),
  timeout: 100_000,
}, async () => {
  const only = ["relay-small", "relay-upload", "api-forward"];
  const run = await flame("--dry", "--seconds", "1", ...only.flatMap((id) => ["--only", id]));
  assert.deepEqual(run, { code: 0, text: only.map((id) => `running ${id}\n`).join("") });
});
