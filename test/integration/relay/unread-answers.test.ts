import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { test } from "node:test";
import { startTestRelay } from "../../support/relay/start-relay.ts";
import { until } from "../../support/until.ts";

/** Some 50 times what is needed to fill the sockets' own buffers with answers. */
const REQUESTS_MAX = 500_000;
const REQUESTS_PER_WRITE = 1_000;
/** Some five times what the sockets' own buffers hold. */
const ANSWER_BYTES_MAX = 20_000_000;
/** Loop turns after which bytes that are still there are taken for held. */
const TURNS_HELD = 100;

/** Sends one request after the other and reads nothing. Resolves with how many were sent until the relay cut it. */
async function sendWithoutReading(port: number, request: string): Promise<number> {
  const socket = connect({ port, host: "127.0.0.1" });
  socket.pause();
  const cut = new Promise<void>((resolve) => {
    socket.on("error", () => {});
    socket.once("close", () => resolve());
  });
  await once(socket, "connect");
  const block = request.repeat(REQUESTS_PER_WRITE);
  let sent = 0;
  while (!socket.destroyed && sent < REQUESTS_MAX) {
    sent += REQUESTS_PER_WRITE;
    if (!socket.write(block)) await Promise.race([once(socket, "drain").catch(() => {}), cut]);
  }
  socket.destroy();
  return sent;
}

for (const [name, method, target] of [
  ["refusals", "GET", "/"],
  ["refusals of HEAD", "HEAD", "/"],
  ["health checks", "GET", "/healthz"],
] as const) {
  test(`a client that does not read its ${name} is cut, before they fill the memory`, async (t) => {
    const { relay } = await startTestRelay(t);
    const port = target === "/" ? relay.port : relay.internalPort;
    const sent = await sendWithoutReading(port, `${method} ${target} HTTP/1.1\r\nHost: a\r\n\r\n`);
    assert.ok(sent < REQUESTS_MAX, `${sent} requests were read`);
  });
}

for (const bodyBytes of [50_000, 4_000])
  test(`answers of ${bodyBytes} bytes that a client does not read are not kept one after the other`, async (t) => {
    const started = await startTestRelay(t);
    let served = 0;
    await started.connect({
      http: (_request, response) => {
        served += 1;
        response.end(Buffer.alloc(bodyBytes));
      },
    });
    const socket = connect({ port: started.relay.port, host: "127.0.0.1" });
    t.after(() => socket.destroy());
    socket.pause();
    const request = [
      `GET /d/${started.devices[0]?.deviceId}/ HTTP/1.1`,
      "host: relay.example",
      `authorization: Bearer ${started.key.text}`,
      "\r\n",
    ].join("\r\n");
    let turnsHeld = 0;
    while (turnsHeld < TURNS_HELD && served * bodyBytes < ANSWER_BYTES_MAX) {
      const next = served + 1;
      socket.write(request);
      turnsHeld = 0;
      // Held: its bytes stay at the relay, turn after turn.
      const answeredOrHeld = (): boolean => {
        const { running, receivedBytes } = started.relay.inspect();
        turnsHeld = receivedBytes > 0 ? turnsHeld + 1 : 0;
        return turnsHeld === TURNS_HELD || (served === next && running === 0);
      };
      await until(answeredOrHeld, "an answer that is taken or held");
    }
    assert.ok(
      served * bodyBytes < ANSWER_BYTES_MAX,
      `${served} answers of ${bodyBytes} bytes were kept`,
    );
    let bytes = 0;
    socket.on("data", (piece) => {
      bytes += piece.length;
    });
    socket.resume();
    while (bytes < served * bodyBytes) await once(socket, "data");
    await started.relay.whenIdle();
  });
