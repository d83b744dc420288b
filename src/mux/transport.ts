/** How a transport took a message. The numbers are those of uWebSockets' `send`. */
export const SendResult = {
  /** Accepted; bytes wait in the transport. */
  BUFFERED: 0,
  /** Accepted. */
  SENT: 1,
  /** Lost: the byte stream has a hole, the session cannot live. */
  DROPPED: 2,
} as const;
export type SendResult = (typeof SendResult)[keyof typeof SendResult];

/**
 * What a session writes to: one WebSocket connection. All calls are synchronous and do not throw;
 * a transport that is already gone answers DROPPED, 0 or nothing.
 */
export interface Transport {
  /** One binary message. `message` is borrowed until the call returns. */
  send(message: Uint8Array): SendResult;
  /**
   * One binary message made of header and payload back to back; joined or not as is cheapest
   * there. Both are borrowed until the call returns.
   */
  sendParts(header: Uint8Array, payload: Uint8Array): SendResult;
  /** Bytes waiting in the transport's user-space buffer. */
  bufferedAmount(): number;
  /** Orderly close with a WebSocket close code, after all that was sent. Leads to transportClosed(). */
  close(code: number, reason: string): void;
  /** Cut without handshake. Leads to transportClosed(), later or at once. */
  terminate(): void;
}
