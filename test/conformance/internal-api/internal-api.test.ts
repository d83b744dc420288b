import assert from "node:assert/strict";
import { once } from "node:events";
import type { ServerResponse } from "node:http";
import { type TestContext, test } from "node:test";
import WebSocket from "ws";
import { ConfigError } from "../../../src/core/errors.ts";
import { mintDeviceId } from "../../../src/core/token.ts";
import { RELAY_DEFAULTS, relayOptionsProblems, startRelay } from "../../../src/relay/index.ts";
import { startListOnly } from "../../support/relay/list-only.ts";
import { ask, SECRET, startTestRelay, type TestRelay } from "../../support/relay/start-relay.ts";

/** The rows K12 to K15, A1, A3 and A4 of seed-contract section 3, one test each. */

const RFC_3339_UTC = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

function refOf(started: TestRelay, index = 0): string {
  return started.devices[index]?.token.ref ?? "";
}

test("K12: get answers one session; 404 without it; connected is false while it drains", async (t) => {
  const started = await startTestRelay(t, {}, 2);
  let hold = (_res: ServerResponse): void => {};
  const held = new Promise<ServerResponse>((resolve) => {
    hold = resolve;
  });
  const device = await started.connect({ http: (_req, res) => hold(res) });
  const ref = refOf(started);
  const answer = await started.internal(`/internal/session/${ref}`);
  assert.equal(answer.status, 200);
  const { connected_at, last_heartbeat, remote_addr, ...rest } = JSON.parse(answer.text);
  assert.deepEqual(rest, {
    token: ref,
    connected: true,
    user_id: "u1",
    device_id: started.devices[0]?.deviceId,
  });
  assert.match(connected_at, RFC_3339_UTC);
  assert.match(last_heartbeat, RFC_3339_UTC);
  assert.match(remote_addr, /^127\.0\.0\.1:\d+$/);
  assert.equal((await started.internal(`/internal/session/${refOf(started, 1)}`)).status, 404);

  const running = started.internal(`/internal/session/${ref}/forward/slow`);
  const response = await held;
  await started.internal(`/internal/session/${ref}/close?drain=5`, { method: "POST" });
  const draining = await started.internal(`/internal/session/${ref}`);
  assert.equal(draining.status, 200);
  assert.equal(JSON.parse(draining.text).connected, false);
  await device.goneAway;
  response.end("late");
  assert.equal((await running).text, "late");
  await device.closed;
  assert.equal((await started.internal(`/internal/session/${ref}`)).status, 404);
});

test("K13: the list is sessions and total, and [] when empty", async (t) => {
  const started = await startTestRelay(t, {}, 3);
  const empty = await started.internal("/internal/sessions");
  assert.equal(empty.text, '{"sessions":[],"total":0}');
  for (const index of [0, 1, 2]) await started.connect({}, index);
  const { sessions, total } = JSON.parse((await started.internal("/internal/sessions")).text);
  assert.equal(total, 3);
  assert.deepEqual(
    sessions.map((session: { token: string }) => session.token).sort(),
    started.devices.map((device) => device.token.ref).sort(),
  );
  for (const session of sessions) {
    assert.deepEqual(Object.keys(session).sort(), [
      "connected_at",
      "device_id",
      "last_heartbeat",
      "remote_addr",
      "token",
      "user_id",
    ]);
  }
});

test("K14: close ends a session at once, streams included; 404 without it", async (t) => {
  const started = await startTestRelay(t);
  const device = await started.connect({ http: () => {} });
  const ref = refOf(started);
  const running = started.internal(`/internal/session/${ref}/forward/never`);
  await device.opened();
  const closed = await started.internal(`/internal/session/${ref}/close`, { method: "POST" });
  assert.deepEqual([closed.status, closed.text], [200, `{"token":"${ref}","closed":true}`]);
  assert.equal(await device.closed, 4410);
  assert.equal((await running).status, 502);
  const again = await started.internal(`/internal/session/${ref}/close`, { method: "POST" });
  assert.equal(again.status, 404);
});

