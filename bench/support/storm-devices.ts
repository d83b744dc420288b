/**
 * Many cheap devices in one process: `node storm-devices.js <port> <tokens file>`. Each is a socket that dials in, answers
 * pings, and dials anew when it is cut, after a random wait. Prints `up <n>` when all of them are connected for the n-th
 * time. Ends with its standard input.
 */
import { readFileSync } from "node:fs";
import { connect } from "node:net";

const RETRY_CAP_MS = 2_000;
const HANDSHAKE_LINES = [
  "Connection: Upgrade",
  "Upgrade: websocket",
  "Sec-WebSocket-Version: 13",
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
  "User-Agent: hawser-agent/0.0.0",
];
/** A binary message of 12 bytes, masked with zeros. */
const MESSAGE_HEAD = Buffer.from([0x82, 0x8c, 0, 0, 0, 0]);
const YAMUX_HEADER_BYTES = 12;
const PING = 2;
const SYN = 1;
const ACK = 2;

const [portText = "", tokensFile = ""] = process.argv.slice(2);
const port = Number(portText);
const tokens = readFileSync(tokensFile, "latin1").trim().split("\n");
let connected = 0;
let ups = 0;

class Device {
  readonly #head: string;
  #failures = 0;

  constructor(token: string) {
    const lines = [...HANDSHAKE_LINES, `Authorization: Bearer ${token}`];
    this.#head = `GET /tunnel/connect HTTP/1.1\r\nHost: relay\r\n${lines.join("\r\n")}\r\n\r\n`;
  }

  dial(): void {
    const socket = connect(port, "127.0.0.1");
    let isUp = false;
    let waitMs = 0;
    let rest: Buffer = Buffer.alloc(0);
    socket.on("connect", () => socket.write(this.#head));
    socket.on("error", () => {});
    socket.on("data", (chunk: Buffer) => {
      rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      if (!isUp) {
        const end = rest.indexOf("\r\n\r\n");
        if (end < 0) return;
        const head = rest.toString("latin1", 0, end);
        if (!head.startsWith("HTTP/1.1 101")) {
          waitMs = 1_000 * Number(/^retry-after: (\d+)/im.exec(head)?.[1] ?? 0);
          socket.destroy();
          return;
        }
        isUp = true;
        this.#failures = 0;
        rest = rest.subarray(end + 4);
        connected += 1;
        if (connected === tokens.length) {
          ups += 1;
          process.stdout.write(`up ${ups}\n`);
        }
      }
      rest = answerPings(rest, (pong) => socket.write(pong));
    });
    socket.on("close", () => {
      if (isUp) connected -= 1;
      this.#failures += 1;
      const ceilingMs = Math.min(RETRY_CAP_MS, 250 * 2 ** this.#failures);
      setTimeout(() => this.dial(), waitMs + Math.random() * ceilingMs);
    });
  }
}

/** Looks at whole messages, answers the pings in them, and returns what is not whole yet. */
function answerPings(bytes: Buffer, answer: (pong: Buffer) => void): Buffer {
  let at = 0;
  while (bytes.length - at >= 2) {
    const short = (bytes[at + 1] ?? 0) & 0x7f;
    const extra = short === 126 ? 2 : short === 127 ? 8 : 0;
    if (bytes.length - at < 2 + extra) break;
    const length =
      extra === 2
        ? bytes.readUInt16BE(at + 2)
        : extra === 8
          ? Number(bytes.readBigUInt64BE(at + 2))
          : short;
    const start = at + 2 + extra;
    if (bytes.length - start < length) break;
    for (let frame = start; frame + YAMUX_HEADER_BYTES <= start + length; ) {
      const isPing = bytes[frame + 1] === PING && (bytes.readUInt16BE(frame + 2) & SYN) !== 0;
      if (isPing) {
        const pong = Buffer.from(bytes.subarray(frame, frame + YAMUX_HEADER_BYTES));
        pong.writeUInt16BE(ACK, 2);
        answer(Buffer.concat([MESSAGE_HEAD, pong]));
      }
      const dataBytes = bytes[frame + 1] === 0 ? bytes.readUInt32BE(frame + 8) : 0;
      frame += YAMUX_HEADER_BYTES + dataBytes;
    }
    at = start + length;
  }
  return at === 0 ? bytes : bytes.subarray(at);
}

for (const token of tokens) new Device(token).dial();
process.stdin.resume().on("end", () => process.exit(0));
