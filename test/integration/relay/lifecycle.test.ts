import assert from "node:assert/strict";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { type RequestListener, request } from "node:http";
import { createServer } from "node:net";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { connect } from "../../../src/agent/index.ts";
import { ConfigError } from "../../../src/core/errors.ts";
import type { RelayOptions } from "../../../src/relay/index.ts";
import { lendPort } from "../../support/ports.ts";
import { ask, credentialsText, startTestRelay } from "../../support/relay/start-relay.ts";
import { until } from "../../support/until.ts";

/** Whether a promise is settled by the end of this turn of the loop. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  const pending = Symbol("pending");
  return (await Promise.race([promise, setImmediate(pending)])) !== pending;
}

/** A device's handler whose answers wait for `release`. */
function holdingHandler(): { http: RequestListener; release: () => void } {
  const waiting: (() => void)[] = [];
  return {
    http: (_req, res) => waiting.push(() => res.end("late but whole")),
    release: () => {
      for (const answer of waiting.splice(0)) answer();
    },
  };
}

for (const [setting, portSetting] of [
  ["listenPort", "port"],
  ["internalPort", "internalPort"],
] as const) {
  test(`a taken ${setting} is a ConfigError that names it`, async (t) => {
    const first = await startTestRelay(t);
    const options: Partial<RelayOptions> = { [setting]: first.relay[portSetting] };
    await assert.rejects(startTestRelay(t, options), (error: unknown) => {
      assert.ok(error instanceof ConfigError);
      assert.deepEqual(
        error.problems.map((problem) => problem.setting),
        [setting],
      );
      assert.match(error.message, /taken by another process/);
      return true;
    });
    // The first one goes on as before, and is the only one that listens.
    for (let count = 0; count < 20; count++) {
      assert.equal((await ask(first.relay.internalPort, "/healthz")).status, 200);
    }
  });
}

test("a port that another program holds is found taken", async (t) => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  const { port } = server.address() as { port: number };
  await assert.rejects(startTestRelay(t, { listenPort: port }), /listenPort: port \d+ of 127/);
});

test("an address of another machine is a ConfigError that names the setting", async (t) => {
  await assert.rejects(startTestRelay(t, { listenHost: "192.0.2.1" }), /listenHost: 192\.0\.2\.1/);
  await assert.rejects(
    startTestRelay(t, { internalHost: "192.0.2.1" }),
    /internalHost: 192\.0\.2\.1/,
  );
});

test("a port is free again once a relay is closed, and connections linger", async (t) => {
  const ports = { listenPort: await lendPort(), internalPort: await lendPort() };
  const first = await startTestRelay(t, ports);
  await first.connect({ http: (_req, res) => res.end("x") });
  await first.edge(`/d/${first.devices[0]?.deviceId}/`);
  await first.relay.close();
  const { relay } = await startTestRelay(t, ports);
  assert.deepEqual({ listenPort: relay.port, internalPort: relay.internalPort }, ports);
});

test("drain: not ready, no new tunnels, GoAway, and the running request is answered", async (t) => {
  const started = await startTestRelay(t, {}, 2);
  const { http, release } = holdingHandler();
  const device = await started.connect({ http });
  const id = started.devices[0]?.deviceId;
  const running = started.edge(`/d/${id}/slow`);
  await device.opened();

  const drained = started.relay.drain();
  assert.equal(started.relay.drain(), drained);
  await device.goneAway;
  const ready = await ask(started.relay.internalPort, "/readyz");
  assert.equal(ready.status, 503);
  assert.equal(JSON.parse(ready.text).code, "ERR_RELAY_DRAINING");
  assert.equal((await ask(started.relay.internalPort, "/healthz")).status, 200);
  await assert.rejects(started.connect({}, 1), /refused with 503/);
  const refused = await ask(started.relay.port, "/tunnel/connect", {
    headers: {
      connection: "upgrade",
      upgrade: "websocket",
      "sec-websocket-version": "13",
      "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
    },
  });
  assert.equal(refused.status, 503);
  assert.equal(refused.headers["retry-after"], "1");
  assert.equal(await isSettled(drained), false);
  // Its device takes nothing new: no use to wait for another.
  const late = await started.edge(`/d/${id}/late`);
  assert.deepEqual(
    [late.status, JSON.parse(late.text).code, late.headers["retry-after"]],
    [503, "ERR_RELAY_DRAINING", "1"],
  );

  release();
  assert.equal((await running).text, "late but whole");
  await drained;
  assert.equal(started.relay.inspect().tunnels, 0);
  await assert.rejects(ask(started.relay.port, "/"), /ECONNREFUSED/);
  await assert.rejects(ask(started.relay.internalPort, "/healthz"), /ECONNREFUSED/);
});

