/** Servers as processes, ended in the middle of what they do. */
import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { readFileSync } from "node:fs";
import { request, type ServerResponse } from "node:http";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import Database from "libsql";
import type { Page } from "../../../src/cli/demo-browser.ts";
import { newKeyRing } from "../../../src/config/index.ts";
import { CliProcess } from "../../support/cli.ts";
import {
  connectDevice,
  type Installation,
  pair,
  prepareInstallation,
  signIn,
  whoIs,
} from "../../support/servers/installation.ts";
import { until } from "../../support/until.ts";

const RELAY_READY = /"msg":"relay listens"/;

function start(
  t: TestContext,
  installation: Installation,
  words: readonly string[],
  over: Record<string, string> = {},
): CliProcess {
  return new CliProcess(t, words, { ...installation.environment, ...over });
}

/** Status of an answer, 0 for none. */
async function statusOf(url: string, init: RequestInit = {}): Promise<number> {
  try {
    const answer = await fetch(url, init);
    await answer.arrayBuffer();
    return answer.status;
  } catch {
    return 0;
  }
}

const bearer = (key: string): RequestInit => ({ headers: { authorization: `Bearer ${key}` } });

/** Events of an audit log. */
function eventsOf(path: string): string[] {
  const lines = readFileSync(path, "utf8").trim().split("\n");
  return lines.map((line) => JSON.parse(line).event);
}

test("hawser up: SIGTERM tells the audit log how tunnels ended, though a request keeps the relay for longer", async (t) => {
  const installation = await prepareInstallation(t);
  const auditLog = join(installation.folder, "audit.jsonl");
  const up = start(t, installation, ["up", "--audit-log", auditLog]);
  await up.printed(RELAY_READY);
  const paired = await pair(installation, await signIn(installation, "alice"));
  let take = (_response: ServerResponse): void => {};
  const asked = new Promise<ServerResponse>((resolve) => {
    take = resolve;
  });
  await connectDevice(t, paired, (_, response) => take(response));
  const answer = fetch(`${installation.edgeUrl}/d/${paired.deviceId}/`, bearer(paired.key));
  const response = await asked;
  up.child.kill("SIGTERM");
  await up.printed(/"msg":"relay drains"/);
  // The API server's own requests are over: its public port is closed.
  while ((await statusOf(`${installation.baseUrl}/readyz`)) !== 0);
  response.end("in the end");
  assert.equal(await (await answer).text(), "in the end");
  const { code, stdout } = await up.finished();
  assert.equal(code, 0);
  assert.doesNotMatch(stdout, /not told of|is away/);
  const events = eventsOf(auditLog);
  assert.ok(events.includes("tunnel_connected"), events.join());
  assert.ok(events.includes("tunnel_closed"), events.join());
  const file = new Database(join(installation.dataDir, "hawser.db"));
  t.after(() => file.close());
  const rows = file.prepare("select event from audit_events").all() as { event: string }[];
  const kept = rows.map(({ event }) => event);
  assert.deepEqual(kept.sort(), events.sort(), "every line is a row");
});

/** Stops a server by two signals, while a request that will not end runs. */
async function stopTwice(server: CliProcess): Promise<void> {
  server.child.kill("SIGTERM");
  await server.printed(/"msg":"stopping"/);
  server.child.kill("SIGTERM");
  const { code, signal } = await server.finished();
  assert.deepEqual([code, signal], [143, null]);
}

const apiSecrets = () => ({
  HAWSER_SESSION_SECRETS: newKeyRing(),
  HAWSER_TOKEN_ENC_KEYS: newKeyRing(),
});

for (const command of ["up", "api"] as const) {
  test(`hawser ${command}: a second SIGTERM does not wait`, async (t) => {
    const installation = await prepareInstallation(t);
    const server = start(t, installation, [command], command === "api" ? apiSecrets() : {});
    await server.printed(command === "api" ? /"msg":"API server listens"/ : RELAY_READY);
    // A request whose body never comes whole. That it is asked for is the sign that it runs.
    const call = request(`${installation.baseUrl}/api/pairing/exchange`, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        "content-length": 10,
        expect: "100-continue",
      },
    });
    call.on("error", () => {});
    t.after(() => call.destroy());
    call.flushHeaders();
    await once(call, "continue");
    await stopTwice(server);
  });
}

test("hawser relay: a second SIGTERM does not wait", { timeout: 60_000 }, async (t) => {
  const installation = await prepareInstallation(t);
  const api = start(t, installation, ["api"], {
    ...apiSecrets(),
    HAWSER_TUNNEL_URL: installation.edgeUrl.replace("http:", "ws:"),
  });
  await api.printed(/"msg":"API server listens"/);
  const relay = start(t, installation, ["relay"], { HAWSER_API: installation.internalUrls.api });
  await relay.printed(RELAY_READY);
  const paired = await pair(installation, await signIn(installation, "alice"));
  // The device's service has the request, and never answers it.
  const asked = new EventEmitter();
  const running = once(asked, "request");
  await connectDevice(t, paired, (incoming) => void asked.emit("request", incoming));
  const url = `${installation.edgeUrl}/d/${paired.deviceId}/`;
  const broken = assert.rejects(fetch(url, bearer(paired.key)));
  await Promise.race([running, broken.then(() => assert.fail("the request has ended"))]);
  await stopTwice(relay);
  await broken;
});

