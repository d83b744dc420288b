import assert from "node:assert/strict";
import { once } from "node:events";
import { copyFileSync, existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { request } from "node:https";
import { createServer } from "node:net";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import type { TLSSocket } from "node:tls";
import { newKeyRing } from "../../../src/config/index.ts";
import { CliProcess, runCli } from "../../support/cli.ts";
import { lendPort } from "../../support/ports.ts";
import { skipWithoutPostgres, startPostgres } from "../../support/postgres.ts";
import { makeCertificate } from "../../support/relay/certificate.ts";
import {
  connectDevice,
  type Installation,
  pair,
  prepareInstallation,
  signIn,
  whoIs,
} from "../../support/servers/installation.ts";

/** `hawser api` and `hawser up` as processes, with a real provider, a real device and a browser. */

const RELAY_READY = /"msg":"relay listens"/;

function start(
  t: TestContext,
  installation: Installation,
  words: readonly string[],
  over: Record<string, string> = {},
): CliProcess {
  return new CliProcess(t, words, { ...installation.environment, ...over });
}

async function stopped(server: CliProcess): Promise<string> {
  server.child.kill("SIGTERM");
  const { code, stdout, stderr } = await server.finished();
  assert.deepEqual([code, stderr], [0, ""], stdout);
  return stdout;
}

async function statusOf(url: string, key?: string): Promise<number> {
  const headers: Record<string, string> =
    key === undefined ? {} : { authorization: `Bearer ${key}` };
  const answer = await fetch(url, { headers });
  await answer.body?.cancel();
  return answer.status;
}

/** No secret of the run stands in a text. */
function assertQuiet(text: string, installation: Installation): void {
  for (const secret of installation.secrets) {
    // A token's public reference may be told, what follows it not.
    const hidden = secret.slice(/^(?:vAc|hwk)_/.test(secret) ? 13 : 0);
    assert.ok(!text.includes(hidden), `${secret.slice(0, 4)}… is in the output`);
  }
}

test("hawser up: from an empty folder to a request through the tunnel, and the same after a restart", async (t) => {
  const installation = await prepareInstallation(t);
  const { baseUrl, edgeUrl, dataDir, folder } = installation;
  const auditLog = join(folder, "audit.jsonl");
  const words = ["up", "--audit-log", auditLog, "--log-level", "trace"];
  const first = start(t, installation, words);
  await first.printed(RELAY_READY);
  const browser = await signIn(installation, "alice");
  assert.equal(await whoIs(installation, browser), "Alice (demo)");
  const paired = await pair(installation, browser);
  const agent = await connectDevice(t, paired);
  const url = `${edgeUrl}/d/${paired.deviceId}/`;
  assert.equal(await statusOf(url, paired.key), 200);
  assert.equal(await statusOf(url), 401);

  const files = ["hawser.db", "internal.secret", "session.keys", "token-encryption.keys"];
  for (const name of files) {
    assert.equal(statSync(join(dataDir, name)).mode & 0o077, 0, name);
  }
  assert.equal(statSync(dataDir).mode & 0o777, 0o700);
  for (const name of files.slice(1)) {
    installation.secrets.push(readFileSync(join(dataDir, name), "utf8").trim().replace(/^k1:/, ""));
  }

  const disconnected = once(agent, "disconnected");
  const log = await stopped(first);
  await disconnected;
  const connected = once(agent, "connected");
  const second = start(t, installation, words);
  await second.printed(RELAY_READY);
  await connected;
  assert.equal(
    await whoIs(installation, browser),
    "Alice (demo)",
    "the session outlives a restart",
  );
  assert.equal(await statusOf(url, paired.key), 200);
  assert.equal(await statusOf(`${baseUrl}/readyz`), 200);
  const lines = readFileSync(auditLog, "utf8").trim().split("\n");
  assert.ok(
    lines.some((line) => JSON.parse(line).event === "key_created"),
    lines.join("\n"),
  );
  assertQuiet(log + (await stopped(second)) + lines.join("\n"), installation);
});

test("hawser up: SIGTERM lets a running request finish", async (t) => {
  const installation = await prepareInstallation(t);
  const up = start(t, installation, ["up"]);
  await up.printed(RELAY_READY);
  const browser = await signIn(installation, "alice");
  const paired = await pair(installation, browser);
  let answer = (): void => undefined;
  const asked = new Promise<void>((resolve) => {
    void connectDevice(t, paired, (_: IncomingMessage, response: ServerResponse) => {
      answer = () => response.end("in the end");
      resolve();
    });
  });
  await up.printed(/"msg":"tunnel open"/);
  const url = `${installation.edgeUrl}/d/${paired.deviceId}/`;
  const running = fetch(url, { headers: { authorization: `Bearer ${paired.key}` } });
  await asked;
  up.child.kill("SIGTERM");
  await up.printed(/"msg":"relay drains"/);
  answer();
  assert.equal(await (await running).text(), "in the end");
  assert.equal((await up.finished()).code, 0);
});

test("hawser api and hawser relay: two processes with one secret; what is revoked at one ends at the other", async (t) => {
  const installation = await prepareInstallation(t);
  const { baseUrl, edgeUrl, internalUrls } = installation;
  const rings = { HAWSER_SESSION_SECRETS: newKeyRing(), HAWSER_TOKEN_ENC_KEYS: newKeyRing() };
  installation.secrets.push(...Object.values(rings).map((ring) => ring.slice(3)));
  const tunnelUrl = edgeUrl.replace("http", "ws");
  const words = ["api", "--relay-internal-url", internalUrls.relay, "--tunnel-url", tunnelUrl];
  const api = start(t, installation, words, rings);
  const relay = start(t, installation, ["relay", "--api", internalUrls.api]);
  await Promise.all([api.printed(/"msg":"API server listens"/), relay.printed(RELAY_READY)]);

  const browser = await signIn(installation, "bob");
  const paired = await pair(installation, browser);
  assert.equal(paired.tunnelUrl, tunnelUrl);
  const agent = await connectDevice(t, paired);
  const url = `${edgeUrl}/d/${paired.deviceId}/`;
  assert.equal(await statusOf(url, paired.key), 200);

  const disconnected = once(agent, "disconnected");
  const { status } = await browser.script(`${baseUrl}/api/devices/${paired.deviceId}`, {
    method: "DELETE",
  });
  assert.equal(status, 204);
  const [{ cause }] = await disconnected;
  assert.equal(cause, "revoked");
  assert.equal(await statusOf(url, paired.key), 404);
  assertQuiet((await stopped(api)) + (await stopped(relay)), installation);
});

test("hawser api: speaks TLS itself, starts without its provider and relay, and reads its certificate again at SIGHUP", async (t) => {
  const installation = await prepareInstallation(t);
  const { folder, environment } = installation;
  const [one, two] = [makeCertificate(folder, "one"), makeCertificate(folder, "two")];
  const [cert, key] = [join(folder, "api.crt"), join(folder, "api.key")];
  copyFileSync(one.certFile, cert);
  copyFileSync(one.keyFile, key);
  const port = Number(environment["HAWSER_API_PORT"]);
  const api = start(t, installation, ["api", "--api-tls-cert", cert, "--api-tls-key", key], {
    HAWSER_PUBLIC_BASE_URL: `https://127.0.0.1:${port}`,
    HAWSER_OIDC_ISSUER: "http://127.0.0.1:1",
    HAWSER_OIDC_CLIENT_AUTH: "none",
    HAWSER_OIDC_CLIENT_SECRET: "",
    HAWSER_SESSION_SECRETS: newKeyRing(),
    HAWSER_TOKEN_ENC_KEYS: newKeyRing(),
  });
  await api.printed(/"msg":"API server listens"/);
  await api.printed(/"level":40,[^\n]*"msg":"This is a public client: PKCE alone protects/);
  const nameOf = async (ca: string): Promise<string> => {
    const outgoing = request({ host: "127.0.0.1", port, path: "/readyz", ca, agent: false }).end();
    const [response] = (await once(outgoing, "response")) as [IncomingMessage];
    const name = String((response.socket as TLSSocket).getPeerCertificate().subject.CN);
    let body = "";
    for await (const piece of response) body += String(piece);
    assert.equal(response.statusCode, 200);
    const { detail } = JSON.parse(body);
    assert.deepEqual([detail.oidc, detail.oidc_client], ["down", "public"]);
    return name;
  };
  assert.equal(await nameOf(one.pem), "one");
  copyFileSync(two.certFile, cert);
  copyFileSync(two.keyFile, key);
  api.child.kill("SIGHUP");
  await api.printed(/"msg":"certificate read again"/);
  assert.equal(await nameOf(two.pem), "two");
  await stopped(api);
});

test("hawser api: two servers on one PostgreSQL database are one installation", {
  skip: skipWithoutPostgres(),
}, async (t) => {
  const installation = await prepareInstallation(t);
  const postgres = await startPostgres();
  t.after(() => postgres.stop());
  const [port, internalPort] = [await lendPort(), await lendPort()];
  const shared = {
    HAWSER_DATABASE_URL: await postgres.createSpace(),
    HAWSER_SESSION_SECRETS: newKeyRing(),
    HAWSER_TOKEN_ENC_KEYS: newKeyRing(),
  };
  const one = start(t, installation, ["api"], shared);
  const two = start(t, installation, ["api"], {
    ...shared,
    HAWSER_API_PORT: String(port),
    HAWSER_API_INTERNAL_PORT: String(internalPort),
  });
  await Promise.all([one, two].map((server) => server.printed(/"msg":"API server listens"/)));
  const browser = await signIn(installation, "alice");
  const paired = await pair(installation, browser);
  const headers = { authorization: `Bearer ${paired.key}` };
  const answer = await fetch(`http://127.0.0.1:${port}/api/devices`, { headers });
  const { devices } = (await answer.json()) as { devices: { id: string }[] };
  assert.deepEqual(
    devices.map(({ id }) => id),
    [paired.deviceId],
  );
  assertQuiet((await stopped(one)) + (await stopped(two)), installation);
});

for (const command of ["api", "up"]) {
  test(`hawser ${command} --check-config: prints what it comes to without secrets, and opens nothing`, async (t) => {
    const installation = await prepareInstallation(t);
    const rings = { HAWSER_SESSION_SECRETS: newKeyRing(), HAWSER_TOKEN_ENC_KEYS: newKeyRing() };
    const over = {
      ...rings,
      HAWSER_DATABASE_URL: "postgres://hawser:canary-db@127.0.0.1:1/hawser",
    };
    installation.secrets.push("canary-db", ...Object.values(rings).map((ring) => ring.slice(3)));
    const environment = { ...installation.environment, ...over };
    const text = await runCli(t, [command, "--check-config"], environment);
    assert.deepEqual([text.code, text.stderr], [0, ""]);
    assert.match(text.stdout, /^publicBaseUrl +http:\/\/127\.0\.0\.1:\d+ {2}\(variable\)$/m);
    assert.match(text.stdout, /^sessionSecrets +\(secret\) {2}\(variable\)$/m);
    assert.match(text.stdout, /^databaseUrl +postgres:\/\/hawser:\*\*\*@127\.0\.0\.1:1\/hawser/m);
    assert.match(text.stdout, /The configuration can be used\.\n$/);
    const json = await runCli(t, [command, "--check-config", "--json"], environment);
    assert.equal(json.code, 0);
    const report = JSON.parse(json.stdout);
    assert.equal(report.ok, true);
    assert.deepEqual(report.settings.oidcClientSecret, { value: null, origin: "variable" });
    assertQuiet(text.stdout + json.stdout, installation);
    assert.equal(existsSync(installation.dataDir), false);
  });

  test(`hawser ${command}: every problem is told at once, with exit code 2, and nothing is made`, async (t) => {
    const { dataDir } = await prepareInstallation(t);
    for (const check of [[], ["--check-config"]]) {
      const words = [command, ...check, "--data-dir", dataDir, "--api-port", "x", "--json"];
      const { code, stdout, stderr } = await runCli(t, words);
      assert.deepEqual([code, stdout], [2, ""]);
      const { problems } = JSON.parse(stderr).error;
      const rings = command === "api" ? ["--session-secrets", "--token-enc-keys"] : [];
      const required = ["public-base-url", "oidc-issuer", "oidc-client-id", "oidc-client-auth"];
      assert.deepEqual(
        problems.map(({ setting }: { setting: string }) => setting).sort(),
        ["--api-port", ...required.map((name) => `--${name}`), ...rings].sort(),
      );
      assert.equal(existsSync(dataDir), false);
    }
  });
}

test("hawser up: a port that is taken or a database that cannot be had ends the start, and leaves nothing running", async (t) => {
  const installation = await prepareInstallation(t);
  const { environment, dataDir } = installation;
  for (const name of ["API_PORT", "API_INTERNAL_PORT", "LISTEN_PORT", "INTERNAL_PORT"]) {
    const taken = createServer().listen(Number(environment[`HAWSER_${name}`]), "127.0.0.1");
    await once(taken, "listening");
    const { code, stderr } = await runCli(t, ["up"], environment);
    assert.equal(code, 2, name);
    assert.match(
      stderr,
      new RegExp(`^error: HAWSER_${name}: port \\d+ of .* is taken by another`),
      name,
    );
    taken.close();
    await once(taken, "close");
  }
  const words = ["up", "--database-url", `sqlite:${dataDir}/missing/hawser.db`];
  const { code, stderr } = await runCli(t, words, environment);
  assert.equal(code, 2);
  assert.match(stderr, /^error: --database-url: the file cannot be opened \(ENOENT\)/);
  assert.ok(readdirSync(dataDir).includes("hawser.db"));
});
