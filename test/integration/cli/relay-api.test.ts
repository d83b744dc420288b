import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { connect } from "../../../src/agent/index.ts";
import { startApiStandIn } from "../../support/api/api-stand-in.ts";
import { CliProcess, runCli } from "../../support/cli.ts";

/** `hawser relay --api`: the command as an operator has it, with a stand-in for the API server. */

const SECRET = "internal-secret-canary-0123456789abcdef";
const ON_LOOPBACK = ["--listen-host", "127.0.0.1", "--listen-port", "0", "--internal-port", "0"];

function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "hawser-relay-api-"));
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

test("hawser relay --api: the API server says who may connect and call", async (t) => {
  const api = await startApiStandIn(t, SECRET);
  const device = api.addDevice();
  const key = api.addKey();
  const words = ["relay", "--api", `${api.origin}/`, ...ON_LOOPBACK];
  const relay = new CliProcess(t, words, { HAWSER_INTERNAL_SECRET: SECRET });
  const [, port = ""] = await relay.printed(/"listen":"127\.0\.0\.1:(\d+)"/);
  const tokenFile = join(temporaryFolder(t), "device.token");
  writeFileSync(tokenFile, device.token.text, { mode: 0o600 });
  const service = createServer((_, response) => response.end("hello")).listen(0, "127.0.0.1");
  t.after(() => service.close());
  await once(service, "listening");
  const agent = connect({ relay: `ws://127.0.0.1:${port}`, tokenFile, server: service });
  t.after(() => agent.close({ drainMs: 0 }));
  await agent.ready();
  const answer = await fetch(`http://127.0.0.1:${port}/d/${device.deviceId}/`, {
    headers: { authorization: `Bearer ${key.text}` },
  });
  assert.equal(await answer.text(), "hello");
  await agent.close({ drainMs: 0 });
  relay.child.kill("SIGTERM");
  const { code, stdout, stderr } = await relay.finished();
  assert.equal(code, 0, stderr);
  for (const secret of [SECRET, key.text.slice(13), device.token.text.slice(13)]) {
    assert.ok(!`${stdout}${stderr}`.includes(secret));
  }
});

test("hawser relay --api: starts without the API server, says so, and stops", async (t) => {
  const api = await startApiStandIn(t, SECRET);
  await api.stop();
  const words = ["relay", "--api", api.origin, ...ON_LOOPBACK];
  const relay = new CliProcess(t, words, { HAWSER_INTERNAL_SECRET: SECRET });
  await relay.printed(/the API server is away/);
  relay.child.kill("SIGTERM");
  assert.equal((await relay.finished()).code, 0);
});

test("hawser relay --api: refused together with --credentials, and where it is no URL", async (t) => {
  const credentials = join(temporaryFolder(t), "credentials.json");
  writeFileSync(credentials, '{"version":1,"tokens":[],"keys":[]}');
  const environment = { HAWSER_INTERNAL_SECRET: SECRET };
  const both = ["relay", "--check-config", "--credentials", credentials, "--api"];
  const { code, stderr } = await runCli(t, [...both, "http://127.0.0.1:3722"], environment);
  assert.equal(code, 2);
  assert.match(stderr, /^error: --api: not together with --credentials/);
  const bad = await runCli(t, ["relay", "--api", "http://u:canary@h"], environment);
  assert.equal(bad.code, 2);
  assert.match(bad.stderr, /^error: --api: wanted a URL without user name and password/);
  assert.ok(!bad.stderr.includes("canary"));
});

test("hawser relay --api: an https API server is not asked with all checks of certificates off", async (t) => {
  const environment = { HAWSER_INTERNAL_SECRET: SECRET, NODE_TLS_REJECT_UNAUTHORIZED: "0" };
  const words = ["relay", "--check-config", "--api"];
  const refused = await runCli(t, [...words, "https://127.0.0.1:3722"], environment);
  assert.equal(refused.code, 2);
  assert.match(refused.stderr, /error: --api: NODE_TLS_REJECT_UNAUTHORIZED=0/);
  const plain = await runCli(t, [...words, "http://127.0.0.1:3722"], environment);
  assert.equal(plain.code, 0, plain.stderr);
});

test("hawser relay --api: --check-config and --help know it", async (t) => {
  const words = ["relay", "--check-config", "--api", "http://127.0.0.1:3722"];
  const checked = await runCli(t, [...words, "--fail-closed-after", "10m"], {
    HAWSER_INTERNAL_SECRET: SECRET,
  });
  assert.equal(checked.code, 0, checked.stderr);
  assert.match(checked.stdout, /^api +http:\/\/127\.0\.0\.1:3722 {2}\(flag\)$/m);
  assert.match(checked.stdout, /^failClosedAfter +10m {2}\(flag\)$/m);
  const { stdout } = await runCli(t, ["relay", "--help"]);
  assert.match(stdout, /--api <url>/);
  assert.match(stdout, /--fail-closed-after <time>/);
});
