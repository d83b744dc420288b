import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import { DemoBrowser } from "../../../src/cli/demo-browser.ts";
import { HELLO } from "../../../src/cli/demo-service.ts";
import { CliProcess, runCli } from "../../support/cli.ts";
import { lendPort } from "../../support/ports.ts";

const PORTS = ["--api-port", "--api-internal-port", "--listen-port", "--internal-port"];
const FREE_PORTS = PORTS.flatMap((flag) => [flag, "0"]);
const ONCE = ["dev", "--once", ...FREE_PORTS];

/** What `--once` must have done, in this order. */
const STEPS = [
  "sign in at the demo identity provider as alice",
  "make a pairing code",
  "exchange it for a device token",
  "connect the device",
  "create an API key",
  "fetch a page of the device through the edge, with the key",
  "fetch it through the API, with the session's cookie",
  "revoke the device's token",
  "see the tunnel close",
  "revoke the key",
  "see the key refused at the edge",
];

function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "hawser-cli-"));
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

/** A port that somebody listens on until the test ends. */
async function takenPort(t: TestContext): Promise<number> {
  const taken = createServer().listen(0, "127.0.0.1");
  t.after(() => taken.close());
  await once(taken, "listening");
  return (taken.address() as AddressInfo).port;
}

test("hawser dev --once: goes the whole way, prints each step with its time, and leaves nothing behind", async (t) => {
  const TMPDIR = temporaryFolder(t);
  const { code, stdout, stderr } = await runCli(t, ONCE, { TMPDIR });
  assert.deepEqual([code, stderr], [0, ""], stdout);
  const lines = [...stdout.matchAll(/^ *\d+\.\d ms {2}([^:\n]+)/gm)].map(([, step]) => step);
  assert.deepEqual(lines.slice(-STEPS.length), STEPS);
  assert.match(
    stdout,
    /edge, with the key: 200 http:\/\/127\.0\.0\.1:\d+\/d\/[a-z2-7]{16}\/hello$/m,
  );
  assert.match(
    stdout,
    /cookie: 200 http:\/\/127\.0\.0\.1:\d+\/api\/devices\/[a-z2-7]{16}\/http\/hello$/m,
  );
  assert.match(stdout, /see the tunnel close: WS_4403$/m);
  assert.ok(stdout.endsWith(`\n\n${HELLO}`), stdout);
  assert.doesNotMatch(stdout, /hwk_\w{8}_|vAc_\w{8}_|hwp_/, "no secret is printed");
  assert.deepEqual(readdirSync(TMPDIR), []);
});

test("hawser dev --once --json: one JSON object with every step", async (t) => {
  const { code, stdout } = await runCli(t, [...ONCE, "--json", "--path", "/download?bytes=3"]);
  assert.equal(code, 0);
  const report: {
    ok: boolean;
    steps: { step: string; ms: number; result: string }[];
    fetched: { status: number; body: string }[];
  } = JSON.parse(stdout);
  assert.equal(report.ok, true);
  assert.deepEqual(report.steps.map(({ step }) => step).slice(-STEPS.length), STEPS);
  assert.ok(report.steps.every(({ ms }) => ms >= 0));
  assert.deepEqual(
    report.fetched.map(({ status, body }) => [status, body]),
    [
      [200, "\u0000\u0001\u0002"],
      [200, "\u0000\u0001\u0002"],
    ],
  );
});

test("hawser dev --once --public-client: PKCE alone is enough", async (t) => {
  const { code, stdout, stderr } = await runCli(t, [...ONCE, "--public-client"]);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /see the key refused at the edge: 401$/m);
});

test("hawser dev --once: a step that fails is named, with exit code 1, and everything is cleaned up", async (t) => {
  const TMPDIR = temporaryFolder(t);
  const words = [...ONCE, "--to", `http://127.0.0.1:${await lendPort()}`];
  const { code, stdout, stderr } = await runCli(t, words, { TMPDIR });
  assert.equal(code, 1);
  assert.match(stdout, /create an API key/);
  assert.match(
    stderr,
    /^error: could not fetch a page of the device through the edge, with the key: the answer has status 502/,
  );
  assert.deepEqual(readdirSync(TMPDIR), []);
});

