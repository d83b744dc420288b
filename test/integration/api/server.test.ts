import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { PassThrough } from "node:stream";
import { describe, it } from "node:test";
import {
  API_DEFAULTS,
  json,
  type Reply,
  type Route,
  route,
  startApiServer,
  stream,
  TAKEN,
} from "../../../src/api/index.ts";
import { ConfigError } from "../../../src/core/errors.ts";
import { bearer, GOOD, problem, sampleRoutes, startApi } from "../../support/api/harness.ts";
import { rawRequest } from "../../support/forward/raw-request.ts";

/** A route that does what a test wants. */
function open(handler: Route["handler"], path = "/open"): Route {
  return route({
    method: "GET",
    path,
    class: "public",
    reason: "It belongs to a test.",
    summary: "A test.",
    responses: { 200: { description: "Done." } },
    handler,
  });
}

/** A promise and its ends. */
function later<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => {};
  const promise = new Promise<T>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

const GET_OPEN = "GET /open HTTP/1.1\r\nHost: a\r\n\r\n";

describe("stop", () => {
  it("accepts nobody, lets running requests finish and then ends their connections", async (t) => {
    const called = later<void>();
    const reply = later<Reply>();
    const handler = (): Promise<Reply> => {
      called.resolve();
      return reply.promise;
    };
    const api = await startApi(t, [open(handler)]);
    const idle = connect({ port: api.port, host: "127.0.0.1" });
    await once(idle, "connect");
    const answered = rawRequest(api.port, GET_OPEN);
    await called.promise;
    const idleClosed = once(idle, "close");
    const stopped = api.server.stop();
    assert.equal(api.server.stop(), stopped);
    await idleClosed;
    const refused = connect({ port: api.port, host: "127.0.0.1" });
    await assert.rejects(once(refused, "connect"), { code: "ECONNREFUSED" });
    assert.equal(api.server.running, 1);
    reply.resolve(json(200, 1));
    const answer = await answered;
    assert.equal(answer.status, 200);
    assert.equal(answer.fields.get("connection"), "close");
    await stopped;
    assert.deepEqual(api.timers.delays, []);
    assert.equal(api.server.running, 0);
  });

  it("cuts what is not done when the bound is reached", async (t) => {
    const called = later<AbortSignal>();
    const handler = ({ signal }: { signal: AbortSignal }): Promise<Reply> => {
      called.resolve(signal);
      return new Promise(() => {});
    };
    const api = await startApi(t, [open(handler)]);
    const answered = rawRequest(api.port, GET_OPEN);
    const signal = await called.promise;
    const stopped = api.server.stop();
    api.timers.fire(API_DEFAULTS.drainMs);
    await stopped;
    assert.equal((await answered).whole, false);
    assert.equal(signal.aborted, true);
    assert.equal((await api.logged(({ cut }) => cut === true))["status"], 499);
  });

  it("ends a connection whose answer had begun before", async (t) => {
    const body = new PassThrough();
    const api = await startApi(t, [open(() => stream(200, body, "text/plain"))]);
    const socket = connect({ port: api.port, host: "127.0.0.1" });
    const closed = once(socket, "close");
    socket.write(GET_OPEN);
    body.write("a");
    await once(socket, "data");
    const stopped = api.server.stop();
    body.end("b");
    socket.resume();
    await Promise.all([closed, stopped]);
  });

  it("close does not wait for a connection that was refused", async (t) => {
    const api = await startApi(t);
    const socket = connect({ port: api.port, host: "127.0.0.1", allowHalfOpen: true });
    t.after(() => socket.destroy());
    socket.write("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n");
    await once(socket, "data");
    await api.timers.set(API_DEFAULTS.lingerMs);
    await api.server.close();
  });

  it("close cuts at once", async (t) => {
    const called = later<void>();
    const handler = (): Promise<Reply> => {
      called.resolve();
      return new Promise(() => {});
    };
    const api = await startApi(t, [open(handler)]);
    const answered = rawRequest(api.port, GET_OPEN);
    await called.promise;
    await api.server.close();
    await api.server.close();
    assert.equal((await answered).raw.length, 0);
  });
});