test("K14: close?drain lets running streams finish", async (t) => {
  const started = await startTestRelay(t);
  const device = await started.connect({
    http: async (req, res) => {
      await once(req.resume(), "end");
      res.end("done");
    },
  });
  const ref = refOf(started);
  const { body, answer } = openUpload(started, ref);
  await device.opened();
  await started.internal(`/internal/session/${ref}/close?drain=30`, { method: "POST" });
  await device.goneAway;
  body("the rest");
  assert.equal((await answer).text, "done");
  // Whoever sees the last stream end first closes: the device's own session with 1000.
  assert.ok([1000, 4410].includes(await device.closed));
});

/** A forwarded upload that waits for the rest of its body. */
function openUpload(
  started: TestRelay,
  ref: string,
): { body: (rest: string) => void; answer: Promise<{ text: string }> } {
  let body = (_rest: string): void => {};
  const answer = fetch(
    `http://127.0.0.1:${started.relay.internalPort}/internal/session/${ref}/forward/up`,
    {
      method: "POST",
      headers: { authorization: `Bearer ${SECRET}` },
      body: new ReadableStream({
        start(controller) {
          controller.enqueue(Buffer.from("first"));
          body = (rest) => {
            controller.enqueue(Buffer.from(rest));
            controller.close();
          };
        },
      }),
      duplex: "half",
    } as RequestInit,
  ).then(async (response) => ({ text: await response.text() }));
  return { body: (rest) => body(rest), answer };
}

test("K15: forward relays one exchange of any method, fields and body as they are", async (t) => {
  const started = await startTestRelay(t);
  await started.connect({
    http: async (req, res) => {
      const pieces: Buffer[] = [];
      for await (const piece of req) pieces.push(piece as Buffer);
      res.setHeader("x-answer", "yes");
      res.statusCode = 207;
      res.end(
        JSON.stringify({
          method: req.method,
          url: req.url,
          headers: req.headers,
          body: Buffer.concat(pieces).toString(),
        }),
      );
    },
  });
  const ref = refOf(started);
  const answer = await started.internal(`/internal/session/${ref}/forward/a%20b//c;d?x=1&y=%2F`, {
    method: "PROPFIND",
    headers: {
      "x-hawser-authorization": "Basic dXNlcjpwdw==",
      "x-forwarded-for": "198.51.100.7",
      "x-forwarded-proto": "https",
      "x-forwarded-host": "app.example",
      "x-forwarded-prefix": "/api/devices/1/http",
      "x-custom": "kept",
      host: "app.example",
    },
    body: "payload",
  });
  assert.equal(answer.status, 207);
  assert.equal(answer.headers["x-answer"], "yes");
  const seen = JSON.parse(answer.text);
  assert.equal(seen.method, "PROPFIND");
  assert.equal(seen.url, "/a%20b//c;d?x=1&y=%2F");
  assert.equal(seen.body, "payload");
  assert.equal(seen.headers.authorization, "Basic dXNlcjpwdw==");
  assert.equal(seen.headers["x-forwarded-for"], "198.51.100.7, 127.0.0.1");
  assert.equal(seen.headers["x-forwarded-proto"], "https");
  assert.equal(seen.headers["x-forwarded-host"], "app.example");
  assert.equal(seen.headers["x-forwarded-prefix"], "/api/devices/1/http");
  assert.equal(seen.headers["x-custom"], "kept");
  assert.equal(seen.headers.host, "app.example");
  assert.equal(seen.headers["x-hawser-authorization"], undefined);
  assert.doesNotMatch(answer.text, new RegExp(SECRET));
});

