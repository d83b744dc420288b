import { connect as dial } from "node:net";

/** What came back on one connection until it was whole or closed. */
export interface RawAnswer {
  readonly status: number;
  readonly statusLine: string;
  /** Lower-case names. */
  readonly fields: ReadonlyMap<string, string>;
  readonly body: Buffer;
  /** False when the connection closed before the message was whole. */
  readonly whole: boolean;
  /** Everything that came, as it came. */
  readonly raw: Buffer;
}

/**
 * Sends `bytes` over a new connection and reads one answer strictly. Resolves when it is whole, or when the connection
 * closes.
 *
 * @param onFirstBytes called once something of the answer is here
 */
export function rawRequest(
  port: number,
  bytes: string | Buffer,
  isHead = false,
  onFirstBytes: () => void = () => {},
): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const socket = dial({ port, host: "127.0.0.1" });
    const received: Buffer[] = [];
    const settle = (closed: boolean): void => {
      const raw = Buffer.concat(received);
      const answer = parseAnswer(raw, isHead);
      if (answer?.whole !== true && !closed) return;
      socket.destroy();
      resolve(
        answer ?? { status: 0, statusLine: "", fields: new Map(), body: raw, whole: false, raw },
      );
    };
    socket.on("data", (chunk) => {
      received.push(chunk);
      if (received.length === 1) onFirstBytes();
      settle(false);
    });
    socket.on("close", () => settle(true));
    socket.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "ECONNRESET" || error.code === "EPIPE") settle(true);
      else reject(error);
    });
    socket.write(bytes);
  });
}

/** The first answer in `raw`, or null while there is no whole head. */
export function parseAnswer(raw: Buffer, isHead: boolean): RawAnswer | null {
  const headEnd = raw.indexOf("\r\n\r\n");
  if (headEnd === -1) return null;
  const [statusLine = "", ...lines] = raw.toString("latin1", 0, headEnd).split("\r\n");
  const fields = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(":");
    const name = line.slice(0, colon).toLowerCase();
    const before = fields.get(name);
    const value = line.slice(colon + 1).trim();
    fields.set(name, before === undefined ? value : `${before}, ${value}`);
  }
  const status = Number(statusLine.split(" ")[1]);
  const rest = raw.subarray(headEnd + 4);
  const answer = (body: Buffer, whole: boolean): RawAnswer => {
    return { status, statusLine, fields, body, whole, raw };
  };
  if (isHead || status === 204 || status === 304) return answer(Buffer.alloc(0), true);
  if (fields.get("transfer-encoding") === "chunked") {
    const pieces: Buffer[] = [];
    for (let at = 0; ; ) {
      const lineEnd = rest.indexOf("\r\n", at);
      if (lineEnd === -1) return answer(Buffer.concat(pieces), false);
      const length = Number.parseInt(rest.toString("latin1", at, lineEnd), 16);
      const from = lineEnd + 2;
      if (rest.length < from + length + 2) {
        pieces.push(rest.subarray(from));
        return answer(Buffer.concat(pieces), false);
      }
      if (length === 0) return answer(Buffer.concat(pieces), true);
      pieces.push(rest.subarray(from, from + length));
      at = from + length + 2;
    }
  }
  const length = Number(fields.get("content-length") ?? 0);
  return answer(rest.subarray(0, length), rest.length >= length);
}
