import assert from "node:assert/strict";
import { once } from "node:events";
import { Agent, type IncomingMessage, request } from "node:http";
import { type TestContext, test } from "node:test";
import { PEER_VERSIONS, type PeerVersion, skipWithout } from "../support/go.ts";
import { patternSha256 } from "./mux-end.ts";
import { type RelayWithDevice, relayWithDevice } from "./relay-end.ts";
import { transfer } from "./transfer.ts";

/**
 * The whole path: an HTTP client, our relay, and a device in Go that serves http.Serve(session, handler) with
 * hashicorp/yamux at its oldest and newest version. Y137 to Y142 as a client of the relay sees them.
 */

const MIB = 1_024 * 1_024;

function forEachPeer(
  name: string,
  body: (t: TestContext, version: PeerVersion) => Promise<void>,
): void {
  for (const version of PEER_VERSIONS) {
    const options = { skip: skipWithout("go"), timeout: 55_000 };
    test(`${name} (${version})`, options, (t) => body(t, version));
  }
}

forEachPeer("64 MiB down, up and echoed, with a length and chunked", async (t, version) => {
  const { through } = await relayWithDevice(t, { version });
  const size = 64 * MIB;
  const sum = patternSha256(size);
  for (const path of ["/down", "/chunked"]) {
    const down = await through(`${path}?bytes=${size}`);
    assert.deepEqual([down.status, down.bytes, down.sha256], [200, size, sum], path);
    assert.equal(down.headers["content-length"], path === "/down" ? String(size) : undefined);
  }
  for (const chunked of [false, true]) {
    const up = await through("/upload", { uploadBytes: size, chunked, keep: true });
    assert.deepEqual(JSON.parse(up.text), { bytes: size, sha256: sum }, `chunked ${chunked}`);
    const echo = await through("/echo", { uploadBytes: size, chunked });
    assert.deepEqual([echo.status, echo.bytes, echo.sha256], [200, size, sum], `echo ${chunked}`);
  }
});

test("the relay as yamux server serves a device that is the client", {
  skip: skipWithout("go"),
  timeout: 55_000,
}, async (t) => {
  const { through } = await relayWithDevice(t, {
    version: "yamux-newest",
    relay: { yamuxRole: "server" },
  });
  const echo = await through("/echo", { uploadBytes: 5 * MIB });
  assert.deepEqual([echo.bytes, echo.sha256], [5 * MIB, patternSha256(5 * MIB)]);
});

forEachPeer("200 exchanges at once, of every kind", async (t, version) => {
  const device = await relayWithDevice(t, { version });
  const kinds: ((count: number) => Promise<void>)[] = [
    async () => {
      const hello = await device.through("/hello", { keep: true });
      assert.equal(hello.text, "Hello, world!\n");
    },
    async (count) => {
      const size = 20_000 + count * 500;
      const down = await device.through(`/down?bytes=${size}`, { keep: true });
      assert.equal(down.status, 200, down.text.slice(0, 300));
      assert.deepEqual([down.bytes, down.sha256], [size, patternSha256(size)]);
    },
    async (count) => {
      const size = 20_000 + count * 500;
      const echo = await device.through("/echo", { uploadBytes: size, chunked: count % 8 < 4 });
      assert.deepEqual([echo.bytes, echo.sha256], [size, patternSha256(size)]);
    },
    async () => {
      const lines = await device.through("/many-writes?count=300");
      assert.equal(lines.bytes, 2_700);
    },
  ];
  const exchanges = Array.from({ length: 200 }, (_, count) => kinds[count % 4]?.(count));
  await Promise.all(exchanges);
  await idle(device);
});

/** Nothing runs and no byte is held; streams may wait for the next request. */
async function idle({ relay, peer }: RelayWithDevice): Promise<void> {
  await relay.whenIdle();
  const { running, receivedBytes } = relay.inspect();
  assert.deepEqual({ running, receivedBytes }, { running: 0, receivedBytes: 0 });
  await peer.until((state) => state.streams <= 16, "idle streams");
}

forEachPeer(
  "Y138: requests in turn share a stream, which is closed after its idle time",
  async (t, version) => {
    const device = await relayWithDevice(t, { version, relay: { idleStreamMs: 2_000 } });
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    t.after(() => agent.destroy());
    for (let count = 0; count < 100; count++) {
      assert.equal((await device.through("/hello", { agent })).status, 200);
    }
    assert.equal((await device.peer.state()).streams, 1);
    await device.peer.until((state) => state.streams === 0, "streams after the idle time");
    assert.equal(device.relay.inspect().streams, 0);
  },
);

forEachPeer("Y138: 2,000 exchanges without reuse leave no stream", async (t, version) => {
  const device = await relayWithDevice(t, { version, relay: { idleStreamsPerTunnelMax: 0 } });
  const agent = new Agent({ keepAlive: true, maxSockets: 20 });
  t.after(() => agent.destroy());
  const some = async (): Promise<void> => {
    for (let count = 0; count < 100; count++) {
      assert.equal((await device.through("/hello", { agent })).status, 200);
    }
  };
  await Promise.all(Array.from({ length: 20 }, some));
  await device.peer.until(({ streams, served }) => streams === 0 && served === 2_000, "streams");
});

forEachPeer("a device that closes after its answer is served all the same", async (t, version) => {
  const { through } = await relayWithDevice(t, { version });
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  t.after(() => agent.destroy());
  for (let count = 0; count < 30; count++) {
    const answer = await through(count % 3 === 0 ? "/close" : "/hello", { agent, keep: true });
    assert.equal(answer.status, 200);
    assert.notEqual(answer.headers.connection, "close");
  }
});