test("K15: stream is one raw byte stream, with half close in both directions", async (t) => {
  const started = await startTestRelay(t);
  await started.connect({ duplex: (duplex) => void duplex.pipe(duplex) });
  const ws = rawStream(t, started, refOf(started));
  await once(ws, "open");
  const received: Buffer[] = [];
  let ends = 0;
  ws.on("message", (data: Buffer) => {
    received.push(data);
    if (data.length === 0) ends += 1;
  });
  ws.send(Buffer.from("hello, "));
  ws.send(Buffer.from("device"));
  ws.send(Buffer.alloc(0));
  const [code] = (await once(ws, "close")) as [number];
  assert.equal(code, 1000);
  assert.equal(Buffer.concat(received).toString(), "hello, device");
  assert.equal(ends, 1);
});

function rawStream(t: TestContext, started: TestRelay, ref: string): WebSocket {
  const url = `ws://127.0.0.1:${started.relay.internalPort}/internal/session/${ref}/stream`;
  const ws = new WebSocket(url, { headers: { authorization: `Bearer ${SECRET}` } });
  t.after(() => ws.terminate());
  return ws;
}

test("A1: loopback by default, the secret always, of 16 bytes, 32 of them elsewhere", async (t) => {
  assert.equal(RELAY_DEFAULTS.internalHost, "127.0.0.1");
  const options = { ...RELAY_DEFAULTS, internalPort: 0, listenPort: 0, internalSecret: "" };
  const settingsOf = (internalHost: string, internalSecret: string): string[] =>
    relayOptionsProblems({ ...options, internalHost, internalSecret }).map(
      (problem) => problem.setting,
    );
  assert.deepEqual(settingsOf("127.0.0.1", ""), ["internalSecret"]);
  for (const host of ["127.0.0.1", "127.8.8.8", "::1", "localhost"]) {
    assert.deepEqual(settingsOf(host, "x".repeat(15)), ["internalSecret"]);
    assert.deepEqual(settingsOf(host, "x".repeat(16)), []);
  }
  for (const host of ["0.0.0.0", "::", "192.0.2.1", "relay.example"]) {
    assert.deepEqual(settingsOf(host, "x".repeat(31)), ["internalSecret"]);
    assert.deepEqual(settingsOf(host, "x".repeat(32)), []);
  }
  await assert.rejects(
    startRelay(
      { ...options, internalHost: "0.0.0.0", internalSecret: "x".repeat(31) },
      null as never,
    ),
    (error: unknown) => error instanceof ConfigError && /internalSecret/.test(error.message),
  );

  const started = await startTestRelay(t);
  const ref = refOf(started);
  const port = started.relay.internalPort;
  for (const path of [
    "/metrics",
    "/internal/sessions",
    `/internal/session/${ref}`,
    `/internal/session/${ref}/close`,
    `/internal/session/${ref}/forward/`,
    `/internal/session/${ref}/stream`,
    "/anything",
  ]) {
    for (const authorization of [
      "",
      "Bearer",
      "Bearer wrong",
      `Bearer ${SECRET}x`,
      `Bearer ${SECRET.slice(0, -1)}`,
      `Basic ${SECRET}`,
      SECRET,
    ]) {
      const headers: Record<string, string> = authorization === "" ? {} : { authorization };
      const answer = await ask(port, path, { headers });
      assert.equal(answer.status, 401, `${path} with ${authorization}`);
      assert.match(String(answer.headers["www-authenticate"]), /^Bearer/);
    }
  }
  assert.equal((await ask(port, "/healthz")).status, 200);
  assert.equal((await ask(port, "/readyz")).status, 200);
  const insensitive = { authorization: `bearer ${SECRET}` };
  assert.equal((await ask(port, "/internal/sessions", { headers: insensitive })).status, 200);
});

