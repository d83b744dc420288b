import type { Clock } from "../../src/core/clock.ts";
import {
  MuxPools,
  muxOptions,
  type Role,
  SendResult,
  Session,
  type SessionHandler,
  type Stream,
  type StreamHandler,
  type Transport,
} from "../../src/mux/index.ts";
import type { MicroBench } from "./micro-bench.ts";

/** Fewer than may be open without an acknowledgement. */
const STREAMS = 32;
const REQUEST = "GET /hello HTTP/1.1\r\nhost: device\r\n\r\n";

/** One end of a line without a network: messages wait until the bench hands them on. */
class End implements SessionHandler, Transport, StreamHandler {
  readonly session: Session;
  readonly inbox: Uint8Array[] = [];
  peer: End | null = null;
  received = 0;

  constructor(role: Role, clock: Clock, pools: MuxPools) {
    this.session = new Session(role, muxOptions({}), this, this, clock, pools);
  }

  send(message: Uint8Array): SendResult {
    this.peer?.inbox.push(message.slice());
    return SendResult.SENT;
  }
  sendParts(header: Uint8Array, payload: Uint8Array): SendResult {
    return this.send(Buffer.concat([header, payload]));
  }
  bufferedAmount(): number {
    return 0;
  }
  close(): void {}
  terminate(): void {}

  sessionOnDirty(): void {}
  sessionOnStream(_session: Session, stream: Stream): void {
    stream.accept(this);
  }
  sessionOnGoAway(): void {}
  sessionOnClose(_session: Session, error: Error): void {
    throw error;
  }

  streamOnData(stream: Stream, _chunk: Uint8Array, start: number, end: number): void {
    this.received += end - start;
    stream.consume(end - start);
  }
  streamOnEnd(stream: Stream): void {
    stream.end();
  }
  streamOnWritable(): void {}
  streamOnClose(): void {}

  /** Sends what waits and takes what came. @returns false when there was nothing to do */
  step(): boolean {
    this.session.flush();
    const messages = this.inbox.splice(0);
    for (const message of messages) this.session.receive(message);
    return messages.length > 0;
  }
}

/** A session and its peer in one process. */
export function sessionBench(): MicroBench {
  const pools = new MuxPools();
  let nowMs = 0;
  const clock = { now: () => nowMs };
  const client = new End("client", clock, pools);
  const server = new End("server", clock, pools);
  client.peer = server;
  server.peer = client;
  const settle = (): void => {
    for (let moved = true; moved; ) {
      const atClient = client.step();
      moved = server.step() || atClient;
    }
  };
  settle();
  return {
    id: "stream_open_write_close",
    title: "a stream opened, written to and closed by both ends",
    operations: STREAMS,
    reference: "objects",
    run() {
      const before = server.received;
      // Seconds between the runs: how much a peer may do in a second is not what is measured.
      nowMs += 10_000;
      for (let count = 0; count < STREAMS; count++) {
        const stream = client.session.open(client);
        stream.writeLatin1(REQUEST);
        stream.end();
      }
      settle();
      return server.received - before;
    },
  };
}
