import type { TemplatedApp, us_listen_socket } from "uWebSockets.js";
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { after, before, test } from "node:test";
import { checkMethod, checkTarget, RequestFields } from "../../../src/relay/http1/index.ts";
import { loadUws } from "../../../src/relay/uws.ts";

/** What the relay would see of one request. */
interface Seen {
  readonly method: string;
  readonly target: string;
  readonly problem: string | null;
  readonly fields: RequestFields;
}

const uws = loadUws({ headBytesMax: 32_768 });
let app: TemplatedApp;
let port = 0;
let seen: Seen | null = null;

before(async () => {
  app = uws.App().any("/*", (response, request) => {
    response.onAborted(() => {});
    const method = request.getCaseSensitiveMethod();
    const query: string | undefined = request.getQuery();
    const target = query === undefined ? request.getUrl() : `${request.getUrl()}?${query}`;
    const fields = new RequestFields();
    request.forEach(fields.add);
    fields.finish();
    const problem = checkMethod(method) ?? checkTarget(target) ?? fields.problem;
    seen = { method, target, problem: problem?.code ?? null, fields };
    response.writeStatus("200 OK").end("", true);
  });
  const socket = await new Promise<us_listen_socket | false>((resolve) => {
    app.listen("127.0.0.1", 0, resolve);
  });
  assert.ok(socket);
  port = uws.us_socket_local_port(socket);
});

after(() => {
  app.close();
});

/** Sends latin1 bytes; gives the status line of the first answer, and what the relay saw. */
async function send(text: string): Promise<{ status: string; seen: Seen | null }> {
  seen = null;
  const socket = connect(port, "127.0.0.1");
  socket.write(text, "latin1");
  const [answer] = (await once(socket, "data")) as [Buffer];
  socket.destroy();
  return { status: answer.toString("latin1").split("\r\n")[0] ?? "", seen };
}

function head(line: string): string {
  return `GET / HTTP/1.1\r\nhost: a\r\n${line}\r\n\r\n`;
}

async function problemOf(text: string): Promise<string | null | undefined> {
  return (await send(text)).seen?.problem;
}

test("uWS refuses by itself what is no field", async () => {
  for (const line of [
    "x y: 1",
    "x : 1",
    "x\x80: 1",
    "a: b\0",
    "a: b\nc: d",
    "a: b\r\n c",
    "host: b",
    "content-length: 3\r\ntransfer-encoding: chunked",
  ]) {
    const { status, seen: got } = await send(head(line));
    assert.match(status, /^HTTP\/1\.1 400 /, JSON.stringify(line));
    assert.equal(got, null);
  }
});

test("uWS refuses by itself what is no request in origin form", async () => {
  for (const text of [
    "GET / HTTP/1.0\r\nhost: a\r\n\r\n",
    "GET http://a/ HTTP/1.1\r\nhost: a\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n",
    "GET / HTTP/1.1\nhost: a\n\n",
    "no sense at all\r\n\r\n",
  ]) {
    assert.match((await send(text)).status, /^HTTP\/1\.1 505 /, JSON.stringify(text));
  }
});

test("we refuse what uWS lets pass", async () => {
  const cases: ReadonlyArray<readonly [string, string]> = [
    ["content-length: 0\r\ncontent-length: 0", "ERR_HTTP_REQUEST_CONTENT_LENGTH"],
    ["content-length:", "ERR_HTTP_REQUEST_CONTENT_LENGTH"],
    ["transfer-encoding: xchunked", "ERR_HTTP_REQUEST_TRANSFER_ENCODING"],
    [
      "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
      "ERR_HTTP_REQUEST_TRANSFER_ENCODING",
    ],
    ["transfer-encoding: gzip, chunked", "ERR_HTTP_REQUEST_TRANSFER_CODING"],
    ["x-a: p\x7fq", "ERR_HTTP_REQUEST_FIELD_BYTES"],
    ["x-a: p\xffq", "ERR_HTTP_REQUEST_FIELD_BYTES"],
    ["x-a: p\xc3q", "ERR_HTTP_REQUEST_FIELD_BYTES"],
    ["x-a: p\xed\xa0\x80q", "ERR_HTTP_REQUEST_FIELD_BYTES"],
    ["x-a: p\xef\xbf\xbdq", "ERR_HTTP_REQUEST_FIELD_BYTES"],
    ["authorization: a\r\nAuthorization: b", "ERR_HTTP_REQUEST_DUPLICATE_FIELD"],
  ];
  for (const [line, code] of cases) assert.equal(await problemOf(head(line)), code, line);
  assert.equal(await problemOf("GET /\xff HTTP/1.1\r\nhost: a\r\n\r\n"), "ERR_HTTP_REQUEST_TARGET");
  assert.equal(await problemOf("GET /\x7f HTTP/1.1\r\nhost: a\r\n\r\n"), "ERR_HTTP_REQUEST_TARGET");
  assert.equal(await problemOf("GET /.%2e HTTP/1.1\r\nhost: a\r\n\r\n"), "ERR_HTTP_REQUEST_PATH");
  assert.equal(await problemOf("G(T / HTTP/1.1\r\nhost: a\r\n\r\n"), "ERR_HTTP_REQUEST_METHOD");
  assert.equal(await problemOf("GET / HTTP/1.1\r\nhost: a b\r\n\r\n"), "ERR_HTTP_REQUEST_HOST");
});

test("method and target are handed over as they were sent", async () => {
  const target = "/a//b;c=%2F%zz/~!$&'()*+,=:@[]{}|^`\"<>?x=..&y=%00?\\";
  const { seen: got } = await send(`pAtch ${target} HTTP/1.1\r\nhost: a\r\n\r\n`);
  assert.equal(got?.method, "pAtch");
  assert.equal(got?.target, target);
  assert.equal((await send("GET /a? HTTP/1.1\r\nhost: a\r\n\r\n")).seen?.target, "/a?");
});

test("UTF-8 within a value arrives byte for byte", async () => {
  const bytes = Buffer.from("\u00e9\u20ac\u{1f600}").toString("latin1");
  const { seen: got } = await send(head(`x-a: "${bytes}"`));
  assert.equal(got?.fields.text, `x-a: "${bytes}"\r\n`);
});

test("what uWS hides: bytes beyond ASCII at the ends of a value, and all fields behind an empty name", async () => {
  const cut = await send(head("x-a: \xc3\xa9Jos\xc3\xa9"));
  assert.equal(cut.seen?.fields.text, "x-a: Jos\r\n");
  const hidden = await send(head("x-a: 1\r\n: 2\r\nx-b: 3"));
  assert.equal(hidden.seen?.fields.text, "x-a: 1\r\n");
});