test("A3: sessions are named by the public reference; a whole token names nothing and is not logged", async (t) => {
  const started = await startTestRelay(t);
  await started.connect({ http: (_req, res) => res.end("x") });
  const { token, deviceId } = started.devices[0] as TestRelay["devices"][number];
  assert.match(token.ref, /^vAc_[0-9A-Za-z]{8}$/);
  for (const path of ["", "/close", "/forward/x", "/stream"]) {
    const answer = await started.internal(`/internal/session/${token.text}${path}`);
    assert.equal(answer.status, 404, path);
    assert.doesNotMatch(answer.text, new RegExp(token.text));
  }
  const listing = await started.internal("/internal/sessions");
  assert.match(listing.text, new RegExp(`"token":"${token.ref}"`));
  await started.edge(`/d/${deviceId}/x`);
  await started.relay.close();
  const everything = started.logText() + listing.text;
  for (const secret of [token.text, token.text.slice(13), SECRET, started.key.text]) {
    assert.equal(everything.includes(secret), false);
  }
  assert.match(everything, new RegExp(token.ref));
});

test("A4: the sessions of up to 200 devices, by their ids", async (t) => {
  const { internal, devices, connect } = await startTestRelay(t, {}, 2);
  const [first, second] = devices.map(({ deviceId }) => deviceId);
  await connect({});
  const ask = async (query: string) => {
    const { status, text } = await internal(`/internal/sessions?devices=${query}`);
    return { status, ...JSON.parse(text) };
  };
  const found = await ask(`${first},${mintDeviceId()},${second},${first}`);
  assert.deepEqual([found.status, found.total, found.next], [200, 1, undefined]);
  assert.deepEqual(
    found.sessions.map((session: { device_id: string }) => session.device_id),
    [first],
  );
  const full = Array.from({ length: 200 }, mintDeviceId);
  assert.deepEqual((await ask(full.join(","))).sessions, []);
  for (const bad of [
    [...full, mintDeviceId()].join(","),
    "",
    "x",
    `${first},`,
    `${first}&limit=5`,
    `${first}&devices=${second}`,
  ]) {
    const { status, code } = await ask(bad);
    assert.deepEqual([status, code], [400, "ERR_RELAY_BAD_QUERY"], bad.slice(0, 40));
  }
});

test("A4: pages of at most 10,000 of 100,000 sessions, by limit, cursor and user", async (t) => {
  const { port, steps } = await startListOnly(t, 100_000);
  const page = async (query: string) => {
    const headers = { authorization: `Bearer ${SECRET}` };
    const answer = await ask(port, `/internal/sessions${query}`, { headers });
    return { status: answer.status, ...JSON.parse(answer.text) };
  };
  const first = await page("");
  assert.equal(first.sessions.length, 1_000);
  assert.equal(first.total, 100_000);

  const seen = new Set<string>();
  let query = "?limit=10000";
  let pages = 0;
  const stepsBefore = steps();
  for (; query !== ""; pages++) {
    const { sessions, total, next } = await page(query);
    assert.equal(total, 100_000);
    assert.equal(sessions.length, 10_000);
    for (const session of sessions) seen.add(session.token);
    query = next === undefined ? "" : `?limit=10000&cursor=${encodeURIComponent(next)}`;
  }
  assert.equal(pages, 10);
  assert.equal(seen.size, 100_000);
  // Made in steps: others are served between two of them.
  assert.equal(steps() - stepsBefore, 200);

  const ofUser = await page("?user_id=user-7&limit=10000");
  assert.equal(ofUser.total, 1_000);
  assert.equal(ofUser.sessions.length, 1_000);
  assert.equal(ofUser.next, undefined);
  assert.deepEqual((await page("?user_id=nobody")).sessions, []);
  for (const bad of [
    "?limit=0",
    "?limit=-1",
    "?limit=10001",
    "?limit=1e3",
    "?limit=",
    "?limit=99999999999999999999",
    "?cursor=",
    "?cursor=x",
    "?cursor=p-1",
  ]) {
    const { status, code } = await page(bad);
    assert.deepEqual([status, code], [400, "ERR_RELAY_BAD_QUERY"], bad);
  }
});
