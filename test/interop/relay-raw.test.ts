import assert from "node:assert/strict";
import { once } from "node:events";
import { type TestContext, test } from "node:test";
import { WebSocket } from "ws";
import { patternBytes } from "../../bench/support/pattern.ts";
import { PEER_VERSIONS, type PeerVersion, skipWithout } from "../support/go.ts";
import { patternSha256 } from "./mux-end.ts";
import { type RelayWithDevice, relayWithDevice } from "./relay-end.ts";

/**
 * The raw stream of the internal API to a device in Go that reads and writes bytes, no HTTP: Y143 and Y144 through
 * the relay. An empty message is the end of its direction.
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

/** A client of one raw stream. */
class RawStream {
  readonly socket: WebSocket;
  text = "";
  ended = false;
  #paused = false;
  /** Resolves with the close code. */
  readonly closed: Promise<number>;

  constructor(socket: WebSocket) {
    this.socket = socket;
    this.closed = once(socket, "close").then(([code]) => Number(code));
    socket.on("error", () => undefined);
    socket.on("message", (data: Buffer, isBinary: boolean) => {
      if (!isBinary) this.#paused = data.toString() === "pause";
      else if (data.length === 0) this.ended = true;
      else this.text += data.toString("latin1");
      socket.emit("progress");
    });
  }

  static async open(t: TestContext, device: RelayWithDevice): Promise<RawStream> {
    const ref = device.devices[0]?.token.ref;
    const url = `ws://127.0.0.1:${device.relay.internalPort}/internal/session/${ref}/stream`;
    const headers = { authorization: `Bearer ${device.secret}` };
    const socket = new WebSocket(url, { headers, perMessageDeflate: false });
    t.after(() => socket.terminate());
    const raw = new RawStream(socket);
    await once(socket, "open");
    return raw;
  }

  /** Sends bytes in messages of at most 64 KiB, as fast as the relay takes them. */
  async send(bytes: Buffer): Promise<void> {
    for (let at = 0; at < bytes.length; at += 65_536) {
      await this.until(() => !this.#paused);
      await new Promise<void>((resolve, reject) => {
        const piece = bytes.subarray(at, at + 65_536);
        this.socket.send(piece, (error) => (error == null ? resolve() : reject(error)));
      });
    }
  }

  end(): void {
    this.socket.send(Buffer.alloc(0));
  }

  async until(wanted: () => boolean): Promise<void> {
    while (!wanted()) await once(this.socket, "progress");
  }
}

const raw = (version: PeerVersion) => ({ version, args: ["-serve", "raw"] });

forEachPeer(
  "Y144: all that is sent comes before our end, and the echo is complete",
  async (t, version) => {
    const device = await relayWithDevice(t, raw(version));
    const stream = await RawStream.open(t, device);
    const body = patternBytes(4 * MIB);
    await stream.send(Buffer.from("echo\n"));
    await stream.send(body);
    stream.end();
    assert.equal(await stream.closed, 1_000);
    assert.ok(stream.ended);
    assert.ok(Buffer.from(stream.text, "latin1").equals(body));
    await device.peer.until((state) => state.streams === 0, "streams");
  },
);

forEachPeer("Y143: either side may end first, and the other goes on", async (t, version) => {
  const device = await relayWithDevice(t, raw(version));
  const sink = await RawStream.open(t, device);
  await sink.send(Buffer.from("sink\n"));
  await sink.send(patternBytes(MIB));
  sink.end();
  assert.equal(await sink.closed, 1_000);
  assert.equal(sink.text, `${MIB} ${patternSha256(MIB)}\n`);

  const bye = await RawStream.open(t, device);
  await bye.send(Buffer.from("bye\n"));
  await bye.until(() => bye.ended);
  assert.equal(bye.text, "bye\n");
  if (version === "yamux-newest") await bye.send(patternBytes(MIB));
  bye.end();
  assert.equal(await bye.closed, 1_000);
  await device.peer.until((state) => state.streams === 0, "streams");
});

forEachPeer(
  "a lost tunnel, and a client that leaves, end the stream as broken",
  async (t, version) => {
    const device = await relayWithDevice(t, raw(version));
    const left = await RawStream.open(t, device);
    await left.send(Buffer.from(`source ${64 * MIB}\n`));
    await left.until(() => left.text.length > 0);
    left.socket.terminate();
    await device.peer.until((state) => state.streams === 0, "streams");

    const lost = await RawStream.open(t, device);
    await lost.send(Buffer.from("hold\n"));
    await device.peer.until((state) => state.served === 2, "handlers");
    await device.peer.control("/kill");
    assert.equal(await lost.closed, 1_011);
    assert.equal(lost.ended, false);
  },
);
