import assert from "node:assert/strict";
import { test } from "node:test";
import type WebSocket from "ws";
import { fillMask, WsTransport } from "../../../src/agent/ws-transport.ts";
import { SendResult, type Session } from "../../../src/mux/index.ts";

interface Sent {
  readonly bytes: Buffer;
  readonly fin: boolean;
  readonly done: (() => void) | undefined;
}

/** The part of `ws` that the transport uses. */
class FakeWebSocket {
  readonly OPEN = 1;
  readyState = 1;
  bufferedAmount = 0;
  readonly sent: Sent[] = [];

  send(data: Uint8Array, options: { fin: boolean }, done?: () => void): void {
    this.sent.push({ bytes: Buffer.from(data), fin: options.fin, done });
  }
}

function transportOver(fake: FakeWebSocket, lowWaterBytes = 100): WsTransport {
  return new WsTransport(fake as unknown as WebSocket, lowWaterBytes);
}

test("no masking key is zero, and none repeats soon", () => {
  const mask = Buffer.alloc(4);
  const seen = new Set<number>();
  for (let draw = 0; draw < 10_000; draw += 1) {
    fillMask(mask);
    assert.notEqual(mask.readUInt32LE(0), 0);
    seen.add(mask.readUInt32LE(0));
  }
  assert.ok(seen.size > 9_990);
});

test("header and payload leave as one message", () => {
  const fake = new FakeWebSocket();
  const transport = transportOver(fake);
  const header = Buffer.from("header......");
  const payload = Buffer.alloc(256 * 1024, 7);
  assert.equal(transport.sendParts(header, payload), SendResult.SENT);
  assert.equal(fake.sent.length, 1);
  assert.ok(fake.sent[0]?.bytes.equals(Buffer.concat([header, payload])));
  assert.equal(fake.sent[0]?.fin, true);
});

test("larger ones leave as two fragments of one message", () => {
  const fake = new FakeWebSocket();
  const transport = transportOver(fake);
  const payload = Buffer.alloc(256 * 1024 + 1, 7);
  transport.sendParts(Buffer.from("header......"), payload);
  assert.deepEqual(
    fake.sent.map(({ bytes, fin }) => [bytes.length, fin]),
    [
      [12, false],
      [payload.length, true],
    ],
  );
});

test("the session is told that the socket has drained, once, below low water", () => {
  const fake = new FakeWebSocket();
  const transport = transportOver(fake);
  let drained = 0;
  transport.session = { transportDrained: () => (drained += 1) } as unknown as Session;
  assert.equal(transport.send(Buffer.from("a")), SendResult.SENT);
  fake.sent[0]?.done?.();
  assert.equal(drained, 0, "it never was congested");
  fake.bufferedAmount = 101;
  assert.equal(transport.send(Buffer.from("b")), SendResult.BUFFERED);
  fake.sent[1]?.done?.();
  assert.equal(drained, 0, "still above low water");
  fake.bufferedAmount = 100;
  fake.sent[1]?.done?.();
  fake.sent[1]?.done?.();
  assert.equal(drained, 1);
});

test("a socket that closes takes bytes and drops them: its close code is still to come", () => {
  const fake = new FakeWebSocket();
  fake.readyState = 2;
  const transport = transportOver(fake);
  assert.equal(transport.send(Buffer.from("a")), SendResult.SENT);
  assert.equal(transport.sendParts(Buffer.from("a"), Buffer.alloc(300 * 1024)), SendResult.SENT);
  assert.equal(fake.sent.length, 0);
});
