import { createHash, type Hash } from "node:crypto";
import { once } from "node:events";
import type { TestContext } from "node:test";
import { type WebSocket, WebSocketServer } from "ws";
import { patternBytes } from "../../bench/support/pattern.ts";
import type { AppError } from "../../src/core/errors.ts";
import type { MuxOptions, Role, Session, Stream, StreamHandler } from "../../src/mux/index.ts";
import type { PeerVersion } from "../support/go.ts";
import type { Prng } from "../support/mux/prng.ts";
import { WsSession } from "../support/ws-session.ts";
import { GoPeer } from "./peer.ts";

const TOKEN = "vAc_interop";

/** Our end of a session with a program of others; every stream is watched. */
export class MuxEnd extends WsSession {
  /** Streams of the peer, in order; each is echoed. */
  readonly inbound: StreamProbe[] = [];

  override sessionOnStream(_session: Session, stream: Stream): void {
    const probe = new StreamProbe({ echo: true });
    this.inbound.push(probe);
    stream.accept(probe);
  }

  /** Opens a stream that is watched. */
  open(options: ProbeOptions = {}): StreamProbe {
    const probe = new StreamProbe(options);
    probe.attach(this.session.open(probe));
    return probe;
  }
}

/** How a probe treats what arrives. */
export interface ProbeOptions {
  /** Sends back what comes, and ends when the peer ends. */
  readonly echo?: boolean;
  /** Keeps the bytes as text too. For small answers. */
  readonly keep?: boolean;
  /** Leaves an HTTP head out of `received` and the hash. */
  readonly afterHead?: boolean;
}

/** Watches one stream: counts and hashes what comes, tells when it ends and closes. */
export class StreamProbe implements StreamHandler {
  received = 0;
  text = "";
  /** With `afterHead`: the head. */
  head = "";
  #headSeen = false;
  /** Resolves at the peer's FIN. */
  readonly ended: Promise<void>;
  /** Resolves with the reason when the stream is finished, null for a clean end. */
  readonly closed: Promise<AppError | null>;
  isClosed = false;
  readonly #options: ProbeOptions;
  readonly #hash: Hash = createHash("sha256");
  #stream: Stream | null = null;
  #resolveEnded: () => void = () => undefined;
  #resolveClosed: (error: AppError | null) => void = () => undefined;
  #waiting: (() => void)[] = [];
  /** Bytes echoed into a full queue: consumed when it has drained. */
  #owed = 0;

  constructor(options: ProbeOptions) {
    this.#options = options;
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
  }

  attach(stream: Stream): void {
    this.#stream = stream;
  }

