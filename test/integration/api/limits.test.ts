import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { Readable } from "node:stream";
import { describe, it, type TestContext } from "node:test";
import { setImmediate } from "node:timers/promises";
import { API_DEFAULTS, type AuthVerdict, route, stream } from "../../../src/api/index.ts";
import {
  bearer,
  cookie,
  GOOD,
  principal,
  problem,
  sampleRoutes,
  startApi,
} from "../../support/api/harness.ts";
import { parseAnswer, type RawAnswer, rawRequest } from "../../support/forward/raw-request.ts";

const KEY = bearer(GOOD.key);
const JSON_TYPE = "Content-Type: application/json";

/** An open connection to the listener. */
async function dial(t: TestContext, port: number): Promise<Socket> {
  const socket = connect({ port, host: "127.0.0.1" });
  t.after(() => socket.destroy());
  socket.on("error", () => {});
  await once(socket, "connect");
  return socket;
}

/** The first whole answer on a connection. */
function answerOn(socket: Socket): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const received: Buffer[] = [];
    const onData = (chunk: Buffer): void => {
      received.push(chunk);
      const answer = parseAnswer(Buffer.concat(received), false);
      if (answer?.whole !== true) return;
      socket.off("data", onData);
      resolve(answer);
    };
    socket.on("data", onData);
    socket.once("close", () => reject(new Error("closed before an answer")));
  });
}

