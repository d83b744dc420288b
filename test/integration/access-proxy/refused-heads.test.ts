import assert from "node:assert/strict";
import { connect } from "node:net";
import { after, before, test } from "node:test";
import { type ProxyRig, startRig } from "../../support/access-proxy/rig.ts";

/** Heads that cannot be read, from senders that have much more to say. */

let rig: ProxyRig;
before(async () => {
  rig = await startRig();
});
after(() => rig.stop());

const MUCH = "x".repeat(16_000_000);
const CASES: readonly (readonly [name: string, head: string, answer: RegExp])[] = [
  [
    "malformed",
    "GET / HTTP/1.1\r\nX-Access-Proxy-To: \0\r\n",
    /^HTTP\/1\.1 400 .*: request is malformed\r\n/s,
  ],
  ["too large", "GET / HTTP/1.1\r\nX-A: ", /^HTTP\/1\.1 431 .*: request head is too large\r\n/s],
];

for (const [name, head, answer] of CASES) {
  test(`a head that is ${name} is answered to a sender that reads once all is sent`, async () => {
    const socket = connect({ port: rig.port, host: "127.0.0.1", allowHalfOpen: true });
    // More than the buffers in between hold: it is sent only if it is read.
    await new Promise<void>((resolve, reject) => {
      socket.once("error", reject);
      socket.write(head + MUCH, () => resolve());
    });
    const pieces: Buffer[] = [];
    for await (const piece of socket) pieces.push(piece as Buffer);
    assert.match(Buffer.concat(pieces).toString("latin1"), answer);
    socket.end();
  });

  test(`whoever never stops sending behind a head that is ${name} is cut off`, async () => {
    const socket = connect({ port: rig.port, host: "127.0.0.1", allowHalfOpen: true });
    const isOver = new Promise<void>((resolve) => {
      socket.once("error", () => resolve());
      socket.once("close", () => resolve());
    });
    socket.resume();
    const send = (): void => {
      while (!socket.destroyed && socket.write("x".repeat(1_000)));
    };
    socket.on("drain", () => setImmediate(send));
    socket.write(head);
    send();
    await isOver;
    assert.ok(socket.destroyed);
  });
}