describe("streams", () => {
  it("a body passes both ways while it is still being sent", async (t) => {
    const api = await startApi(t);
    const socket = connect({ port: api.port, host: "127.0.0.1" });
    t.after(() => socket.destroy());
    const head = `PUT /api/things/abcd/http/up HTTP/1.1\r\nHost: a\r\n${bearer(GOOD.key)}\r\n`;
    socket.write(`${head}Transfer-Encoding: chunked\r\n\r\n`);
    socket.write("4\r\nping\r\n");
    let received = "";
    while (!received.includes("ping")) received += String((await once(socket, "data"))[0]);
    assert.match(received, /^HTTP\/1.1 200 OK\r\n/);
    assert.match(received, /x-content-type-options: nosniff/);
    socket.write("4\r\npong\r\n0\r\n\r\n");
    while (!received.includes("0\r\n\r\n")) received += String((await once(socket, "data"))[0]);
    assert.match(received, /pong/);
  });

  it("a source that fails cuts the connection: it is never passed off as complete", async (t) => {
    const body = new PassThrough();
    const api = await startApi(t, [open(() => stream(200, body, "text/plain"))]);
    const answered = rawRequest(api.port, GET_OPEN, false, () => body.destroy(new Error("lost")));
    body.write("a");
    assert.equal((await answered).whole, false);
    assert.equal((await api.logged(({ cut }) => cut === true))["status"], 200);
  });

  it("a handler that fails after it wrote cuts the connection", async (t) => {
    const handler: Route["handler"] = async ({ response }) => {
      await new Promise((resolve) => response.write("begun", resolve));
      throw new Error("canary-of-a-cause");
    };
    const api = await startApi(t, [open(handler)]);
    const answer = await rawRequest(api.port, GET_OPEN);
    assert.equal(answer.whole, false);
    assert.ok(!answer.raw.includes("canary"));
  });

  it("a client that leaves is told to the handler, and taken for 499", async (t) => {
    const aborted = later<void>();
    const called = later<void>();
    const handler: Route["handler"] = ({ signal }) => {
      signal.addEventListener("abort", () => aborted.resolve());
      called.resolve();
      return TAKEN;
    };
    const api = await startApi(t, [open(handler)]);
    const socket = connect({ port: api.port, host: "127.0.0.1" });
    socket.write(GET_OPEN);
    await called.promise;
    socket.destroy();
    await aborted.promise;
    assert.equal(api.server.running, 0);
    assert.equal((await api.logged(({ status }) => status === 499))["path"], "/open");
  });

  it("what follows a request malformed does not disturb its answer", async (t) => {
    const reply = later<Reply>();
    const called = later<void>();
    const handler = (): Promise<Reply> => {
      called.resolve();
      return reply.promise;
    };
    const api = await startApi(t, [open(handler)]);
    const answered = rawRequest(api.port, `${GET_OPEN}\x00\x01 garbage\r\n\r\n`);
    await called.promise;
    reply.resolve(json(200, 1));
    assert.equal((await answered).status, 200);
  });
});

describe("a reply", () => {
  for (const [name, reply] of [
    ["that is not described", () => json(201, 1)],
    ["that loosens a security header", () => json(200, 1, { "content-security-policy": "*" })],
    [
      "that is cached with a cookie",
      () => json(200, 1, { "cache-control": "public", "set-cookie": "a=b" }),
    ],
    ["that is no JSON", () => json(200, { a: 1n })],
  ] as const) {
    it(`${name} is our own fault: 500`, async (t) => {
      const api = await startApi(t, [open(reply)]);
      const answer = await api.send("GET /open");
      assert.equal(problem(answer)["code"], "internal");
      assert.equal(answer.fields.get("cache-control"), "no-store");
      assert.equal(answer.fields.has("set-cookie"), false);
    });
  }

  it("of an open route may be cached when it says so", async (t) => {
    const cached = (): Reply => json(200, 1, { "cache-control": "public, max-age=60" });
    const api = await startApi(t, [open(cached)]);
    const answer = await api.send("GET /open");
    assert.equal(answer.fields.get("cache-control"), "public, max-age=60");
  });
});

