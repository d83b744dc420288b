import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { type TestContext, test } from "node:test";
import { AppError } from "../../src/core/errors.ts";
import type { Role } from "../../src/mux/index.ts";
import { PEER_VERSIONS, type PeerVersion, skipWithout } from "../support/go.ts";
import { Prng, seedFromEnvironment } from "../support/mux/prng.ts";
import { until } from "../support/until.ts";
import { connectPair, type MuxEnd, patternSha256, type StreamProbe } from "./mux-end.ts";

/**
 * Our session against hashicorp/yamux over gorilla/websocket, stream by stream: Y128 to Y131 and Y144, with our
 * session as client and as server, and streams opened by either.
 */

const KIB = 1_024;
const MIB = 1_024 * KIB;
const ROLES: readonly Role[] = ["client", "server"];

interface Setting {
  readonly version: PeerVersion;
  readonly role: Role;
}

function forEachPeer(
  name: string,
  body: (t: TestContext, setting: Setting) => Promise<void>,
): void {
  for (const version of PEER_VERSIONS) {
    for (const role of ROLES) {
      const title = `${name} (${version}, our role ${role})`;
      test(title, { skip: skipWithout("go"), timeout: 55_000 }, (t) => body(t, { version, role }));
    }
  }
}

/** Opens a stream whose first line tells the Go program what to do with it. */
function opened(end: MuxEnd, line: string, keep = false): StreamProbe {
  const probe = end.open({ keep });
  probe.stream.write(Buffer.from(`${line}\n`));
  return probe;
}

forEachPeer(
  "Y128 and Y144: what we send comes back, whole, on streams of ours",
  async (t, setting) => {
    const { end, peer } = await connectPair(t, setting);
    for (const size of [0, 1, 64 * KIB, 256 * KIB, 10 * MIB]) {
      const probe = opened(end, "echo");
      await probe.sendPattern(size);
      probe.stream.end();
      await probe.ended;
      assert.equal(await probe.closed, null, `${size} bytes`);
      assert.equal(probe.received, size);
      assert.equal(probe.sha256(), patternSha256(size));
    }
    await end.empty();
    await peer.until((state) => state.streams === 0, "streams of the Go end");
  },
);

forEachPeer("Y128: what Go sends comes back, whole, on streams of Go's", async (t, setting) => {
  const { end, peer } = await connectPair(t, setting);
  for (const size of [0, 1, 64 * KIB, 256 * KIB, 10 * MIB]) {
    await peer.control(`/echo?bytes=${size}&count=1`);
  }
  await peer.control(`/echo?bytes=${300 * KIB}&count=100`);
  await end.empty();
  await peer.until((state) => state.streams === 0, "streams of the Go end");
  assert.equal(end.inbound.length, 105);
});

forEachPeer("Y129: 1,000 streams at once, ended by either side first", async (t, setting) => {
  const { end, peer } = await connectPair(t, setting);
  const prng = seeded(t);
  const exchanges = Array.from({ length: 1_000 }, (_, count) => {
    const size = prng.below(40 * KIB);
    return count % 2 === 0 ? sunk(end, size) : sourced(end, size);
  });
  await Promise.all(exchanges);
  await end.empty();
  await peer.until((state) => state.streams === 0, "streams of the Go end");
  assert.equal((await peer.state()).served, 1_000);
});

/** We end first: the Go end reads to the end and answers. */
async function sunk(end: MuxEnd, size: number): Promise<void> {
  const probe = opened(end, "sink", true);
  await probe.sendPattern(size);
  probe.stream.end();
  assert.equal(await probe.closed, null);
  assert.equal(probe.text, `${size} ${patternSha256(size)}\n`);
}

/** The Go end ends first. */
async function sourced(end: MuxEnd, size: number): Promise<void> {
  const probe = opened(end, `source ${size}`);
  await probe.ended;
  probe.stream.end();
  assert.equal(await probe.closed, null);
  assert.equal(probe.received, size);
  assert.equal(probe.sha256(), patternSha256(size));
}

forEachPeer(
  "Y130: a stream that was written and ended before Go accepts it is answered",
  async (t, setting) => {
    const { end, peer } = await connectPair(t, {
      ...setting,
      mux: { finHoldMs: 50 },
      args: ["-paused"],
    });
    const probes = Array.from({ length: 20 }, () => opened(end, "echo"));
    for (const probe of probes) {
      await probe.sendPattern(10 * KIB);
      probe.stream.end();
    }
    // The FIN is held for 50 ms and then leaves without an ACK; only after it does the Go end accept.
    await until(() => probes.every(({ stream }) => !stream.finPending), "a FIN without an ACK");
    // Our answer to a ping is behind all of them.
    await peer.control("/ping");
    assert.equal((await peer.state()).served, 0);
    await peer.control("/accept?paused=false");
    for (const probe of probes) {
      assert.equal(await probe.closed, null);
      assert.equal(probe.sha256(), patternSha256(10 * KIB));
    }
    await end.empty();
  },
);

