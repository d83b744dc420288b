import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import { HELLO } from "../../../src/cli/demo-service.ts";
import { CliProcess, runCli } from "../../support/cli.ts";

const FREE_PORTS = ["--listen-port", "0", "--internal-port", "0"];

function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "hawser-cli-"));
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

test("hawser dev --once: one request through the tunnel, its status, body and time, exit code 0", async (t) => {
  const TMPDIR = temporaryFolder(t);
  const { code, stdout, stderr } = await runCli(t, ["dev", "--once", ...FREE_PORTS], { TMPDIR });
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^GET http:\/\/127\.0\.0\.1:\d+\/d\/[a-z2-7]{16}\/hello$/m);
  assert.match(stdout, /^status {6}200$/m);
  assert.match(stdout, /^first byte {2}\d+\.\d ms$/m);
  assert.match(stdout, /^total {7}\d+\.\d ms$/m);
  assert.ok(stdout.endsWith(`\n\n${HELLO}`), stdout);
  assert.equal(stderr, "");
  assert.deepEqual(readdirSync(TMPDIR), [], "nothing is left behind");
});

test("hawser dev --once --json: one JSON object", async (t) => {
  const words = ["dev", "--once", "--json", "--path", "/download?bytes=3", ...FREE_PORTS];
  const { code, stdout } = await runCli(t, words);
  assert.equal(code, 0);
  const answer: Record<string, unknown> = JSON.parse(stdout);
  assert.equal(answer["status"], 200);
  assert.equal(answer["body"], "\u0000\u0001\u0002");
  assert.equal(typeof answer["total_ms"], "number");
});

test("hawser dev --once: a service that cannot be reached is a reason and exit code 1", async (t) => {
  const closed = createServer().listen(0, "127.0.0.1");
  await once(closed, "listening");
  const address = closed.address();
  assert.ok(address !== null && typeof address === "object");
  closed.close();
  const words = ["dev", "--once", "--to", `http://127.0.0.1:${address.port}`, ...FREE_PORTS];
  const { code, stdout, stderr } = await runCli(t, words);
  assert.equal(code, 1);
  assert.match(stdout, /^status {6}502$/m);
  assert.match(stderr, /error: the answer has status 502/);
});

test("hawser dev: a port that is set and taken is a reason and exit code 1", async (t) => {
  const taken = createServer().listen(0, "127.0.0.1");
  t.after(() => taken.close());
  await once(taken, "listening");
  const address = taken.address();
  assert.ok(address !== null && typeof address === "object");
  const words = ["dev", "--once", "--internal-port", "0", "--listen-port", String(address.port)];
  const { code, stderr } = await runCli(t, words);
  assert.equal(code, 1);
  assert.match(stderr, /^error: could not start the relay: .*listen/);
});

test("hawser dev: where the default port is taken another one is used, and said", async (t) => {
  const taken = createServer();
  t.after(() => taken.close());
  // If this fails, something else has the port, which is as good.
  taken.once("error", () => undefined);
  taken.listen(3_800, "127.0.0.1");
  await Promise.race([once(taken, "listening"), once(taken, "close"), once(taken, "error")]);
  const { code, stdout } = await runCli(t, ["dev", "--once", "--internal-port", "0"]);
  assert.equal(code, 0);
  assert.match(stdout, /^Port 3800 is taken; using a free one\.$/m);
});

test("hawser dev: prints a curl line that works, and ends with 0 at SIGTERM", async (t) => {
  const TMPDIR = temporaryFolder(t);
  const dev = new CliProcess(t, ["dev", ...FREE_PORTS], { TMPDIR });
  const [, field = "", url = ""] = await dev.printed(/^ {2}curl -H '(.+)' (http:\S+)$/m);
  const authorization = field.replace("Authorization: ", "");
  const [made = ""] = readdirSync(TMPDIR);
  assert.equal(statSync(join(TMPDIR, made)).mode & 0o777, 0o700);

  const index = await fetch(url, { headers: { authorization } });
  assert.equal(index.status, 200);
  assert.match(await index.text(), /\/echo/);
  const echo = await fetch(`${url}echo`, {
    method: "POST",
    body: "over and back",
    headers: { authorization },
  });
  assert.equal(await echo.text(), "over and back");
  const refused = await fetch(url);
  assert.equal(refused.status, 401);
  await refused.body?.cancel();

  dev.child.kill("SIGTERM");
  const { code, stderr } = await dev.finished();
  assert.equal(code, 0, stderr);
  assert.deepEqual(readdirSync(TMPDIR), []);
});
