import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import { connect } from "../../../src/agent/index.ts";
import { CliProcess, runCli } from "../../support/cli.ts";
import { makeCertificate } from "../../support/relay/certificate.ts";

interface Setup {
  readonly folder: string;
  readonly credentials: string;
  readonly tokenFile: string;
  readonly deviceId: string;
  readonly key: string;
  /** Words of a relay on free ports of loopback that keeps its data in the folder. */
  readonly words: readonly string[];
}

/** Credentials of one device and one key, made by the command that users have. */
async function setUp(t: TestContext): Promise<Setup> {
  const folder = mkdtempSync(join(tmpdir(), "hawser-cli-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const credentials = join(folder, "credentials.json");
  const tokenFile = join(folder, "device.token");
  const create = ["token", "create", "--json", "--file", credentials, "--kind"];
  const device = await runCli(t, [...create, "device", "--token-file", tokenFile]);
  const key = await runCli(t, [...create, "key"]);
  return {
    folder,
    credentials,
    tokenFile,
    deviceId: JSON.parse(device.stdout).entry.device_id,
    key: JSON.parse(key.stdout).token,
    words: [
      ...["relay", "--credentials", credentials, "--data-dir", join(folder, "data")],
      ...["--listen-host", "127.0.0.1", "--listen-port", "0", "--internal-port", "0"],
    ],
  };
}

/** A relay that listens, and the port of its edge. */
async function startRelay(t: TestContext, { words }: Setup): Promise<[CliProcess, number]> {
  const relay = new CliProcess(t, words);
  const [, port = ""] = await relay.printed(/"listen":"127\.0\.0\.1:(\d+)"/);
  return [relay, Number(port)];
}

test("hawser relay: serves a device and stops with 0 at SIGTERM, its log complete", async (t) => {
  const setup = await setUp(t);
  const [relay, port] = await startRelay(t, setup);
  const service = createServer((_, response) => response.end("hello")).listen(0, "127.0.0.1");
  t.after(() => service.close());
  await once(service, "listening");
  const agent = connect({
    relay: `ws://127.0.0.1:${port}`,
    tokenFile: setup.tokenFile,
    server: service,
  });
  t.after(() => agent.close({ drainMs: 0 }));
  await agent.ready();
  const answer = await fetch(`http://127.0.0.1:${port}/d/${setup.deviceId}/`, {
    headers: { authorization: `Bearer ${setup.key}` },
  });
  assert.equal(await answer.text(), "hello");
  await agent.close({ drainMs: 0 });

  relay.child.kill("SIGTERM");
  const { code, stdout, stderr } = await relay.finished();
  assert.equal(code, 0, stderr);
  const lines: Record<string, unknown>[] = stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  const access = lines.find(({ msg }) => msg === "request");
  assert.equal(access?.["status"], 200);
  assert.equal(access?.["device"], setup.deviceId);
  assert.equal(lines.at(-1)?.["msg"], "stopped");
  assert.ok(!stdout.includes(setup.key), "the key stands in no log line");
});

test("hawser relay: what runs for a key ends when the key is taken out of the file, and when it expires", async (t) => {
  const setup = await setUp(t);
  const words = ["token", "create", "--json", "--file", setup.credentials, "--kind", "key"];
  const other = await runCli(t, words);
  const [, port] = await startRelay(t, setup);
  const service = createServer((_, response) => void response.write("begun"));
  const agent = connect({
    relay: `ws://127.0.0.1:${port}`,
    tokenFile: setup.tokenFile,
    server: service,
  });
  t.after(() => agent.close({ drainMs: 0 }));
  await agent.ready();
  const begun = async (key: string) => {
    const answer = await fetch(`http://127.0.0.1:${port}/d/${setup.deviceId}/`, {
      headers: { authorization: `Bearer ${key}` },
    });
    const reader = answer.body?.getReader();
    assert.equal(Buffer.from((await reader?.read())?.value ?? []).toString(), "begun");
    let isCut = false;
    const cut = assert
      .rejects(async () => reader?.read())
      .then(() => {
        isCut = true;
      });
    return { cut, isCut: () => isCut };
  };
  const file = JSON.parse(readFileSync(setup.credentials, "utf8"));
  const write = (keys: unknown): void =>
    writeFileSync(setup.credentials, JSON.stringify({ ...file, keys }));
  const [, second] = file.keys;
  const [goes, expires] = [await begun(setup.key), await begun(JSON.parse(other.stdout).token)];
  write([second]);
  await goes.cut;
  assert.equal(expires.isCut(), false);
  const expires_at = new Date(Date.now() + 1_500).toISOString();
  write([{ ...second, expires_at }]);
  await expires.cut;
  assert.ok(Date.now() >= Date.parse(expires_at));
});

test("hawser relay: makes its internal secret at the first start, for its owner alone", async (t) => {
  const setup = await setUp(t);
  const [relay] = await startRelay(t, setup);
  assert.equal(statSync(join(setup.folder, "data", "internal.secret")).mode & 0o777, 0o600);
  relay.child.kill("SIGINT");
  assert.equal((await relay.finished()).code, 0);
});

test("hawser relay: SIGHUP without TLS changes nothing", async (t) => {
  const setup = await setUp(t);
  const [relay, port] = await startRelay(t, setup);
  relay.child.kill("SIGHUP");
  const answer = await fetch(`http://127.0.0.1:${port}/d/${setup.deviceId}/`);
  assert.equal(answer.status, 401);
  await answer.body?.cancel();
  relay.child.kill("SIGTERM");
  assert.equal((await relay.finished()).code, 0);
});

test("hawser relay: a second signal does not wait for running requests", async (t) => {
  const setup = await setUp(t);
  const [relay, port] = await startRelay(t, setup);
  const service = createServer();
  const asked = once(service, "request");
  const agent = connect({
    relay: `ws://127.0.0.1:${port}`,
    tokenFile: setup.tokenFile,
    server: service,
  });
  t.after(() => agent.close({ drainMs: 0 }));
  await agent.ready();
  const answer = fetch(`http://127.0.0.1:${port}/d/${setup.deviceId}/`, {
    headers: { authorization: `Bearer ${setup.key}` },
  });
  const broken = assert.rejects(answer);
  await asked;
  relay.child.kill("SIGTERM");
  await relay.printed(/"msg":"stopping"/);
  relay.child.kill("SIGINT");
  assert.equal((await relay.finished()).code, 130);
  await broken;
});

test("hawser relay: two relays cannot share a port; the second says so and ends with 2", async (t) => {
  const setup = await setUp(t);
  const [, port] = await startRelay(t, setup);
  const { code, stderr } = await runCli(t, [...setup.words, "--listen-port", String(port)]);
  assert.equal(code, 2);
  assert.match(stderr, new RegExp(`^error: --listen-port: .*${port}`));
});

test("hawser relay --check-config: prints where each value came from, keeps secrets back, makes nothing", async (t) => {
  const setup = await setUp(t);
  const secret = "canary-canary-canary-canary-canary";
  const { code, stdout, stderr } = await runCli(
    t,
    [...setup.words, "--check-config", "--hold-time", "5s"],
    { HAWSER_INTERNAL_SECRET: secret, HAWSER_LOG_LEVEL: "warn", HAWSER_HOLD_TYME: "1" },
  );
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^holdTime +5s {2}\(flag\)$/m);
  assert.match(stdout, /^logLevel +warn {2}\(variable\)$/m);
  assert.match(stdout, /^drainTime +30s {2}\(default\)$/m);
  assert.match(stdout, /^internalSecret +\(secret\) {2}\(variable\)$/m);
  assert.match(stdout, /^warning: The variable HAWSER_HOLD_TYME is no setting/m);
  assert.match(stdout, /The configuration can be used\.\n$/);
  assert.ok(!`${stdout}${stderr}`.includes(secret));
  assert.ok(!existsSync(join(setup.folder, "data")));
});

test("hawser relay --check-config --json: the settings as one object", async (t) => {
  const setup = await setUp(t);
  const { code, stdout } = await runCli(t, [...setup.words, "--check-config", "--json"]);
  assert.equal(code, 0);
  const report = JSON.parse(stdout);
  assert.equal(report.ok, true);
  assert.deepEqual(report.settings.drainTime, { value: 30_000, origin: "default" });
  assert.deepEqual(report.settings.internalSecret, { value: null, origin: "default" });
});

test("hawser relay --check-config: every problem of settings, options and credentials at once, exit code 2", async (t) => {
  const setup = await setUp(t);
  writeFileSync(setup.credentials, '{"version": 2, "tokens": [], "keys": []}');
  const words = ["--check-config", "--json", "--tls-cert", setup.tokenFile];
  const { code, stdout, stderr } = await runCli(
    t,
    [...setup.words, ...words, ...["--internal-host", "0.0.0.0", "--window-initial", "8MiB"]],
    { HAWSER_INTERNAL_SECRET: "short" },
  );
  assert.equal(code, 2);
  assert.equal(stdout, "");
  const settings = JSON.parse(stderr).error.problems.map(
    ({ setting }: { setting: string }) => setting,
  );
  assert.ok(settings.includes("HAWSER_INTERNAL_SECRET"), settings.join());
  assert.ok(settings.includes("--tls-key"), settings.join());
  assert.ok(settings.includes("--window-max"), settings.join());
  assert.ok(
    settings.some((setting: string) => setting.includes("version")),
    settings.join(),
  );
});

test("hawser relay --check-config: a certificate and a key that cannot be used are told, each by its own flag", async (t) => {
  const setup = await setUp(t);
  const [one, other] = [
    makeCertificate(setup.folder, "one"),
    makeCertificate(setup.folder, "other"),
  ];
  for (const [cert, key, expected] of [
    [one.certFile, one.keyFile, []],
    [one.certFile, other.keyFile, ["--tls-key"]],
    [one.keyFile, one.certFile, ["--tls-cert", "--tls-key"]],
    [one.certFile, setup.tokenFile, ["--tls-key"]],
  ] as const) {
    const words = ["--check-config", "--json", "--tls-cert", cert, "--tls-key", key];
    const { code, stderr } = await runCli(t, [...setup.words, ...words]);
    const problems = stderr === "" ? [] : JSON.parse(stderr).error.problems;
    const settings = problems.map(({ setting }: { setting: string }) => setting);
    assert.deepEqual([code, settings], [expected.length === 0 ? 0 : 2, expected]);
  }
});

test("hawser relay: without credentials it says what is missing and ends with 2", async (t) => {
  const { code, stdout, stderr } = await runCli(t, ["relay"], { XDG_STATE_HOME: tmpdir() });
  assert.equal(code, 2);
  assert.equal(stdout, "");
  assert.match(stderr, /^error: --credentials: required/);
});
