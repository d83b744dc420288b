import assert from "node:assert/strict";
import { test } from "node:test";
import {
  MuxPools,
  muxOptions,
  SendResult,
  Session,
  SessionCounters,
  type SessionHandler,
  type StreamHandler,
  type Transport,
} from "../../../src/mux/index.ts";
import { ack, data } from "../../support/mux/frames.ts";
import { heapUsedBytes } from "../../support/mux/heap.ts";

const TRANSPORT: Transport = {
  send: () => SendResult.SENT,
  sendParts: () => SendResult.SENT,
  bufferedAmount: () => 0,
  close: () => {},
  terminate: () => {},
};
const OWNER: SessionHandler = {
  sessionOnDirty: () => {},
  sessionOnStream: () => {},
  sessionOnGoAway: () => {},
  sessionOnClose: () => {},
};
const READER: StreamHandler = {
  streamOnData: (stream, _chunk, start, end) => stream.consume(end - start),
  streamOnEnd: () => {},
  streamOnWritable: () => {},
  streamOnClose: () => {},
};
const LIMIT_BYTES = 420;
const ROUNDS_MAX = 10;
const CLOCK = { now: () => 1_000 };
const REQUEST = new Uint8Array(100);
const ANSWER = data(1, new Uint8Array(50));

function makeSessions(count: number, pools: MuxPools): Session[] {
  const options = muxOptions({ pingAtStart: false });
  return Array.from({ length: count }, () => {
    return new Session("client", options, TRANSPORT, OWNER, CLOCK, pools);
  });
}

/** One exchange on the first stream, which stays open. */
function use(session: Session): void {
  session.open(READER).write(REQUEST);
  session.flush();
  session.receive(ack(1));
  session.receive(ANSWER);
  session.flush();
}

test("a session with one stream that was used weighs less than 420 bytes more than before", () => {
  const tally = new SessionCounters();
  const pools = new MuxPools({ tally });
  const count = 4_000;
  const bytes: number[] = [];
  let used = 0;
  // Code is compiled meanwhile, which ends: the round that took least is the one that counts.
  for (let round = 0; round < ROUNDS_MAX && (bytes.at(-1) ?? LIMIT_BYTES) >= LIMIT_BYTES; round++) {
    const sessions = makeSessions(count, pools);
    const before = heapUsedBytes();
    sessions.forEach(use);
    bytes.push((heapUsedBytes() - before) / count);
    used += count;
    assert.ok(sessions.every(({ streamCount }) => streamCount === 1));
    assert.equal(sessions[0]?.counters, tally);
  }
  assert.ok(Math.min(...bytes) < LIMIT_BYTES, `${bytes.join(", ")} bytes`);
  // One Data frame out and one in of each: all are counted in one place.
  assert.deepEqual([tally.dataFramesOut, tally.dataFramesIn], [used, used]);
});