test("hawser up: killed amid writes, it comes back whole: sessions, used codes, keys, the file", {
  timeout: 120_000,
}, async (t) => {
  const installation = await prepareInstallation(t);
  const { baseUrl, edgeUrl, dataDir } = installation;
  let up = start(t, installation, ["up"]);
  await up.printed(RELAY_READY);
  const browser = await signIn(installation, "alice");
  const paired = await pair(installation, browser);
  const agent = await connectDevice(t, paired);
  const codes: RequestInit[] = [];
  for (let round = 0; round < 3; round++) {
    let made = 0;
    const { code } = JSON.parse(
      (await browser.script(`${baseUrl}/api/pairing-codes`, { method: "POST", json: {} })).body,
    );
    const exchange = {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ code, device: {} }),
    };
    assert.equal(await statusOf(`${baseUrl}/api/pairing/exchange`, exchange), 201);
    codes.push(exchange);
    const post = (path: string, body: object): Promise<Page> =>
      browser.script(baseUrl + path, { method: "POST", json: body });
    const work = async (): Promise<void> => {
      for (;;) {
        const { status } = await post("/api/devices", { name: "one more" });
        if (status !== 201) return;
        made += 1;
      }
    };
    // Each ends with the connection that is cut.
    const workers = [work(), work(), work(), work()].map((each) => each.catch(() => {}));
    await until(() => made >= 20, "writes");
    up.child.kill("SIGKILL");
    await up.finished();
    await Promise.all(workers);
    const file = new Database(join(dataDir, "hawser.db"));
    assert.deepEqual(
      (file.prepare("pragma integrity_check").all() as { integrity_check: string }[]).map(
        (row) => row.integrity_check,
      ),
      ["ok"],
    );
    file.close();
    const connected = once(agent, "connected");
    up = start(t, installation, ["up"]);
    await up.printed(RELAY_READY);
    await connected;
    assert.equal(await whoIs(installation, browser), "Alice (demo)");
    assert.equal(await statusOf(`${edgeUrl}/d/${paired.deviceId}/`, bearer(paired.key)), 200);
    assert.equal(
      await statusOf(`${baseUrl}/api/devices/${paired.deviceId}/http/`, bearer(paired.key)),
      200,
    );
  }
  for (const exchange of codes) {
    assert.equal(await statusOf(`${baseUrl}/api/pairing/exchange`, exchange), 404, "a used code");
  }
  up.child.kill("SIGTERM");
  const { code, stderr } = await up.finished();
  assert.deepEqual([code, stderr], [0, ""]);
});

test("hawser api and hawser relay: what is revoked while the relay is down is refused when it is back", async (t) => {
  const installation = await prepareInstallation(t);
  const { baseUrl, edgeUrl, internalUrls } = installation;
  const rings = { HAWSER_SESSION_SECRETS: newKeyRing(), HAWSER_TOKEN_ENC_KEYS: newKeyRing() };
  const tunnelUrl = edgeUrl.replace("http", "ws");
  const words = ["api", "--relay-internal-url", internalUrls.relay, "--tunnel-url", tunnelUrl];
  let api = start(t, installation, words, rings);
  const relayWords = ["relay", "--api", internalUrls.api];
  let relay = start(t, installation, relayWords);
  await Promise.all([api.printed(/"msg":"API server listens"/), relay.printed(RELAY_READY)]);
  const browser = await signIn(installation, "bob");
  const paired = await pair(installation, browser);
  const agent = await connectDevice(t, paired);
  const url = `${edgeUrl}/d/${paired.deviceId}/`;
  assert.equal(await statusOf(url, bearer(paired.key)), 200);
  relay.child.kill("SIGKILL");
  await relay.finished();
  // The edge is away: the API says so, and is none the worse.
  assert.equal(
    await statusOf(`${baseUrl}/api/devices/${paired.deviceId}/http/`, bearer(paired.key)),
    503,
  );
  const gone = await browser.script(`${baseUrl}/api/devices/${paired.deviceId}`, {
    method: "DELETE",
  });
  assert.equal(gone.status, 204);
  const refused = new Promise<string>((resolve) => {
    agent.on("disconnected", ({ cause }) => cause === "token_refused" && resolve(cause));
  });
  relay = start(t, installation, relayWords);
  await relay.printed(RELAY_READY);
  assert.equal(await refused, "token_refused");
  assert.equal(await statusOf(url, bearer(paired.key)), 404);
  // The API server restarts under the relay's feet: what the relay knows goes on, and the session is still there.
  api.child.kill("SIGKILL");
  await api.finished();
  assert.equal(await statusOf(url, bearer(paired.key)), 404);
  api = start(t, installation, words, rings);
  await api.printed(/"msg":"API server listens"/);
  assert.notEqual(await whoIs(installation, browser), null);
  for (const server of [relay, api]) {
    server.child.kill("SIGTERM");
    const { code, stderr } = await server.finished();
    assert.deepEqual([code, stderr], [0, ""]);
  }
});
