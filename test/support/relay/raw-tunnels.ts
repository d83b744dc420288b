import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { data, FLAG } from "../mux/frames.ts";

const SWITCHING = "HTTP/1.1 101 ";
/** Dials until a tunnel stays: uWS closes one in some thousands as it opens, where the token's verdict came late. */
const DIALS_MAX = 3;

const BINARY = 0x82;
const MASKED = 0x80;
const MASK_BYTES = 4;
const ANSWER = "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx";
/** One WebSocket message, masked with zeros: an ACK and the whole answer on stream 1. */
const ANSWER_MESSAGE = ((): Buffer => {
  const frame = data(1, ANSWER, FLAG.ACK);
  const head = Buffer.from([
    BINARY,
    MASKED | frame.length,
    ...new Array<number>(MASK_BYTES).fill(0),
  ]);
  return Buffer.concat([head, frame]);
})();

/** What a device does with bytes that come after the 101. */
export type RawDevice = (socket: Socket) => void;

/** Answers whatever comes first by `x`, on the first stream of a relay in its usual role. */
export const answerFirstStream: RawDevice = (socket) => {
  socket.once("data", () => socket.write(ANSWER_MESSAGE));
};

/**
 * Opens one tunnel for each token, all at once, over bare sockets: for tests that want thousands of them and nothing
 * of their own on the heap.
 *
 * @param device told of each tunnel that is up; what the relay sends is thrown away besides
 * @returns one socket a token, owned by the caller, in no promised order
 * @throws Error with the relay's status line where it refuses one
 */
export async function openRawTunnels(
  port: number,
  tokens: readonly string[],
  device: RawDevice = () => {},
): Promise<Socket[]> {
  const sockets = await Promise.all(tokens.map((token) => openOne(port, token)));
  for (const socket of sockets) {
    device(socket);
    socket.resume();
  }
  return sockets;
}

/** Cuts them all without a close frame, as a device that loses its power does. Resolves when this side has let go. */
export async function cutRawTunnels(sockets: readonly Socket[]): Promise<void> {
  const closed = sockets.filter((socket) => !socket.closed).map((socket) => once(socket, "close"));
  for (const socket of sockets) socket.destroy();
  await Promise.all(closed);
}

async function openOne(port: number, token: string): Promise<Socket> {
  for (let dial = 1; ; dial++) {
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => {});
    socket.write(
      "GET /tunnel/connect HTTP/1.1\r\nhost: relay\r\nconnection: upgrade\r\nupgrade: websocket\r\n" +
        "sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
        `authorization: Bearer ${token}\r\n\r\n`,
    );
    const head = await Promise.race([
      once(socket, "data").then(([bytes]: Buffer[]) => bytes?.toString("latin1") ?? ""),
      once(socket, "close").then(() => ""),
    ]);
    if (head.startsWith(SWITCHING)) return socket;
    socket.destroy();
    if (head !== "" || dial === DIALS_MAX) {
      throw new Error(`no tunnel: ${head.split("\r\n")[0] || "closed"}`);
    }
  }
}
