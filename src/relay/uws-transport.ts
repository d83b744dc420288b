import type { WebSocket } from "uWebSockets.js";
import { SendResult, type Transport } from "../mux/index.ts";
import type { RelayMetrics } from "./metrics.ts";

/** Grown once to the largest frame; shared by all, because uWS takes the bytes before `send` returns. */
let scratch = new Uint8Array(64 * 1024);

/** A session's way out over one uWS WebSocket. After `detach` nothing is sent any more. */
export class UwsTransport<UserData> implements Transport {
  #ws: WebSocket<UserData> | null;
  readonly #metrics: RelayMetrics;

  constructor(ws: WebSocket<UserData>, metrics: RelayMetrics) {
    this.#ws = ws;
    this.#metrics = metrics;
  }

  send(message: Uint8Array): SendResult {
    if (this.#ws === null) return SendResult.DROPPED;
    this.#metrics.tunnelBytesOut += message.length;
    return this.#ws.send(message, true, false) as SendResult;
  }

  /**
   * One copy and one `send` cost less than two sends of two fragments: the receiver is woken once. From 16 KiB on uWS
   * hands the bytes to the kernel without copying them again.
   */
  sendParts(header: Uint8Array, payload: Uint8Array): SendResult {
    const length = header.length + payload.length;
    if (length > scratch.length) scratch = new Uint8Array(2 ** Math.ceil(Math.log2(length)));
    scratch.set(header, 0);
    scratch.set(payload, header.length);
    return this.send(scratch.subarray(0, length));
  }

  bufferedAmount(): number {
    return this.#ws === null ? 0 : this.#ws.getBufferedAmount();
  }

  close(code: number, reason: string): void {
    this.#ws?.end(code, reason);
  }

  terminate(): void {
    this.#ws?.close();
  }

  /** The WebSocket is closed: uWS throws on every further use of it. */
  detach(): void {
    this.#ws = null;
  }
}