  get stream(): Stream {
    if (this.#stream === null) throw new Error("no stream yet");
    return this.#stream;
  }

  /** Hex SHA-256 of all that has come. Once. */
  sha256(): string {
    return this.#hash.digest("hex");
  }

  streamOnData(stream: Stream, chunk: Uint8Array, start: number, end: number): void {
    const bytes = this.#counted(chunk.subarray(start, end));
    this.received += bytes.length;
    this.#hash.update(bytes);
    if (this.#options.keep === true) this.text += Buffer.from(bytes).toString("latin1");
    if (this.#options.echo === true && !stream.write(bytes)) this.#owed += bytes.length;
    else stream.consume(end - start);
    this.#wakeUp();
  }

  /** The part of `bytes` that counts. */
  #counted(bytes: Uint8Array): Uint8Array {
    if (this.#options.afterHead !== true || this.#headSeen) return bytes;
    this.head += Buffer.from(bytes).toString("latin1");
    const blank = this.head.indexOf("\r\n\r\n");
    if (blank < 0) return bytes.subarray(bytes.length);
    this.#headSeen = true;
    const bodyBytes = this.head.length - blank - 4;
    this.head = this.head.slice(0, blank);
    return bytes.subarray(bytes.length - bodyBytes);
  }

  streamOnEnd(stream: Stream): void {
    if (this.#options.echo === true) stream.end();
    this.#resolveEnded();
    this.#wakeUp();
  }

  streamOnWritable(stream: Stream): void {
    const owed = this.#owed;
    this.#owed = 0;
    if (owed > 0) stream.consume(owed);
    this.#wakeUp();
  }

  streamOnClose(_stream: Stream, error: AppError | null): void {
    this.isClosed = true;
    this.#resolveClosed(error);
    this.#wakeUp();
  }

  /** Sends `size` bytes of the pattern, as fast as the stream takes them. @throws when the stream closes before */
  async sendPattern(size: number, pieceBytes = 48 * 1_024): Promise<void> {
    const period = 65_521;
    for (let at = 0; at < size; ) {
      const from = at % period;
      const take = Math.min(pieceBytes, size - at, TWO_PERIODS.length - from);
      const more = this.stream.write(TWO_PERIODS.subarray(from, from + take));
      at += take;
      if (!more) await this.until(() => this.stream.isWritable);
    }
  }

  /** Resolves when `wanted` holds; looked at after each event of the stream. @throws when the stream closes before */
  async until(wanted: () => boolean): Promise<void> {
    while (!wanted()) {
      if (this.isClosed) throw (await this.closed) ?? new Error("the stream closed");
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  #wakeUp(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}

const TWO_PERIODS = patternBytes(2 * 65_521);

/** Hex SHA-256 of the first `size` bytes of the pattern. */
export function patternSha256(size: number): string {
  const hash = createHash("sha256");
  const period = TWO_PERIODS.subarray(0, 65_521);
  let left = size;
  for (; left >= period.length; left -= period.length) hash.update(period);
  return hash.update(period.subarray(0, left)).digest("hex");
}

/** Our session and the Go program at its other end, connected. */
export interface Pair {
  readonly end: MuxEnd;
  readonly peer: GoPeer;
}

/** How our end is made. */
export interface EndOptions {
  /** Our role; the program takes the other one. */
  readonly role?: Role;
  readonly mux?: Partial<MuxOptions>;
  /** Cuts what we send into random messages and fragments. */
  readonly shredder?: Prng;
}

/** How a pair is made. */
export interface PairOptions extends EndOptions {
  readonly version: PeerVersion;
  readonly serve?: "http" | "raw";
  /** More arguments of the Go program. */
  readonly args?: readonly string[];
}

/** A WebSocket server on `port`; `end` resolves with the session of its first connection. Ends with the test. */
export async function listenForDevice(
  t: TestContext,
  options: EndOptions,
): Promise<{ port: number; end: Promise<MuxEnd> }> {
  const server = new WebSocketServer({
    host: "127.0.0.1",
    port: 0,
    perMessageDeflate: false,
    maxPayload: 64 * 1_024 * 1_024,
  });
  await once(server, "listening");
  t.after(() => {
    for (const socket of server.clients) socket.terminate();
    server.close();
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  const end = new Promise<MuxEnd>((resolve) => {
    // Made in the event itself: the first frames of the device may follow at once.
    server.once("connection", (socket: WebSocket) => {
      const role = options.role ?? "client";
      resolve(new MuxEnd(role, options.mux ?? {}, socket, options.shredder));
    });
  });
  return { port: address.port, end };
}

/** Starts a WebSocket server with a session of ours and a Go device that dials it. Ends with the test. */
export async function connectPair(t: TestContext, options: PairOptions): Promise<Pair> {
  const { port, end } = await listenForDevice(t, options);
  const role = options.role === "server" ? "client" : "server";
  const peer = await GoPeer.start(t, options.version, [
    "device",
    ...["-relay", `ws://127.0.0.1:${port}/tunnel/connect`, "-token", TOKEN],
    ...["-role", role, "-serve", options.serve ?? "raw"],
    ...(options.args ?? []),
  ]);
  await peer.said("connected");
  return { end: await end, peer };
}
