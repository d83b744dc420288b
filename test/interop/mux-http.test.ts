import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { type TestContext, test } from "node:test";
import { PEER_VERSIONS, type PeerVersion, skipWithout } from "../support/go.ts";
import { connectPair, type MuxEnd, patternSha256, type StreamProbe } from "./mux-end.ts";

/**
 * HTTP/1.1 on a stream, served by Go's http.Serve(session, handler): Y137 to Y141 and Y143, driven by our session
 * alone, with the bytes of each exchange written by hand.
 */

const KIB = 1_024;
const MIB = 1_024 * KIB;

function forEachPeer(
  name: string,
  body: (t: TestContext, version: PeerVersion) => Promise<void>,
): void {
  for (const version of PEER_VERSIONS) {
    const options = { skip: skipWithout("go"), timeout: 55_000 };
    test(`${name} (${version})`, options, (t) => body(t, version));
  }
}

function ask(end: MuxEnd, target: string, fields = "", method = "GET"): StreamProbe {
  const probe = end.open({ keep: true });
  probe.stream.writeLatin1(`${method} ${target} HTTP/1.1\r\nHost: device\r\n${fields}\r\n`);
  return probe;
}

/** Head and body of an answer that has come so far. */
function parts(probe: StreamProbe): { head: string; body: string } {
  const blank = probe.text.indexOf("\r\n\r\n");
  if (blank < 0) return { head: "", body: "" };
  return { head: probe.text.slice(0, blank), body: probe.text.slice(blank + 4) };
}

/** Waits for a whole answer with Content-Length. */
async function answered(probe: StreamProbe): Promise<{ head: string; body: string }> {
  const complete = (): boolean => {
    const { head, body } = parts(probe);
    const length = /^content-length: (\d+)/im.exec(head)?.[1];
    return length !== undefined && body.length >= Number(length);
  };
  await probe.until(complete);
  return parts(probe);
}

forEachPeer(
  "Y137: a handler that waits on its context is not cancelled, for we do not end",
  async (t, version) => {
    const { end, peer } = await connectPair(t, { version, serve: "http" });
    const probe = ask(end, "/wait?ms=2000");
    const { head, body } = await answered(probe);
    assert.match(head, /^HTTP\/1\.1 200 OK/);
    assert.equal(body, "waited\n");
    assert.equal((await peer.state()).cancelled, 0);
    probe.stream.end();
    assert.equal(await probe.closed, null);
  },
);

forEachPeer(
  "Y137: the same exchange ended at once is cancelled, as the specification says",
  async (t, version) => {
    const { end, peer } = await connectPair(t, { version, serve: "http" });
    const probe = ask(end, "/wait?ms=20000");
    probe.stream.end();
    await peer.until((state) => state.cancelled === 1, "cancelled handlers");
    assert.equal(await probe.closed, null);
  },
);

forEachPeer(
  "Y138: 10,000 exchanges on 50 reused streams, and 2,000 on one each, leave nothing",
  async (t, version) => {
    const { end, peer } = await connectPair(t, { version, serve: "http" });
    const reuse = async (): Promise<void> => {
      const probe = end.open({ keep: true });
      for (let count = 0; count < 200; count++) {
        probe.text = "";
        probe.stream.writeLatin1("GET /hello HTTP/1.1\r\nHost: device\r\n\r\n");
        assert.equal((await answered(probe)).body, "Hello, world!\n");
      }
      probe.stream.end();
      assert.equal(await probe.closed, null);
    };
    await Promise.all(Array.from({ length: 50 }, reuse));
    const single = async (): Promise<void> => {
      for (let count = 0; count < 40; count++) {
        const probe = ask(end, "/hello");
        assert.equal((await answered(probe)).body, "Hello, world!\n");
        probe.stream.end();
        assert.equal(await probe.closed, null);
      }
    };
    await Promise.all(Array.from({ length: 50 }, single));
    assert.equal(end.session.streamCount, 0);
    await peer.until(
      (state) => state.streams === 0 && state.served === 12_000,
      "streams of the Go end",
    );
  },
);

forEachPeer(
  "Y139: a reset mid-response cancels the handler and leaves the session alive",
  async (t, version) => {
    const { end, peer } = await connectPair(t, { version, serve: "http" });
    const waiting = ask(end, "/wait?ms=20000");
    await peer.until((state) => state.served === 1, "handlers");
    waiting.stream.reset();
    await peer.until((state) => state.cancelled === 1 && state.streams === 0, "cancelled handlers");
    const running = ask(end, `/down?bytes=${100 * MIB}`);
    await running.until(() => running.received > MIB);
    running.stream.reset();
    await peer.until((state) => state.streams === 0, "streams of the Go end");
    assert.equal((await answered(ask(end, "/hello"))).body, "Hello, world!\n");
  },
);

forEachPeer(
  "Y140: a refusal of an upload is seen within a second, and the session lives",
  async (t, version) => {
    const { end, peer } = await connectPair(t, { version, serve: "http" });
    const started = performance.now();
    const probe = ask(end, "/refuse", `Content-Length: ${10 * MIB}\r\n`, "POST");
    const sending = probe.sendPattern(10 * MIB).catch(() => undefined);
    const { head } = await answered(probe);
    assert.match(head, /^HTTP\/1\.1 413 /);
    assert.ok(performance.now() - started < 1_000);
    await probe.ended;
    probe.stream.reset();
    await Promise.race([sending, Promise.resolve()]);
    assert.equal(end.session.streamCount, 0);
    await peer.until((state) => state.streams === 0, "streams of the Go end");
    assert.equal((await answered(ask(end, "/hello"))).body, "Hello, world!\n");
  },
);

forEachPeer("Y113 and Y141: one Write of a whole window arrives intact", async (t, version) => {
  const { end } = await connectPair(t, {
    version,
    serve: "http",
    mux: { initialWindowBytes: 1 * MIB },
  });
  for (const size of [256 * KIB, 1 * MIB]) {
    const probe = ask(end, `/one-write?bytes=${size}`);
    const { body } = await answered(probe);
    assert.equal(sha256Latin1(body), patternSha256(size));
    probe.stream.end();
    assert.equal(await probe.closed, null);
  }
});

forEachPeer(
  "Y143: a hijacked stream passes the end in each direction by itself",
  async (t, version) => {
    const { end, peer } = await connectPair(t, { version, serve: "http" });
    const probe = ask(end, "/hijack");
    await probe.until(() => parts(probe).head !== "");
    await probe.sendPattern(1 * MIB);
    probe.stream.end();
    await probe.ended;
    assert.equal(await probe.closed, null);
    const { body } = parts(probe);
    assert.equal(body.slice(-4), "bye\n");
    assert.equal(sha256Latin1(body.slice(0, -4)), patternSha256(1 * MIB));
    await peer.until((state) => state.streams === 0, "streams of the Go end");
  },
);

forEachPeer("a 64 MiB body is echoed by a full-duplex handler", async (t, version) => {
  const { end } = await connectPair(t, { version, serve: "http" });
  const size = 64 * MIB;
  const probe = end.open({ afterHead: true });
  probe.stream.writeLatin1(
    `POST /echo HTTP/1.1\r\nHost: device\r\nContent-Length: ${size}\r\n\r\n`,
  );
  await Promise.all([probe.sendPattern(size), probe.until(() => probe.received === size)]);
  probe.stream.end();
  assert.equal(await probe.closed, null);
  assert.match(probe.head, /^HTTP\/1\.1 200 OK/);
  assert.equal(probe.sha256(), patternSha256(size));
});

function sha256Latin1(text: string): string {
  return createHash("sha256").update(text, "latin1").digest("hex");
}
