import { connect as dial, type Socket } from "node:net";
import type { Plan } from "./plan.ts";

/** How an exchange ended, as the client saw it. */
export type Outcome =
  | { readonly kind: "complete"; readonly digest: string; readonly body: Buffer }
  /** A whole answer that says what failed. */
  | { readonly kind: "failed"; readonly status: number; readonly body: Buffer }
  /** The connection broke off before the answer was complete. */
  | { readonly kind: "broken"; readonly bytes: number }
  /** The client itself left. */
  | { readonly kind: "left" };

interface Answer {
  readonly status: number;
  readonly fields: Map<string, string>;
  readonly body: Buffer;
  /** Where the next answer begins. */
  readonly end: number;
}

/**
 * One keep-alive connection that sends requests by plan over a bare socket, and reads answers strictly: what is not
 * whole is broken.
 */
export class RawClient {
  readonly #port: number;
  #socket: Socket | null = null;

  constructor(port: number) {
    this.#port = port;
  }

  close(): void {
    this.#socket?.destroy();
    this.#socket = null;
  }

  /** Sends one request and waits for its end. `path` is the request target. */
  async exchange(plan: Plan, path: string, key: string): Promise<Outcome> {
    const socket = this.#socket ?? dial({ port: this.#port, host: "127.0.0.1", noDelay: true });
    this.#socket = socket;
    const outcome = await new Promise<Outcome>((resolve) => {
      run(socket, plan, requestBytes(plan, path, key), resolve);
    });
    socket.removeAllListeners();
    socket.on("error", () => {});
    if (outcome.kind === "broken" || outcome.kind === "left" || !socket.writable) this.close();
    return outcome;
  }
}

function requestBytes(plan: Plan, path: string, key: string): Buffer {
  const head = [
    `POST ${path} HTTP/1.1`,
    "host: relay.test",
    `authorization: Bearer ${key}`,
    `x-plan: ${plan.id}`,
    plan.requestChunked ? "transfer-encoding: chunked" : `content-length: ${plan.request.length}`,
    "",
    "",
  ].join("\r\n");
  const body = plan.requestChunked
    ? Buffer.concat([
        Buffer.from(`${plan.request.length.toString(16)}\r\n`),
        plan.request,
        Buffer.from("\r\n0\r\n\r\n"),
      ])
    : plan.request;
  return Buffer.concat([Buffer.from(head, "latin1"), body]);
}

function run(
  socket: Socket,
  plan: Plan,
  request: Buffer,
  resolve: (outcome: Outcome) => void,
): void {
  const received: Buffer[] = [];
  let bytes = 0;
  const { cut } = plan;
  const broken = (): void => resolve({ kind: "broken", bytes });
  socket.on("data", (chunk) => {
    received.push(chunk);
    bytes += chunk.length;
    if (cut.kind === "client-response" && bytes >= cut.at) {
      socket.destroy();
      resolve({ kind: "left" });
      return;
    }
    if (bytes < 64) return;
    const answer = parse(Buffer.concat(received));
    if (answer === null) return;
    if (answer.fields.get("connection") === "close") socket.end();
    const { status, body } = answer;
    const digest = answer.fields.get("x-request-digest") ?? "";
    resolve(status === 200 ? { kind: "complete", digest, body } : { kind: "failed", status, body });
  });
  socket.on("error", broken);
  socket.on("close", broken);
  socket.on("end", () => socket.end());
  if (cut.kind === "client-request") {
    socket.write(request.subarray(0, Math.max(1, Math.min(cut.at, request.length - 1))), () => {
      socket.destroy();
      resolve({ kind: "left" });
    });
    return;
  }
  socket.write(request);
}

/** The whole answer at the start of `bytes`, or null while it is not whole. */
function parse(bytes: Buffer): Answer | null {
  const headEnd = bytes.indexOf("\r\n\r\n");
  if (headEnd === -1) return null;
  const [statusLine = "", ...lines] = bytes.toString("latin1", 0, headEnd).split("\r\n");
  const fields = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(":");
    fields.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
  }
  const status = Number(statusLine.split(" ")[1]);
  const start = headEnd + 4;
  if (fields.get("transfer-encoding") === "chunked")
    return parseChunked(bytes, start, status, fields);
  const length = Number(fields.get("content-length") ?? 0);
  if (bytes.length < start + length) return null;
  return { status, fields, body: bytes.subarray(start, start + length), end: start + length };
}

function parseChunked(
  bytes: Buffer,
  start: number,
  status: number,
  fields: Map<string, string>,
): Answer | null {
  const pieces: Buffer[] = [];
  for (let at = start; ; ) {
    const lineEnd = bytes.indexOf("\r\n", at);
    if (lineEnd === -1) return null;
    const length = Number.parseInt(bytes.toString("latin1", at, lineEnd), 16);
    const from = lineEnd + 2;
    if (bytes.length < from + length + 2) return null;
    if (length === 0) return { status, fields, body: Buffer.concat(pieces), end: from + 2 };
    pieces.push(bytes.subarray(from, from + length));
    at = from + length + 2;
  }
}