test("drain: whoever keeps its connection is told to dial another relay", async (t) => {
  const started = await startTestRelay(t);
  const { http, release } = holdingHandler();
  const device = await started.connect({ http });
  const id = started.devices[0]?.deviceId;
  const headers = { connection: "keep-alive" };
  const before = started.edge(`/d/${id}/before`, { headers });
  await until(() => device.session.streamCount > 0, "the stream of the first request");
  release();
  assert.equal((await before).headers.connection, undefined);
  const running = started.edge(`/d/${id}/slow`, { headers });
  await until(() => started.relay.inspect().running > 0, "the running request");
  const drained = started.relay.drain();
  await device.goneAway;
  const late = await started.edge(`/d/${id}/late`, { headers });
  assert.deepEqual([late.status, late.headers.connection], [503, "close"]);
  const ended = running.then(({ status, headers: { connection } }) => [status, connection]);
  let over = false;
  void ended.finally(() => {
    over = true;
  });
  // The handler may not have been asked yet.
  const answered = (): boolean => {
    release();
    return over;
  };
  await until(answered, "the answer");
  assert.deepEqual(await ended, [200, "close"]);
  await drained;
});

test("drain: what runs longer than drainMs is ended, and told so where it can be", async (t) => {
  const started = await startTestRelay(t, { drainMs: 300 });
  const device = await started.connect({
    http: (req, res) => {
      // One answers nothing, the other stops in mid-body.
      if (req.url === "/begun") res.writeHead(200, { "content-length": "10" }).write("half");
    },
  });
  const id = started.devices[0]?.deviceId;
  const silent = started.edge(`/d/${id}/silent`, { method: "POST" });
  const headers = { authorization: `Bearer ${started.key.text}` };
  const port = started.relay.port;
  const call = request({ host: "127.0.0.1", port, path: `/d/${id}/begun`, headers }).end();
  const [begun] = await once(call, "response");
  const broken = once(begun.resume(), "error");
  await device.opened(2);
  await started.relay.drain();
  const answer = await silent;
  assert.ok([502, 503].includes(answer.status), `${answer.status}`);
  assert.equal((await broken)[0].code, "ECONNRESET");
  assert.equal(started.relay.inspect().running, 0);
});

test("drain: without anything running it takes no time to speak of", async (t) => {
  const started = await startTestRelay(t, { drainMs: 60_000 });
  const device = await started.connect({ http: (_req, res) => res.end("x") });
  await started.edge(`/d/${started.devices[0]?.deviceId}/`);
  await started.relay.drain();
  await device.closed;
});

test("drain: an agent leaves in peace and a hundred devices get their GoAway", async (t) => {
  const started = await startTestRelay(t, {}, 100);
  const agent = connect({
    relay: `ws://127.0.0.1:${started.relay.port}`,
    token: started.devices[0]?.token.text ?? "",
    to: "http://127.0.0.1:1",
  });
  t.after(() => agent.close({ drainMs: 0 }));
  await agent.ready();
  const devices = await Promise.all(
    started.devices.slice(1).map((_device, index) => started.connect({}, index + 1)),
  );
  const drained = started.relay.drain();
  await Promise.all(devices.map((device) => device.goneAway));
  await drained;
  assert.equal(started.relay.inspect().tunnels, 0);
});

