import type { SendResult, Transport } from "../../../src/mux/index.ts";
import { FLAG, TYPE } from "./frames.ts";

/** A frame on its way: its header fields, and where it lies in the byte stream of its direction. */
export interface SentFrame {
  readonly type: number;
  readonly flags: number;
  readonly id: number;
  readonly length: number;
  /** Offset of the first header byte. */
  readonly start: number;
  /** Offset after the last payload byte. */
  readonly end: number;
}

/** Told of every frame when it is sent, and when its last byte was delivered. */
export interface FrameObserver {
  frameSent(one: SentFrame): void;
  frameDelivered(one: SentFrame): void;
}

const HEADER = 12;

/** One direction of the in-memory pipe: a byte stream with frames marked in it. Bytes arrive when `take` is called. */
export class Direction {
  readonly observer: FrameObserver;
  #chunks: Uint8Array[] = [];
  #chunkAt = 0;
  #header = new Uint8Array(HEADER);
  #headerBytes = 0;
  #payloadLeft = 0;
  #inFlight: SentFrame[] = [];
  sentBytes = 0;
  deliveredBytes = 0;

  constructor(observer: FrameObserver) {
    this.observer = observer;
  }

  get waitingBytes(): number {
    return this.sentBytes - this.deliveredBytes;
  }

  /** Frames of which not every byte was delivered. */
  get inFlight(): readonly SentFrame[] {
    return this.#inFlight;
  }

  /** Adds bytes; keeps a copy of its own. */
  push(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#chunks.push(bytes.slice());
    this.#scan(bytes);
  }

  /** Removes the next `count` bytes (or as many as there are) into one new array. */
  take(count: number): Uint8Array {
    const size = Math.min(count, this.waitingBytes);
    const taken = new Uint8Array(size);
    let at = 0;
    while (at < size) {
      const first = this.#chunks[0] ?? taken;
      const part = first.subarray(this.#chunkAt, this.#chunkAt + size - at);
      taken.set(part, at);
      at += part.length;
      this.#chunkAt += part.length;
      if (this.#chunkAt < first.length) continue;
      this.#chunks.shift();
      this.#chunkAt = 0;
    }
    this.deliveredBytes += size;
    return taken;
  }

  /** Marks as delivered every frame that ends at or before the delivered offset. */
  markDelivered(): void {
    let frames = 0;
    for (const one of this.#inFlight) {
      if (one.end > this.deliveredBytes) break;
      frames++;
    }
    for (const one of this.#inFlight.splice(0, frames)) this.observer.frameDelivered(one);
  }

  /** Where the delivered bytes end: between frames, within a header or within a payload. */
  whereDelivered(): "between" | "header" | "payload" {
    const [first] = this.#inFlight;
    if (first === undefined || first.start >= this.deliveredBytes) return "between";
    return this.deliveredBytes - first.start < HEADER ? "header" : "payload";
  }

  #scan(bytes: Uint8Array): void {
    let at = 0;
    while (at < bytes.length) {
      if (this.#payloadLeft > 0) {
        const step = Math.min(this.#payloadLeft, bytes.length - at);
        this.#payloadLeft -= step;
        this.sentBytes += step;
        at += step;
        continue;
      }
      this.#header[this.#headerBytes++] = bytes[at++] ?? 0;
      this.sentBytes++;
      if (this.#headerBytes === HEADER) this.#headerDone();
    }
  }

  #headerDone(): void {
    this.#headerBytes = 0;
    const view = new DataView(this.#header.buffer);
    const type = view.getUint8(1);
    const length = view.getUint32(8);
    if (view.getUint8(0) !== 0 || type > 3) throw new Error("a header with a bad version or type");
    this.#payloadLeft = type === TYPE.DATA ? length : 0;
    const one: SentFrame = {
      type,
      flags: view.getUint16(2),
      id: view.getUint32(4),
      length,
      start: this.sentBytes - HEADER,
      end: this.sentBytes + this.#payloadLeft,
    };
    this.#inFlight.push(one);
    this.observer.frameSent(one);
  }
}

/** A transport whose kernel takes `kernelBytes` of what was not delivered yet; the rest waits in user space. */
export class PipeTransport implements Transport {
  readonly out: Direction;
  kernelBytes: number;
  /** Set by close(): what the session asked for. */
  closeAsked: { code: number; reason: string } | null = null;
  terminated = false;
  /** True once the session was told that the transport is gone. */
  gone = false;
  /** True: the next message is dropped. */
  dropsNext = false;
  largestMessageBytes = 0;
  /** Called by terminate(). */
  onTerminate: (() => void) | null = null;

  constructor(out: Direction, kernelBytes: number) {
    this.out = out;
    this.kernelBytes = kernelBytes;
  }

  send(message: Uint8Array): SendResult {
    if (!this.#opens(message.length)) return 2;
    this.out.push(message);
    return this.bufferedAmount() > 0 ? 0 : 1;
  }

  sendParts(header: Uint8Array, payload: Uint8Array): SendResult {
    if (!this.#opens(header.length + payload.length)) return 2;
    this.out.push(header);
    this.out.push(payload);
    return this.bufferedAmount() > 0 ? 0 : 1;
  }

  bufferedAmount(): number {
    return Math.max(0, this.out.waitingBytes - this.kernelBytes);
  }

  close(code: number, reason: string): void {
    if (this.closeAsked !== null || this.terminated) throw new Error("closed twice");
    this.closeAsked = { code, reason };
  }

  terminate(): void {
    this.terminated = true;
    this.onTerminate?.();
  }

  #opens(bytes: number): boolean {
    if (this.closeAsked !== null) throw new Error("a message after close()");
    if (this.terminated || this.gone) throw new Error("a message after the end of the transport");
    if (bytes === 0) throw new Error("an empty message");
    this.largestMessageBytes = Math.max(this.largestMessageBytes, bytes);
    const drops = this.dropsNext;
    this.dropsNext = false;
    return !drops;
  }
}

/** The name of a frame for counting: its type, or the flag that matters. */
export function kindOf(one: { type: number; flags: number }): string {
  if (one.type === TYPE.DATA) return "data";
  if (one.type === TYPE.GO_AWAY) return "go away";
  if (one.type === TYPE.PING) return one.flags & FLAG.SYN ? "ping" : "pong";
  if (one.flags & FLAG.RST) return "rst";
  if (one.flags & FLAG.SYN) return "syn";
  if (one.flags & FLAG.ACK) return "ack";
  return one.flags & FLAG.FIN ? "fin" : "credit";
}
