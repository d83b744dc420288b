import type { HttpResponse, TemplatedApp } from "uWebSockets.js";
import assert from "node:assert/strict";
import { test } from "node:test";
import { PeerAddresses } from "../../../src/relay/peer-address.ts";

/** What uWS tells of connections, told by hand. */
function setUp(): {
  peers: PeerAddresses;
  open: (address: string) => HttpResponse;
  close: () => void;
  asked: () => number;
} {
  let tell: (res: HttpResponse, change: number) => void = () => {};
  const app = { filter: (follow: typeof tell) => (tell = follow) };
  const peers = new PeerAddresses(app as unknown as TemplatedApp);
  let asked = 0;
  const responseFrom = (address: string): HttpResponse => {
    const bytes = Uint8Array.from(address.split("."), Number);
    const res = {
      getRemoteAddress: () => {
        asked += 1;
        return bytes.buffer;
      },
    };
    return res as unknown as HttpResponse;
  };
  return {
    peers,
    open: (address) => {
      const res = responseFrom(address);
      tell(res, 1);
      return res;
    },
    close: () => tell(responseFrom("0.0.0.0"), -1),
    asked: () => asked,
  };
}

test("while all connections come from one address, no request asks for it", () => {
  const { peers, open, asked } = setUp();
  const one = open("10.0.0.1");
  const two = open("10.0.0.1");
  for (let count = 0; count < 10; count++) {
    assert.equal(peers.of(one), "10.0.0.1");
    assert.equal(peers.of(two), "10.0.0.1");
  }
  assert.equal(asked(), 2, "once for each connection");
});

test("a second address is heard at once, and as long as any of those connections may be open", () => {
  const { peers, open, close } = setUp();
  const one = open("10.0.0.1");
  const two = open("10.0.0.2");
  assert.deepEqual([peers.of(one), peers.of(two)], ["10.0.0.1", "10.0.0.2"]);
  close();
  // Nobody says which of them it was.
  assert.deepEqual([peers.of(one), peers.of(two)], ["10.0.0.1", "10.0.0.2"]);
  close();
  const three = open("10.0.0.3");
  assert.equal(peers.of(three), "10.0.0.3");
});

test("a connection that became a WebSocket counts no more", () => {
  const { peers, open, asked } = setUp();
  open("10.0.0.1");
  peers.upgraded();
  const client = open("10.0.0.2");
  const before = asked();
  assert.equal(peers.of(client), "10.0.0.2");
  assert.equal(asked(), before);
});