forEachPeer(
  "Y137: a handler that waits is not cancelled; Y139: a client that leaves cancels it",
  async (t, version) => {
    const { through, peer, reachable } = await relayWithDevice(t, { version });
    const waited = await through("/wait?ms=2000", { keep: true });
    assert.deepEqual([waited.status, waited.text], [200, "waited\n"]);
    assert.equal((await peer.state()).cancelled, 0);

    const leaving = new AbortController();
    const left = through("/wait?ms=30000", { signal: leaving.signal });
    left.catch(() => undefined);
    await peer.until((state) => state.served === 2, "handlers");
    leaving.abort();
    await assert.rejects(left);
    await peer.until((state) => state.cancelled === 1, "cancelled handlers");
    await reachable();
  },
);

forEachPeer(
  "Y139: a client that leaves in the middle of a body resets the stream",
  async (t, version) => {
    const device = await relayWithDevice(t, { version });
    const outgoing = request(`${device.base}/down?bytes=${500 * MIB}`, {
      agent: false,
      headers: { authorization: device.authorization },
    });
    outgoing.end();
    const [incoming]: IncomingMessage[] = await once(outgoing, "response");
    await once(incoming ?? outgoing, "data");
    outgoing.destroy();
    await device.peer.until((state) => state.streams === 0, "streams");
    await device.reachable();
    await idle(device);
  },
);

forEachPeer("Y140: a refused upload of 10 MB is answered within a second", async (t, version) => {
  const device = await relayWithDevice(t, { version });
  const started = performance.now();
  const refused = await transfer(`${device.base}/refuse`, {
    headers: { authorization: device.authorization },
    uploadBytes: 10_000_000,
    keep: true,
  });
  assert.equal(refused.status, 413);
  assert.ok(performance.now() - started < 1_000, "answered within a second");
  await device.peer.until((state) => state.streams === 0, "streams");
  await device.reachable();
});

forEachPeer("Y141: one Write of 1 MiB over a window of 1 MiB", async (t, version) => {
  const { through } = await relayWithDevice(t, {
    version,
    relay: { mux: { initialWindowBytes: MIB } },
  });
  const answer = await through(`/one-write?bytes=${MIB}`);
  assert.deepEqual([answer.bytes, answer.sha256], [MIB, patternSha256(MIB)]);
});

forEachPeer(
  "Y142: an answer that breaks off is never passed off as complete",
  async (t, version) => {
    const device = await relayWithDevice(t, { version });
    for (const how of ["abort", "drop"]) {
      for (const chunked of ["", "&chunked=1"]) {
        const path = `/${how}?bytes=${10 * MIB}${chunked}`;
        await assert.rejects(device.through(path), /aborted|ECONNRESET|hang up/, path);
        if (how === "drop") await device.dialAgain();
        await device.reachable();
      }
    }
  },
);

forEachPeer("HEAD, 204 and 304 have no body, and the connection goes on", async (t, version) => {
  const { through } = await relayWithDevice(t, { version });
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  t.after(() => agent.destroy());
  const head = await through("/down?bytes=12345", { method: "HEAD", agent });
  assert.deepEqual([head.status, head.headers["content-length"], head.bytes], [200, "12345", 0]);
  for (const code of [204, 304]) {
    const answer = await through(`/status?code=${code}`, { agent });
    assert.deepEqual([answer.status, answer.bytes], [code, 0]);
  }
  assert.equal((await through("/hello", { agent, keep: true })).text, "Hello, world!\n");
});

forEachPeer("the device sees the request as it was sent, and who sent it", async (t, version) => {
  const { through, deviceId } = await relayWithDevice(t, { version });
  const answer = await through("/request?a=1&b=%20%2F", {
    method: "PUT",
    headers: { "x-own": "kept", te: "trailers", "x-forwarded-for": "203.0.113.9" },
    uploadBytes: 3,
    keep: true,
  });
  const seen: { method: string; target: string; length: number; header: Record<string, string[]> } =
    JSON.parse(answer.text);
  assert.deepEqual([seen.method, seen.target, seen.length], ["PUT", "/request?a=1&b=%20%2F", 3]);
  assert.deepEqual(seen.header["X-Own"], ["kept"]);
  assert.deepEqual(seen.header["X-Forwarded-For"], ["127.0.0.1"]);
  assert.deepEqual(seen.header["X-Forwarded-Prefix"], [`/d/${deviceId}`]);
  for (const name of ["Te", "Connection", "Authorization"])
    assert.equal(seen.header[name], undefined);
});

forEachPeer(
  "GoAway of the device: what runs finishes, new requests find no tunnel",
  async (t, version) => {
    const device = await relayWithDevice(t, { version, relay: { holdMs: 50 } });
    const running = device.through("/wait?ms=1000", { keep: true });
    await device.peer.until((state) => state.served === 1, "handlers");
    await device.peer.control("/goaway");
    await device.peer.control("/ping").catch(() => undefined);
    assert.equal((await running).text, "waited\n");
    const refused = await device.through("/hello", { keep: true });
    assert.equal(refused.status, 503);
    assert.equal(JSON.parse(refused.text).stage, "offline");
    await device.dialAgain();
    await device.reachable();
  },
);

forEachPeer(
  "a device that dials again takes over, and what runs on the old tunnel finishes",
  async (t, version) => {
    const device = await relayWithDevice(t, { version });
    const running = device.through("/wait?ms=1000", { keep: true });
    await device.peer.until((state) => state.served === 1, "handlers");
    const successor = await device.dialAgain();
    await device.reachable();
    assert.equal((await successor.state()).served, 1);
    assert.equal((await running).text, "waited\n");
    await device.peer.until((state) => state.closed, "the displaced session");
    await device.reachable();
  },
);