describe("the access log", () => {
  it("has one line a request, without query, fields and secrets", async (t) => {
    const api = await startApi(t);
    const canary = `hwk_abcdefgh_${"s".repeat(49)}`;
    await api.send(`GET /api/things/${canary}?q=${canary}`, [
      bearer(canary),
      `Cookie: __Host-hawser_sid=${canary}`,
      `Referer: https://x.test/${canary}`,
    ]);
    await api.send("GET /api/things/abcd/http/private/path?x=1", [bearer(GOOD.key)]);
    const line = await api.logged(({ route }) => route === "/api/things/:id/http/*path");
    assert.equal(line["path"], "/api/things/abcd/http/");
    assert.equal(line["principal"], "ref-of-key");
    assert.equal(line["class"], "key");
    assert.equal(line["status"], 200);
    assert.equal(line["client"], "127.0.0.1");
    assert.equal(typeof line["total_us"], "number");
    assert.ok(Number(line["bytes_out"]) > 100);
    const all = JSON.stringify(api.lines);
    assert.equal(api.lines.length, 2);
    for (const secret of [canary, GOOD.key, "private", "x=1"]) assert.ok(!all.includes(secret));
    assert.match(all, /"path":"\/api\/things\/hwk_abcdefgh"/);
  });

  it("of a fault of ours has message and places, and neither cause nor members", async (t) => {
    const canary = `hwk_abcdefgh_${"s".repeat(49)}`;
    const fail = (): never => {
      throw Object.assign(
        new Error(`It broke on ${canary}.`, { cause: new Error("canary-cause") }),
        {
          code: "E_BROKEN",
          parameters: "canary-member",
        },
      );
    };
    const api = await startApi(t, [open(fail)]);
    await api.send("GET /open");
    const { fault } = await api.logged(({ msg }) => msg === "request failed");
    const { type, code, message, places } = fault as Record<string, unknown>;
    assert.deepEqual([type, code, message], ["Error", "E_BROKEN", "It broke on hwk_abcdefgh."]);
    assert.match(String(places), /^at .*fail /);
    assert.ok(!/canary|ssss/.test(JSON.stringify(api.lines)));
  });

  it("has a line for bytes that are no request", async (t) => {
    const api = await startApi(t);
    const answer = await rawRequest(api.port, "canary bytes\r\n\r\n");
    const line = await api.logged(({ status }) => status === 400);
    assert.equal(line["request_id"], answer.fields.get("x-request-id"));
    assert.equal(line["code"], "bad_request");
    assert.ok(!JSON.stringify(api.lines).includes("canary"));
  });
});

it("refuses settings that cannot be used, all of them at once", async () => {
  const options = { ...API_DEFAULTS, publicBaseUrl: "ftp://x", corsOrigins: ["*", "https://a/b"] };
  const api = { ...options, listenHost: "127.0.0.1", listenPort: 0 };
  await assert.rejects(startApiServer(api, {} as Parameters<typeof startApiServer>[1]), (error) => {
    assert.ok(error instanceof ConfigError);
    assert.deepEqual(
      error.problems.map(({ setting }) => setting),
      ["publicBaseUrl", "corsOrigins"],
    );
    return true;
  });
});

it("says whether it is ready", async (t) => {
  const api = await startApi(t, sampleRoutes());
  assert.deepEqual(problem(await api.send("GET /readyz")), {
    status: "ready",
    detail: { store: "up" },
  });
});
