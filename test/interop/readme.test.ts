import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { buildGo, skipWithout } from "../support/go.ts";
import { startRelayProcess } from "../support/process/hawser.ts";
import { root } from "../support/root.ts";

/** The only thing in the README's program that depends on where it runs. */
const README_ADDRESS = "ws://relay.example.org:3800";

/** How long the device's program gets to connect. */
const CONNECT_MS = 30_000;

function goBlock(): string {
  const block = /^```go\n([\s\S]*?)^```$/m.exec(readFileSync(join(root, "README.md"), "utf8"));
  assert.ok(block?.[1] !== undefined, "the README has a program in Go");
  return block[1];
}

test("the README's device in Go serves through the relay as it stands", {
  skip: skipWithout("go"),
}, async (t) => {
  const relay = await startRelayProcess(["--hold-time", `${CONNECT_MS}ms`]);
  t.after(() => relay.stop());
  const folder = mkdtempSync(join(tmpdir(), "hawser-readme-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const sourceFolder = join(folder, "device");
  mkdirSync(sourceFolder);
  writeFileSync(join(folder, "device.token"), `${relay.token}\n`);
  const source = goBlock();
  assert.ok(source.includes(README_ADDRESS));
  // The program holds its address: it is built for this port.
  writeFileSync(
    join(sourceFolder, "main.go"),
    source.replace(README_ADDRESS, `ws://127.0.0.1:${relay.port}`),
  );
  const moduleFolder = join(root, "test", "interop", "go", "readme");
  const program = await buildGo({ sourceFolder, moduleFolder });
  t.after(() => rmSync(program));

  const device = spawn(program, { cwd: folder, stdio: ["ignore", "ignore", "pipe"] });
  let complaint = "";
  device.stderr.on("data", (data: Buffer) => {
    complaint += data.toString();
  });
  const ended = once(device, "close");
  t.after(() => {
    device.kill();
    return ended;
  });
  // The relay holds the request until its device is there.
  const answer = await fetch(`http://127.0.0.1:${relay.port}/d/${relay.deviceId}/`, {
    headers: { authorization: `Bearer ${relay.key}` },
  });
  assert.equal(answer.status, 200, complaint);
  assert.equal(await answer.text(), "Hello from a device in Go.\n");
});
