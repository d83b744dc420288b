import type { SendResult, Session, Transport } from "../../../src/mux/index.ts";
import { concat, FLAG, parseFrames, TYPE, type WireFrame } from "./frames.ts";

const BUFFERED = 0;
const SENT = 1;
const DROPPED = 2;

/** A transport that keeps everything it is given, and says what the test tells it to say. */
export class RecordingTransport implements Transport {
  /** Every message as it was handed over, copied. */
  readonly messages: Uint8Array[] = [];
  readonly closes: { code: number; reason: string }[] = [];
  terminations = 0;
  /** What `bufferedAmount` answers. */
  buffered = 0;
  /** True: every message is dropped. */
  drops = false;
  /** True: messages add to `buffered` and nothing leaves. */
  stuck = false;
  /** Told of each message, for taps. */
  onMessage: ((message: Uint8Array) => void) | null = null;
  session: Session | null = null;
  #reported = false;

  send(message: Uint8Array): SendResult {
    return this.#take(message.slice());
  }

  sendParts(header: Uint8Array, payload: Uint8Array): SendResult {
    return this.#take(concat([header, payload]));
  }

  bufferedAmount(): number {
    return this.buffered;
  }

  close(code: number, reason: string): void {
    this.closes.push({ code, reason });
  }

  terminate(): void {
    this.terminations++;
  }

  /** True when the session has asked for an end that it was not told of yet; tells it. */
  finishClose(): boolean {
    const asked = this.closes[0]?.code ?? (this.terminations > 0 ? 1006 : 0);
    if (asked === 0 || this.#reported || this.session === null) return false;
    this.#reported = true;
    this.session.transportClosed(asked);
    return true;
  }

  /** Codes of the closes asked for. */
  closeCodes(): number[] {
    return this.closes.map((close) => close.code);
  }

  /** All bytes so far. */
  bytes(): Uint8Array {
    return concat(this.messages);
  }

  frames(): WireFrame[] {
    return parseFrames(this.bytes());
  }

  /** Forgets what was sent; closes are kept. */
  clear(): void {
    this.messages.length = 0;
  }

  #take(message: Uint8Array): SendResult {
    if (this.drops) return DROPPED;
    this.messages.push(message);
    this.onMessage?.(message);
    if (!this.stuck) return SENT;
    this.buffered += message.length;
    return BUFFERED;
  }
}

/** True for a ping request of our own: sent to measure the round trip, at times that no rule here fixes. */
export function isOwnPing(one: WireFrame): boolean {
  return one.type === TYPE.PING && (one.flags & FLAG.SYN) !== 0;
}