forEachPeer(
  "Y131: a writer whose reader has closed gets an error, and the session lives",
  async (t, setting) => {
    const { end, peer } = await connectPair(t, { ...setting, mux: { stalledWriteTimeoutMs: 300 } });
    const probe = opened(end, "close");
    const sending = probe.sendPattern(2 * MIB);
    await assert.rejects(sending, AppError);
    assert.ok((await probe.closed) instanceof AppError);
    await sunk(end, 100 * KIB);
    await end.empty();
    await peer.until((state) => state.streams === 0, "streams of the Go end");
  },
);

forEachPeer(
  "a reset of ours ends the stream on both sides and nothing else",
  async (t, setting) => {
    const { end, peer } = await connectPair(t, setting);
    const kept = opened(end, "echo");
    for (let count = 0; count < 50; count++) {
      const probe = opened(end, `source ${4 * MIB}`);
      await probe.until(() => probe.received > 0);
      probe.stream.reset();
    }
    await kept.sendPattern(1 * MIB);
    kept.stream.end();
    assert.equal(await kept.closed, null);
    assert.equal(kept.sha256(), patternSha256(1 * MIB));
    await end.empty();
    await peer.until((state) => state.streams === 0, "streams of the Go end");
  },
);

forEachPeer("GoAway of either side: no new streams, running ones finish", async (t, setting) => {
  const { end, peer } = await connectPair(t, setting);
  const running = opened(end, "echo");
  await running.sendPattern(10 * KIB);
  await running.until(() => running.received === 10 * KIB);
  await peer.control("/goaway");
  assert.equal(await end.goneAway, 0);
  assert.throws(() => end.open(), { code: "ERR_MUX_GOING_AWAY" });
  await running.sendPattern(1 * MIB);
  running.stream.end();
  assert.equal(await running.closed, null);
  assert.equal(running.received, 10 * KIB + 1 * MIB);
  await end.ended;

  const other = await connectPair(t, setting);
  const last = opened(other.end, "echo");
  await last.sendPattern(10 * KIB);
  await last.until(() => last.received === 10 * KIB);
  other.end.session.drain(1001, "test");
  await assert.rejects(other.peer.control("/echo?bytes=1&count=1"), /not accepting|reset|EOF/);
  last.stream.end();
  assert.equal(await last.closed, null);
  await other.end.ended;
});

forEachPeer("a lost connection fails every stream and is never an end", async (t, setting) => {
  const { end, peer } = await connectPair(t, setting);
  const probes = [opened(end, "hold"), opened(end, "echo"), opened(end, `source ${64 * MIB}`)];
  await probes[2]?.until(() => (probes[2]?.received ?? 0) > MIB);
  let ends = 0;
  for (const probe of probes) void probe.ended.then(() => ends++);
  await peer.control("/kill");
  for (const probe of probes) assert.ok((await probe.closed) instanceof AppError);
  await end.ended;
  assert.equal(ends, 0);
});

forEachPeer(
  "pings of both sides are answered while a large body is under way",
  async (t, setting) => {
    const { end, peer } = await connectPair(t, setting);
    const probe = opened(end, "echo");
    const sending = probe.sendPattern(32 * MIB);
    for (let count = 0; count < 10; count++) {
      const roundTripNs = Number(await peer.control("/ping"));
      assert.ok(roundTripNs > 0 && roundTripNs < 5e9, `${roundTripNs} ns`);
    }
    await sending;
    probe.stream.end();
    assert.equal(await probe.closed, null);
    assert.equal(probe.sha256(), patternSha256(32 * MIB));
    assert.ok(end.session.rttMs > 0);
  },
);

forEachPeer(
  "any split of our bytes into messages and fragments is the same to Go",
  async (t, setting) => {
    const shredder = seeded(t);
    const { end, peer } = await connectPair(t, { ...setting, shredder });
    const exchanges = Array.from({ length: 30 }, (_, count) =>
      count % 2 === 0 ? sunk(end, count * 5 * KIB) : sourced(end, count * 5 * KIB),
    );
    await Promise.all(exchanges);
    await peer.control(`/echo?bytes=${300 * KIB}&count=5`);
    await end.empty();
    await peer.until((state) => state.streams === 0, "streams of the Go end");
  },
);

function seeded(t: TestContext): Prng {
  const seed = seedFromEnvironment(randomInt(2 ** 32));
  t.diagnostic(`HAWSER_SEED=${seed}`);
  return new Prng(seed);
}
