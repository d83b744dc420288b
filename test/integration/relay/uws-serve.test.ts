import type { TemplatedApp, us_listen_socket } from "uWebSockets.js";
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { get as httpGet, type IncomingMessage } from "node:http";
import { get as httpsGet } from "node:https";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { WebSocket } from "ws";
import { loadUws } from "../../../src/relay/uws.ts";

const HEAD_BYTES_MAX = 32_768;
const uws = loadUws({ headBytesMax: HEAD_BYTES_MAX });

async function listen(t: TestContext, app: TemplatedApp): Promise<number> {
  const { promise, resolve } = withResolvers<us_listen_socket>();
  app.listen("127.0.0.1", 0, (socket) => {
    assert.ok(socket);
    resolve(socket);
  });
  const port = uws.us_socket_local_port(await promise);
  t.after(() => app.close());
  return port;
}

function withResolvers<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => {};
  const promise = new Promise<T>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

async function textOf(response: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of response) text += String(chunk);
  return text;
}

function hello(app: TemplatedApp): TemplatedApp {
  return app.get("/hello", (response) => {
    response.end("hello");
  });
}

test("serves HTTP, without a field that names uWebSockets", async (t) => {
  const port = await listen(t, hello(uws.App()));
  const [response] = (await once(
    httpGet({ port, host: "127.0.0.1", path: "/hello", agent: false }),
    "response",
  )) as [IncomingMessage];
  assert.equal(response.statusCode, 200);
  assert.equal(response.headers["uwebsockets"], undefined);
  assert.equal(await textOf(response), "hello");
});

test("serves TLS", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "hawser-test-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const key = join(folder, "key.pem");
  const cert = join(folder, "cert.pem");
  execFileSync(
    "openssl",
    `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost -keyout ${key} -out ${cert}`.split(
      " ",
    ),
    { stdio: "ignore" },
  );
  const app = uws.SSLApp({ key_file_name: key, cert_file_name: cert });
  const port = await listen(t, hello(app));
  const [response] = (await once(
    httpsGet({
      port,
      host: "127.0.0.1",
      servername: "localhost",
      path: "/hello",
      agent: false,
      ca: readFileSync(cert),
    }),
    "response",
  )) as [IncomingMessage];
  assert.equal(await textOf(response), "hello");
});

test("serves WebSockets", async (t) => {
  const app = uws.App().ws("/echo", {
    message: (socket, message, isBinary) => {
      socket.send(message, isBinary);
    },
  });
  const port = await listen(t, app);
  const socket = new WebSocket(`ws://127.0.0.1:${port}/echo`);
  t.after(() => socket.terminate());
  await once(socket, "open");
  socket.send(Buffer.from([1, 2, 3]));
  const [data, isBinary] = (await once(socket, "message")) as [Buffer, boolean];
  assert.equal(isBinary, true);
  assert.deepEqual([...data], [1, 2, 3]);
});

async function statusLine(port: number, request: string): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  socket.end(request);
  let text = "";
  for await (const chunk of socket) text += String(chunk);
  return text.slice(0, text.indexOf("\r\n"));
}

test("takes a head up to the limit it was loaded with, and refuses a longer one by 431", async (t) => {
  const port = await listen(t, hello(uws.App()));
  const head = (bytes: number): string =>
    `GET /hello HTTP/1.1\r\nhost: a\r\nconnection: close\r\nx-long: ${"a".repeat(bytes)}\r\n\r\n`;
  assert.equal(await statusLine(port, head(HEAD_BYTES_MAX - 200)), "HTTP/1.1 200 OK");
  assert.match(await statusLine(port, head(HEAD_BYTES_MAX)), /^HTTP\/1\.1 431 /);
});

test("is loaded once, and not with two limits", () => {
  assert.equal(loadUws({ headBytesMax: HEAD_BYTES_MAX }), uws);
  assert.throws(() => loadUws({ headBytesMax: 8_192 }), { code: "ERR_UWS_HEAD_LIMIT" });
});
