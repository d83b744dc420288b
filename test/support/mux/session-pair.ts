import { monotonicClock } from "../../../src/core/clock.ts";
import type { AppError } from "../../../src/core/errors.ts";
import {
  type MuxOptions,
  MuxPools,
  muxOptions,
  type Role,
  SendResult,
  Session,
  type SessionHandler,
  type Stream,
  type Transport,
} from "../../../src/mux/index.ts";

/** One end of a pair: session, transport and owner in one. Messages reach the peer in a later turn. */
export class End implements SessionHandler, Transport {
  readonly session: Session;
  peer: End | null = null;
  onStream: (stream: Stream) => void = () => {};
  closes: AppError[] = [];
  #gone = false;

  constructor(role: Role, pools: MuxPools, options: Partial<MuxOptions>) {
    this.session = new Session(role, muxOptions(options), this, this, monotonicClock, pools);
  }

  send(message: Uint8Array): SendResult {
    return this.#pass(message.slice());
  }

  sendParts(header: Uint8Array, payload: Uint8Array): SendResult {
    return this.#pass(Buffer.concat([header, payload]));
  }

  bufferedAmount(): number {
    return 0;
  }

  close(code: number): void {
    this.#end(code);
  }

  terminate(): void {
    this.#end(1006);
  }

  sessionOnDirty(session: Session): void {
    setImmediate(() => session.flush());
  }

  sessionOnStream(_session: Session, stream: Stream): void {
    this.onStream(stream);
  }

  sessionOnGoAway(): void {}

  sessionOnClose(_session: Session, error: AppError): void {
    this.closes.push(error);
  }

  #pass(message: Uint8Array): SendResult {
    if (this.#gone) return SendResult.DROPPED;
    setImmediate(() => this.peer?.session.receive(message));
    return SendResult.SENT;
  }

  #end(code: number): void {
    this.#gone = true;
    setImmediate(() => {
      this.session.transportClosed(code);
      this.peer?.session.transportClosed(code);
    });
  }
}

/** Two sessions that talk to each other, with real time and event-loop turns. */
export function sessionPair(options: Partial<MuxOptions> = {}) {
  const pools = new MuxPools();
  const client = new End("client", pools, options);
  const server = new End("server", pools, options);
  client.peer = server;
  server.peer = client;
  client.session.tick();
  server.session.tick();
  const done = () => client.session.close(1000, "done", 0);
  return { client, server, pools, done };
}