describe("the limit of", () => {
  it("a head, in bytes", async (t) => {
    const api = await startApi(t, sampleRoutes(), { headBytesMax: 4_096 });
    const lineOf = (bytes: number): string => `X-Big: ${"a".repeat(bytes)}`;
    assert.equal((await api.send("GET /healthz", [lineOf(3_900)])).status, 200);
    const over = await api.send("GET /healthz", [lineOf(4_100)]);
    assert.equal(over.status, 431);
    assert.equal(problem(over)["code"], "head_too_large");
  });

  it("a head, in fields, of which none is dropped", async (t) => {
    const api = await startApi(t, sampleRoutes(), { headFieldsMax: 10 });
    assert.equal((await api.send("GET /healthz", Array<string>(9).fill("A: b"))).status, 200);
    assert.equal((await api.send("GET /healthz", Array<string>(10).fill("A: b"))).status, 431);
    // More than node:http would keep by itself.
    assert.equal((await api.send("GET /healthz", Array<string>(3_000).fill("A: b"))).status, 431);
  });

  it("a target, in bytes", async (t) => {
    const api = await startApi(t, sampleRoutes(), { targetBytesMax: 64 });
    const target = "/healthz?";
    assert.equal((await api.send(`GET ${target.padEnd(64, "a")}`)).status, 200);
    assert.equal((await api.send(`GET ${target.padEnd(65, "a")}`)).status, 414);
  });

  const body = (bytes: number): string => `{"name":"a"${" ".repeat(bytes - 12)}}`;
  it("a body whose length is told", async (t) => {
    const api = await startApi(t);
    for (const [bytes, status] of [
      [64, 201],
      [65, 413],
    ] as const) {
      const lines = [KEY, JSON_TYPE, `Content-Length: ${bytes}`];
      assert.equal((await api.send("POST /api/things", lines, body(bytes))).status, status);
    }
  });

  it("a body in chunks", async (t) => {
    const api = await startApi(t);
    for (const [bytes, status] of [
      [64, 201],
      [65, 413],
    ] as const) {
      const lines = [KEY, JSON_TYPE, "Transfer-Encoding: chunked"];
      const text = body(bytes);
      const chunks = [text.slice(0, 20), text.slice(20)];
      const coded = chunks.map((chunk) => `${chunk.length.toString(16)}\r\n${chunk}\r\n`).join("");
      const answer = await api.send("POST /api/things", lines, `${coded}0\r\n\r\n`);
      assert.equal(answer.status, status);
    }
  });

  it("a refused body that goes on: the answer is read, then the connection is cut", async (t) => {
    const api = await startApi(t);
    const socket = await dial(t, api.port);
    socket.write(
      `POST /api/things HTTP/1.1\r\nHost: a\r\n${KEY}\r\n${JSON_TYPE}\r\nContent-Length: 1000000\r\n\r\n`,
    );
    assert.equal((await answerOn(socket)).status, 413);
    await api.timers.set(API_DEFAULTS.lingerMs);
    const closed = once(socket, "close");
    api.timers.fire(API_DEFAULTS.lingerMs);
    await closed;
  });

  it("a refused body that ends: the connection serves on", async (t) => {
    const api = await startApi(t);
    const socket = await dial(t, api.port);
    socket.write(
      `POST /api/things HTTP/1.1\r\nHost: a\r\n${KEY}\r\n${JSON_TYPE}\r\nContent-Length: 100000\r\n\r\n`,
    );
    assert.equal((await answerOn(socket)).status, 413);
    socket.write(" ".repeat(100_000));
    socket.write("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
    assert.equal((await answerOn(socket)).status, 200);
  });

  it("time for a body", async (t) => {
    const api = await startApi(t);
    const socket = await dial(t, api.port);
    socket.write(
      `POST /api/things HTTP/1.1\r\nHost: a\r\n${KEY}\r\n${JSON_TYPE}\r\nContent-Length: 12\r\n\r\n{"n`,
    );
    await api.timers.set(API_DEFAULTS.bodyTimeoutMs);
    const answered = answerOn(socket);
    api.timers.fire(API_DEFAULTS.bodyTimeoutMs);
    assert.equal(problem(await answered)["code"], "request_timeout");
  });

  it("time for a body, which is not waited for when the client left before", async (t) => {
    const api = await startApi(t);
    let decide: (verdict: AuthVerdict) => void = () => {};
    const asked = new Promise<void>((resolve) => {
      api.authenticator.verdicts.set(GOOD.key, () => {
        resolve();
        return new Promise((done) => {
          decide = done;
        });
      });
    });
    const socket = await dial(t, api.port);
    socket.write(
      `POST /api/things HTTP/1.1\r\nHost: a\r\n${KEY}\r\n${JSON_TYPE}\r\nContent-Length: 12\r\n\r\n{"n`,
    );
    await asked;
    socket.destroy();
    const line = await api.logged(({ path }) => path === "/api/things");
    // Half a body and then the end is malformed; whoever can still read is told so.
    assert.equal(line["status"], 400);
    decide({ ok: true, principal: principal("key") });
    await setImmediate();
    assert.ok(!api.timers.delays.includes(API_DEFAULTS.bodyTimeoutMs));
  });

  it("time for a head", async (t) => {
    const api = await startApi(t, sampleRoutes(), { headTimeoutMs: 40 });
    const socket = await dial(t, api.port);
    socket.write("GET /healthz HTTP/1.1\r\nHost: a");
    const answer = await answerOn(socket);
    assert.equal(answer.status, 408);
    assert.equal(problem(answer)["code"], "request_timeout");
    assert.equal(answer.fields.get("x-content-type-options"), "nosniff");
  });

  it("time without a request on an open connection", async (t) => {
    const api = await startApi(t, sampleRoutes(), { keepAliveMs: 20 });
    const socket = await dial(t, api.port);
    const closed = once(socket, "close");
    socket.write("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
    assert.equal((await answerOn(socket)).status, 200);
    await closed;
  });

  it("time without a byte: a client that reads nothing is cut", async (t) => {
    let cut: Promise<unknown> = Promise.resolve();
    const endless = route({
      method: "GET",
      path: "/endless",
      class: "public",
      reason: "It belongs to a test.",
      summary: "Ends never.",
      responses: { 200: { description: "Much." } },
      handler: ({ signal }) => {
        cut = once(signal, "abort");
        const source = new Readable({ read: () => source.push(Buffer.alloc(65_536)) });
        return stream(200, source, "application/octet-stream");
      },
    });
    const api = await startApi(t, [endless], { idleMs: 30 });
    const socket = await dial(t, api.port);
    socket.write("GET /endless HTTP/1.1\r\nHost: a\r\n\r\n");
    await api.logged(({ path }) => path === "/endless");
    await cut;
  });

  it("connections", async (t) => {
    const api = await startApi(t, sampleRoutes(), { connectionsMax: 2 });
    const first = await dial(t, api.port);
    await dial(t, api.port);
    const third = await dial(t, api.port);
    await once(third, "close");
    first.write("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
    assert.equal((await answerOn(first)).status, 200);
  });

  it("requests that wait on one connection", async (t) => {
    const api = await startApi(t, sampleRoutes(), { pipelinedMax: 3 });
    const request = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    for (const [count, isServed] of [
      [3, true],
      [4, false],
    ] as const) {
      const socket = await dial(t, api.port);
      const received: Buffer[] = [];
      socket.on("data", (chunk) => received.push(chunk));
      const last = request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
      socket.write(request.repeat(count - 1) + last);
      await once(socket, "close");
      const text = Buffer.concat(received).toString();
      // Of those before the one too many some may be answered when the connection is cut.
      assert.equal(text.split("HTTP/1.1 200").length - 1 === count, isServed);
    }
  });

  it("failed authentications of one address", async (t) => {
    const api = await startApi(t);
    for (let count = 0; count < 60; count++) {
      const answer = await api.send("GET /api/things", [bearer("garbage")]);
      assert.equal(answer.status, 401);
    }
    api.authenticator.asked.length = 0;
    for (const lines of [[bearer("garbage")], [KEY], [cookie("x")], ["Authorization: Basic x"]]) {
      const answer = await api.send("GET /api/things", lines);
      assert.equal(answer.status, 429);
      assert.equal(answer.fields.get("retry-after"), "600");
      assert.equal(problem(answer)["code"], "rate_limited");
    }
    assert.deepEqual(api.authenticator.asked, []);
    assert.ok(api.audit.every(({ event }) => event === "excess_rate_limit_exceeded"));
    // What needs no credential is not affected.
    assert.equal((await api.send("GET /api/things")).status, 401);
    assert.equal((await api.send("GET /healthz")).status, 200);
    // A field that anybody can write does not make another address.
    assert.equal(
      (await api.send("GET /api/things", [KEY, "X-Forwarded-For: 192.0.2.1"])).status,
      429,
    );
    api.clock.advance(600_000);
    assert.equal((await api.send("GET /api/things", [KEY])).status, 200);
  });

  it("failed authentications, by the client behind a trusted proxy", async (t) => {
    const api = await startApi(t, sampleRoutes(), {
      trustedProxyCidrs: ["127.0.0.0/8"],
      authFailuresMax: 1,
    });
    const from = (address: string): string => `X-Forwarded-For: 203.0.113.1, ${address}`;
    assert.equal((await api.send("GET /api/things", [bearer("x"), from("192.0.2.1")])).status, 401);
    assert.equal((await api.send("GET /api/things", [KEY, from("192.0.2.1")])).status, 429);
    assert.equal((await api.send("GET /api/things", [KEY, from("192.0.2.2")])).status, 200);
    const line = await api.logged(({ status }) => status === 200);
    assert.equal(line["client"], "192.0.2.2");
  });
});

describe("a body", () => {
  for (const [name, lines, text, status, code] of [
    ["that is no JSON", [JSON_TYPE], "{", 400, "invalid_request"],
    ["that is empty", [JSON_TYPE], "", 400, "invalid_request"],
    ["that is not UTF-8", [JSON_TYPE], '{"name":"\u00ff"}', 400, "invalid_request"],
    ["with a member too many", [JSON_TYPE], '{"name":"a","x":1}', 400, "invalid_request"],
    [
      "with a value that does not fit",
      [JSON_TYPE],
      '{"name":"canary-too-long"}',
      400,
      "invalid_request",
    ],
    ["without a type", [], '{"name":"a"}', 415, "unsupported_media_type"],
    [
      "that is compressed",
      [JSON_TYPE, "Content-Encoding: gzip"],
      "{}",
      415,
      "unsupported_media_type",
    ],
    [
      "of another listed type",
      ["Content-Type: application/merge-patch+json"],
      '{"name":"a"}',
      201,
      undefined,
    ],
  ] as const) {
    it(`${name} is ${status}`, async (t) => {
      const api = await startApi(t);
      const bytes = Buffer.from(text, "latin1");
      const head = [
        "POST /api/things HTTP/1.1",
        "Host: a",
        KEY,
        ...lines,
        `Content-Length: ${bytes.length}`,
      ];
      const answer = await rawRequest(
        api.port,
        Buffer.concat([Buffer.from(`${head.join("\r\n")}\r\n\r\n`), bytes]),
      );
      assert.equal(answer.status, status);
      assert.equal(problem(answer)["code"], code);
      assert.ok(!answer.body.includes("canary"));
    });
  }

  it("where none belongs is 400", async (t) => {
    const api = await startApi(t);
    const lines = [KEY, JSON_TYPE, "Content-Length: 2"];
    const answer = await api.send("GET /api/things", lines, "{}");
    assert.equal(problem(answer)["code"], "unexpected_body");
  });

  it("is asked for with 100 when everything else is in order, and not before", async (t) => {
    const api = await startApi(t);
    const socket = await dial(t, api.port);
    const head = `Host: a\r\n${JSON_TYPE}\r\nContent-Length: 12\r\nExpect: 100-continue\r\n`;
    socket.write(`POST /api/things HTTP/1.1\r\n${head}${KEY}\r\n\r\n`);
    const [first] = await once(socket, "data");
    assert.equal(String(first), "HTTP/1.1 100 Continue\r\n\r\n");
    socket.write('{"name":"a"}');
    assert.equal((await answerOn(socket)).status, 201);
    socket.write(`POST /api/things HTTP/1.1\r\n${head}\r\n`);
    assert.equal((await answerOn(socket)).status, 401);
  });

  it("with a malformed chunk is 400, and ends the connection", async (t) => {
    const api = await startApi(t);
    const lines = [KEY, JSON_TYPE, "Transfer-Encoding: chunked"];
    const answer = await api.send("POST /api/things", lines, "zz\r\n");
    assert.equal(problem(answer)["code"], "bad_request");
    assert.equal(answer.fields.get("connection"), "close");
  });

  it("a query has each name once and fits its description", async (t) => {
    const api = await startApi(t);
    for (const [query, status] of [
      ["limit=10", 200],
      ["limit=11", 400],
      ["limit=1&limit=2", 400],
      ["limit=x", 400],
      ["other=1", 200],
    ] as const) {
      const answer = await api.send(`GET /api/things?${query}`, [KEY]);
      assert.equal(answer.status, status, query);
      if (status === 400) assert.match(answer.body.toString(), /"pointer":"\/limit"/);
    }
  });
});
