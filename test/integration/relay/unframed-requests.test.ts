import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as dial } from "node:net";
import { type TestContext, test } from "node:test";
import { SECRET, startTestRelay } from "../../support/relay/start-relay.ts";

/**
 * Requests whose length or coding contradicts itself, with bytes behind them that look like a request. A proxy in front
 * may take these bytes for the body; whoever sent them must not get them served.
 */

const FRAMINGS = {
  "two lengths": (hidden: string) =>
    `content-length: 0\r\ncontent-length: ${hidden.length}\r\n\r\n`,
  "two lengths behind another problem": (hidden: string) =>
    `x-hawser-device: a\r\nx-hawser-device: b\r\ncontent-length: 0\r\ncontent-length: ${hidden.length}\r\n\r\n`,
  "an unknown coding": () => "transfer-encoding: identity\r\n\r\n0\r\n\r\n",
  "a coding before chunked": () => "transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
} as const;

/** Sends the pieces, each behind the first answer to the one before, and reads until the connection is closed. */
async function untilClosed(port: number, pieces: readonly string[]): Promise<string> {
  const socket = dial({ port, host: "127.0.0.1" });
  // The relay closes while we still write.
  socket.on("error", () => {});
  let received = "";
  const left = [...pieces];
  socket.write(left.shift() ?? "");
  socket.on("data", (chunk: Buffer) => {
    received += chunk.toString("latin1");
    const next = left.shift();
    if (next !== undefined) socket.write(next);
  });
  await once(socket, "close");
  return received;
}

async function setUp(t: TestContext) {
  const started = await startTestRelay(t, { failedHandshakesPerMinuteMax: 1_000 });
  const asked: string[] = [];
  await started.connect({
    http: (req, res) => {
      asked.push(String(req.url));
      res.end("ok");
    },
  });
  const { deviceId, token } = started.devices[0] as (typeof started.devices)[number];
  const { port, internalPort } = started.relay;
  const key = `authorization: Bearer ${started.key.text}\r\n`;
  const secret = `authorization: Bearer ${SECRET}\r\n`;
  const upgrade =
    "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
  const session = `/internal/session/${token.ref}`;
  const doors = {
    "the edge": [port, `POST /d/${deviceId}/first HTTP/1.1\r\nhost: h\r\n${key}`],
    "the edge, HEAD": [port, `HEAD /d/${deviceId}/first HTTP/1.1\r\nhost: h\r\n${key}`],
    "the edge without a key": [port, `POST /d/${deviceId}/first HTTP/1.1\r\nhost: h\r\n`],
    "the path of the tunnels": [port, "POST /tunnel/connect HTTP/1.1\r\nhost: h\r\n"],
    "a handshake": [port, `GET /tunnel/connect HTTP/1.1\r\nhost: h\r\n${upgrade}`],
    "the internal API": [
      internalPort,
      `POST ${session}/forward/first HTTP/1.1\r\nhost: h\r\n${secret}`,
    ],
    "the internal API without the secret": [
      internalPort,
      "GET /internal/sessions HTTP/1.1\r\nhost: h\r\n",
    ],
    "a raw stream": [internalPort, `GET ${session}/stream HTTP/1.1\r\nhost: h\r\n${upgrade}`],
  } as const;
  const hiddenOf = (at: number): string =>
    at === port
      ? `GET /d/${deviceId}/hidden HTTP/1.1\r\nhost: h\r\n${key}\r\n`
      : `GET ${session}/forward/hidden HTTP/1.1\r\nhost: h\r\n${secret}\r\n`;
  return { asked, doors, hiddenOf, started, deviceId };
}

test("what follows a request without a certain end is never served as a request", async (t) => {
  const { asked, doors, hiddenOf, started, deviceId } = await setUp(t);
  for (const [door, [port, start]] of Object.entries(doors)) {
    for (const [framing, fields] of Object.entries(FRAMINGS)) {
      const name = `${door}: ${framing}`;
      const hidden = hiddenOf(port);
      const head = start + fields(hidden);
      const late = await untilClosed(port, [head, hidden]);
      assert.match(late, /^HTTP\/1\.1 (400|501) /, name);
      assert.equal(late.match(/HTTP\/1\.1/g)?.length, 1, name);
      const together = await untilClosed(port, [head + hidden]);
      assert.doesNotMatch(together, /HTTP\/1\.1 200/, name);
    }
  }
  assert.deepEqual(asked, []);
  const { status } = await started.edge(`/d/${deviceId}/`);
  assert.deepEqual([status, asked], [200, ["/"]]);
});
