import { createHash } from "node:crypto";
import { once } from "node:events";
import { Agent, type ClientRequest, type IncomingMessage, request } from "node:http";
import { patternBytes } from "../../bench/support/pattern.ts";

/** What a request says and sends. */
export interface TransferOptions {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string | number>>;
  /** Bytes of the pattern to send as the body. */
  readonly uploadBytes?: number;
  /** Sends the body without a length. */
  readonly chunked?: boolean;
  /** Connections to use; one of its own otherwise. */
  readonly agent?: Agent;
  /** Keeps the body as text. For small ones. */
  readonly keep?: boolean;
  readonly signal?: AbortSignal;
}

/** A whole answer. */
export interface TransferResult {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly bytes: number;
  /** Hex SHA-256 of the body. */
  readonly sha256: string;
  readonly text: string;
}

const singleUse = new Agent({ keepAlive: false, maxSockets: Number.POSITIVE_INFINITY });

/**
 * One exchange over node:http, the body sent and read at the same time.
 *
 * @throws Error when the answer breaks off, as node:http tells it (`ECONNRESET`, `aborted`)
 */
export async function transfer(
  url: string,
  options: TransferOptions = {},
): Promise<TransferResult> {
  const { uploadBytes, chunked = false } = options;
  const length = uploadBytes !== undefined && !chunked ? { "content-length": uploadBytes } : {};
  const outgoing = request(url, {
    agent: options.agent ?? singleUse,
    method: options.method ?? (uploadBytes === undefined ? "GET" : "POST"),
    headers: { ...options.headers, ...length },
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
  const answered = once(outgoing, "response");
  // A connection that ends under the upload shows in the answer, or in the lack of one.
  outgoing.on("error", () => undefined);
  const sending = sendPattern(outgoing, uploadBytes ?? 0).catch(() => undefined);
  const [incoming]: IncomingMessage[] = await answered;
  if (incoming === undefined) throw new Error("no answer");
  const hash = createHash("sha256");
  let bytes = 0;
  let text = "";
  for await (const piece of incoming) {
    bytes += piece.length;
    hash.update(piece);
    if (options.keep === true) text += piece.toString("latin1");
  }
  await sending;
  const { headers, statusCode } = incoming;
  return { status: statusCode ?? 0, headers, bytes, sha256: hash.digest("hex"), text };
}

const PERIOD = 65_521;
const PIECE = patternBytes(PERIOD);

async function sendPattern(outgoing: ClientRequest, size: number): Promise<void> {
  let wake: () => void = () => undefined;
  outgoing.on("drain", () => wake());
  outgoing.on("close", () => wake());
  for (let left = size; left > 0; left -= PERIOD) {
    if (outgoing.destroyed) return;
    const room = outgoing.write(left < PERIOD ? PIECE.subarray(0, left) : PIECE);
    if (!room) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  }
  outgoing.end();
}
