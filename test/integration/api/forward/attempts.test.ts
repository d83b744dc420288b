import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { type TestContext, test } from "node:test";
import { type ForwardRig, startForwardRig } from "../../../support/forward/api-rig.ts";
import { parseAnswer } from "../../../support/forward/raw-request.ts";

const BEARER = "Authorization: Bearer key-of-ann";

/** Sends all of it on one connection, and gives what came until it closed. */
async function exchange({ api }: ForwardRig, bytes: string): Promise<string> {
  const socket = connect(api.port, "127.0.0.1");
  let text = "";
  socket.on("data", (chunk) => {
    text += chunk.toString("latin1");
  });
  socket.on("error", () => {});
  socket.write(bytes, "latin1");
  await once(socket, "close");
  return text;
}

test("attempts: a relay that started anew is asked once more, over a connection that it has not closed", async (t) => {
  const seen: string[] = [];
  const rig = await startForwardRig(t, (request, response) => {
    seen.push(request.method ?? "");
    response.end("ok");
  });
  assert.equal((await rig.send("GET", "/")).status, 200);
  const { open } = rig.rig.context.relay.forwards.counts;
  assert.equal(open, 1);
  await rig.rig.stopRelay();
  await rig.rig.startRelay();
  await rig.rig.connect(t, rig.device.token.text, {
    http: (request, response) => {
      seen.push(request.method ?? "");
      response.end("ok");
    },
  });
  for (const method of ["GET", "POST"]) assert.equal((await rig.send(method, "/")).status, 200);
  assert.deepEqual(seen, ["GET", "GET", "POST"]);
});

/** A relay that answers its first request and ends the connection with the second, unanswered. */
async function startForgetful(t: TestContext) {
  const heads: string[] = [];
  const server = createServer((socket) => {
    let count = 0;
    socket.on("error", () => {});
    socket.on("data", (bytes) => {
      heads.push(bytes.toString("latin1").split(" HTTP/1.1")[0] ?? "");
      count += 1;
      if (count > 1) socket.destroy();
      else socket.write("HTTP/1.1 200 OK\r\nvia: 1.1 hawser\r\ncontent-length: 2\r\n\r\nok");
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  const address = server.address();
  assert.ok(address !== null && typeof address === "object");
  return { heads, relayUrl: `http://127.0.0.1:${address.port}` };
}

test("attempts: what may have been done is not sent twice, and not called retriable", async (t) => {
  for (const [method, status, code, sent] of [
    ["GET", 200, "", 3],
    ["DELETE", 200, "", 3],
    ["POST", 502, "relay_lost", 2],
    ["PATCH", 502, "relay_lost", 2],
  ] as const) {
    const { heads, relayUrl } = await startForgetful(t);
    const rig = await startForwardRig(t, null, { relayUrl });
    assert.equal((await rig.send("GET", "/")).status, 200);
    const answer = await rig.send(method, "/");
    assert.equal(answer.status, status, method);
    if (code !== "") {
      const problem = JSON.parse(answer.body.toString());
      assert.deepEqual([problem.code, problem.retriable], [code, false]);
    }
    assert.equal(heads.length, sent, method);
  }
});

test("attempts: pipelined requests are answered in their order, whatever comes first", async (t) => {
  const waiting: (() => void)[] = [];
  const rig = await startForwardRig(t, (request, response) => {
    if (request.url !== "/slow") {
      response.end(`fast ${request.url}`);
      for (const go of waiting.splice(0)) go();
      return;
    }
    waiting.push(() => response.end("slow"));
  });
  const one = (path: string, ...lines: string[]): string =>
    [`GET ${rig.root}${path} HTTP/1.1`, "Host: x", BEARER, ...lines, "", ""].join("\r\n");
  const text = await exchange(rig, one("/slow") + one("/a") + one("/b", "Connection: close"));
  const bodies = [...text.matchAll(/slow|fast \/\w/g)].map(([found]) => found);
  assert.deepEqual(bodies, ["slow", "fast /a", "fast /b"]);
  assert.equal(text.split("HTTP/1.1 200 OK").length - 1, 3);
  assert.equal(
    text.split(/^(?:date|x-request-id|vary|content-security-policy): /im).length - 1,
    12,
  );
  assert.match(text, /connection: close\r\n\r\n/);
});

test("attempts: a client of HTTP/1.0 gets no chunks, and the end of its connection for the end", async (t) => {
  const rig = await startForwardRig(t, (_request, response) => {
    response.write("one ");
    setImmediate(() => response.end("two"));
  });
  const text = await exchange(rig, `GET ${rig.root}/ HTTP/1.0\r\n${BEARER}\r\n\r\n`);
  assert.match(text, /^HTTP\/1\.1 200 OK\r\n/);
  assert.doesNotMatch(text, /transfer-encoding/i);
  assert.equal(text.split("\r\n\r\n")[1], "one two");
});

test("attempts: the connection serves on after answers of all kinds, and each is told apart", async (t) => {
  const rig = await startForwardRig(t, (request, response) => {
    if (request.url === "/chunked") response.write("a");
    if (request.url === "/none") response.statusCode = 204;
    if (request.url === "/same") response.statusCode = 304;
    request.resume().on("end", () => response.end());
  });
  const one = (method: string, path: string, ...lines: string[]): string =>
    [`${method} ${rig.root}${path} HTTP/1.1`, "Host: x", BEARER, ...lines, "", ""].join("\r\n");
  const text = await exchange(
    rig,
    [
      one("GET", "/chunked"),
      one("HEAD", "/chunked"),
      one("GET", "/none"),
      one("GET", "/same"),
      one("GET", "/..%2f"),
      `${one("POST", "/", "Transfer-Encoding: chunked")}2\r\nab\r\n0\r\n\r\n`,
      one("GET", "/", "Connection: close"),
    ].join(""),
  );
  let rest = Buffer.from(text, "latin1");
  const statuses: number[] = [];
  for (const isHead of [false, true, false, false, false, false, false]) {
    const answer = parseAnswer(rest, isHead);
    assert.ok(answer?.whole);
    statuses.push(answer.status);
    const next = rest.indexOf("HTTP/1.1 ", 1);
    rest = next < 0 ? Buffer.alloc(0) : rest.subarray(next);
  }
  assert.deepEqual(statuses, [200, 200, 204, 304, 400, 200, 200]);
});