test("close: at once, idempotent, during a drain too; nothing is left", async (t) => {
  const started = await startTestRelay(t);
  const { http } = holdingHandler();
  const device = await started.connect({ http });
  const id = started.devices[0]?.deviceId;
  const running = started.edge(`/d/${id}/slow`);
  await device.opened();
  const drained = started.relay.drain();
  await device.goneAway;
  const closed = started.relay.close();
  assert.equal(started.relay.close(), closed);
  await closed;
  await drained;
  const answer = await running;
  assert.equal(answer.status, 503);
  assert.equal(JSON.parse(answer.text).code, "ERR_RELAY_DRAINING");
  await device.closed;
  assert.deepEqual(started.relay.inspect(), {
    running: 0,
    holding: 0,
    tunnels: 0,
    streams: 0,
    receivedBytes: 0,
    batchBuffersOut: 0,
    chunksOut: 0,
  });
  assert.equal(started.log.at(-1)?.["msg"], "relay stopped");
  assert.equal(
    started.log.some((line) => line["msg"] === "request" && line["status"] === 503),
    true,
  );
});

test("a token taken out of the credentials file: its tunnel and request end, its key is refused", async (t) => {
  const started = await startTestRelay(t, {}, 3);
  const { http } = holdingHandler();
  const revoked = await started.connect({ http }, 0);
  const kept = await started.connect({ http: (_req, res) => res.end("still here") }, 2);
  const [first, , third] = started.devices;
  const running = started.edge(`/d/${first?.deviceId}/slow`);
  await revoked.opened();

  const remaining = started.devices.slice(1);
  await writeFile(started.credentialsPath, credentialsText(remaining, started.key));
  assert.equal(await revoked.closed, 4403);
  assert.equal((await running).status, 502);
  assert.equal((await started.edge(`/d/${first?.deviceId}/`)).status, 404);
  assert.equal((await started.edge(`/d/${third?.deviceId}/`)).text, "still here");
  await assert.rejects(started.connect({}, 0), /refused with 401/);

  const reloaded = once(started.credentials, "reloaded");
  await writeFile(started.credentialsPath, credentialsText(remaining, null));
  await reloaded;
  assert.equal((await started.edge(`/d/${third?.deviceId}/`)).status, 401);
  assert.equal(kept.session.isOpen, true);
});

test("a displaced tunnel of a revoked token is closed too, its requests included", async (t) => {
  const started = await startTestRelay(t, { displacedGraceMs: 60_000 });
  const { http } = holdingHandler();
  const displaced = await started.connect({ http });
  const { deviceId, token } = started.devices[0] as (typeof started.devices)[number];
  const running = started.edge(`/d/${deviceId}/slow`);
  await displaced.opened();
  const successor = await started.connect({});
  assert.equal(started.relay.inspect().tunnels, 2);
  assert.equal(started.relay.revoke([token.ref, "vAc_unknown0"]), 2);
  assert.deepEqual([await displaced.closed, await successor.closed], [4403, 4403]);
  assert.equal((await running).status, 502);
  assert.equal(started.relay.revoke([token.ref]), 0);
});

test("one access line for each request, without target or secret", async (t) => {
  const started = await startTestRelay(t);
  await started.connect({ http: (_req, res) => res.end("hello") });
  const { deviceId } = started.devices[0] as (typeof started.devices)[number];
  await started.edge(`/d/${deviceId}/private/path?token=abc`, { method: "POST", body: "12345" });
  await started.edge("/nowhere");
  await started.relay.close();
  const lines = started.log.filter((line) => line["msg"] === "request");
  assert.equal(lines.length, 2);
  const { time, pid, hostname, request_id, first_byte_us, total_us, ...rest } = lines[0] ?? {};
  assert.deepEqual(rest, {
    level: 30,
    msg: "request",
    front: "edge",
    device: deviceId,
    key: started.key.ref,
    method: "POST",
    status: 200,
    bytes_in: 5,
    bytes_out: 5,
  });
  assert.ok(Number(first_byte_us) > 0 && Number(total_us) >= Number(first_byte_us));
  assert.equal(lines[1]?.["stage"], "request");
  assert.doesNotMatch(started.logText(), /private|token=abc/);
});