test("hawser dev: a port that is set and taken is a reason and exit code 1", async (t) => {
  for (const flag of PORTS) {
    const port = String(await takenPort(t));
    const words = ["dev", "--once", ...FREE_PORTS, flag, port];
    const { code, stderr } = await runCli(t, words);
    assert.equal(code, 1, flag);
    assert.match(
      stderr,
      /^error: could not start the API server and the relay: .*(already in use|is taken)/,
    );
  }
});

test("hawser dev: where the default port is taken another one is used, and said", async (t) => {
  const taken = createServer();
  t.after(() => taken.close());
  // If this fails, something else has the port, which is as good.
  taken.once("error", () => undefined);
  taken.listen(3_721, "127.0.0.1");
  await Promise.race([once(taken, "listening"), once(taken, "close"), once(taken, "error")]);
  const { code, stdout } = await runCli(t, ["dev", "--once", ...FREE_PORTS.slice(2)]);
  assert.equal(code, 0);
  assert.match(stdout, /^Port 3721 is taken; using \d+\.$/m);
});

test("hawser dev: prints where to sign in and curl lines that work, and ends with 0 at SIGTERM", async (t) => {
  const TMPDIR = temporaryFolder(t);
  const dev = new CliProcess(t, ["dev", ...FREE_PORTS], { TMPDIR });
  await dev.printed(/Press Ctrl-C to stop\.\n$/);
  const [, loginUrl = ""] = await dev.printed(/^ {2}(http:\S+\/api\/auth\/login)$/m);
  const [, field = "", edgeUrl = ""] = await dev.printed(
    /^ {2}curl -H '(.+)' (http:\S+\/d\/\S+)$/m,
  );
  const [, , apiUrl = ""] = await dev.printed(/^ {2}curl -H '(.+)' (http:\S+\/http\/)$/m);
  const authorization = field.replace("Authorization: ", "");
  const [made = ""] = readdirSync(TMPDIR);
  assert.equal(statSync(join(TMPDIR, made)).mode & 0o777, 0o700);

  const { origin } = new URL(loginUrl);
  const browser = new DemoBrowser();
  await browser.submit(await browser.open(loginUrl), "login", "bob", (url) => url === `${origin}/`);
  const me = await browser.script(`${origin}/api/auth/me`);
  assert.equal(JSON.parse(me.body).user.name, "Bob (demo)");
  const devices = await browser.script(`${origin}/api/devices`);
  assert.deepEqual(JSON.parse(devices.body).devices, [], "the device is another person's");

  for (const url of [edgeUrl, apiUrl]) {
    const index = await fetch(url, { headers: { authorization } });
    assert.equal(index.status, 200, url);
    assert.match(await index.text(), /\/echo/);
    const refused = await fetch(url);
    assert.equal(refused.status, 401, url);
    await refused.body?.cancel();
  }
  const echo = await fetch(`${edgeUrl}echo`, {
    method: "POST",
    body: "over and back",
    headers: { authorization },
  });
  assert.equal(await echo.text(), "over and back");

  dev.child.kill("SIGTERM");
  const { code, stderr } = await dev.finished();
  assert.equal(code, 0, stderr);
  assert.deepEqual(readdirSync(TMPDIR), []);
});

test("hawser dev --once: a signal midway ends it with 1, and nothing is left behind", async (t) => {
  const TMPDIR = temporaryFolder(t);
  for (const midway of [/make a temporary folder/, /start the API server/, /make a pairing code/]) {
    const dev = new CliProcess(t, ONCE, { TMPDIR });
    await dev.printed(midway);
    dev.child.kill("SIGINT");
    const { code, stderr } = await dev.finished();
    assert.deepEqual([code, stderr], [1, "error: a signal came before all was done\n"]);
    assert.deepEqual(readdirSync(TMPDIR), []);
  }
});

test("hawser dev: where the demo provider's package is missing it says so and what to do", async (t) => {
  const hook =
    'export async function resolve(name, context, next) { if (name === "oidc-provider") throw new Error("absent"); return next(name, context); }';
  const install = `import { register } from "node:module"; register(${JSON.stringify(`data:text/javascript,${encodeURIComponent(hook)}`)});`;
  const NODE_OPTIONS = `--import=data:text/javascript,${encodeURIComponent(install)}`;
  const { code, stderr } = await runCli(t, ONCE, { NODE_OPTIONS });
  assert.equal(code, 1);
  assert.match(stderr, /the demo identity provider needs the package oidc-provider; .*npm ci/);
});
