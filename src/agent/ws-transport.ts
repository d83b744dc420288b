import { randomFillSync } from "node:crypto";
import type WebSocket from "ws";
import { SendResult, type Session, type Transport } from "../mux/index.ts";

const WHOLE = { binary: true, fin: true };
const FIRST = { binary: true, fin: false };

/** Header and payload up to this size are joined; larger ones go out as two fragments. */
const JOIN_BYTES_MAX = 256 * 1024 + 12;

/** Where header and payload are joined: one for the process, because `ws` copies before `send` returns. */
let joinBytes: Buffer | null = null;

const MASK_POOL_BYTES = 8_192;
const maskPool = Buffer.allocUnsafe(MASK_POOL_BYTES);
let maskPoolUsed = MASK_POOL_BYTES;

/**
 * Fills in a masking key, never the all-zero one. With any other key `ws` masks a message into a buffer of its own,
 * which is what lets the caller reuse its bytes at once; with the zero key it would keep a reference to them.
 *
 * @see RFC 6455, section 5.3: keys must be unpredictable
 */
export function fillMask(mask: Buffer): void {
  do {
    if (maskPoolUsed === MASK_POOL_BYTES) {
      randomFillSync(maskPool);
      maskPoolUsed = 0;
    }
    maskPool.copy(mask, 0, maskPoolUsed, maskPoolUsed + 4);
    maskPoolUsed += 4;
  } while (mask.readUInt32LE(0) === 0);
}

/**
 * A yamux session's transport over an open `ws` client WebSocket that was made with {@link fillMask}.
 * Everything sent is copied, once, while it is masked.
 */
export class WsTransport implements Transport {
  /** Told when the socket has drained; set right after the session is made. */
  session: Session | null = null;
  readonly #webSocket: WebSocket;
  readonly #lowWaterBytes: number;
  /** A send ended above low water, and the session has not been told yet that it drained. */
  #congested = false;
  readonly #onSent: () => void;

  constructor(webSocket: WebSocket, lowWaterBytes: number) {
    this.#webSocket = webSocket;
    this.#lowWaterBytes = lowWaterBytes;
    this.#onSent = () => this.#sent();
  }

  send(message: Uint8Array): SendResult {
    // While the close handshake runs bytes are dropped in silence: the close code that follows says why.
    if (this.#webSocket.readyState !== this.#webSocket.OPEN) return SendResult.SENT;
    this.#webSocket.send(message, WHOLE, this.#onSent);
    return this.#result();
  }

  sendParts(header: Uint8Array, payload: Uint8Array): SendResult {
    const length = header.length + payload.length;
    if (length <= JOIN_BYTES_MAX) {
      joinBytes ??= Buffer.allocUnsafeSlow(JOIN_BYTES_MAX);
      joinBytes.set(header, 0);
      joinBytes.set(payload, header.length);
      return this.send(joinBytes.subarray(0, length));
    }
    if (this.#webSocket.readyState !== this.#webSocket.OPEN) return SendResult.SENT;
    this.#webSocket.send(header, FIRST);
    this.#webSocket.send(payload, WHOLE, this.#onSent);
    return this.#result();
  }

  bufferedAmount(): number {
    return this.#webSocket.bufferedAmount;
  }

  close(code: number, reason: string): void {
    this.#webSocket.close(code, reason);
  }

  terminate(): void {
    this.#webSocket.terminate();
  }

  #result(): SendResult {
    if (this.#webSocket.bufferedAmount <= this.#lowWaterBytes) return SendResult.SENT;
    this.#congested = true;
    return SendResult.BUFFERED;
  }

  /** A message has been taken by the kernel, or has failed, in which case `close` follows. */
  #sent(): void {
    if (!this.#congested || this.#webSocket.bufferedAmount > this.#lowWaterBytes) return;
    this.#congested = false;
    this.session?.transportDrained();
  }
}
