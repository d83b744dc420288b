import type {
  HttpRequest,
  HttpResponse,
  TemplatedApp,
  us_socket_context_t,
  WebSocket,
} from "uWebSockets.js";
import type { AppError, HttpError } from "../core/errors.ts";
import type { RequestIds } from "../core/request-ids.ts";
import { isTokenRef } from "../core/token.ts";
import type { Stream, StreamHandler } from "../mux/index.ts";
import type { RelayContext } from "./context.ts";
import { relayError } from "./errors.ts";
import { framingProblem } from "./http1/index.ts";
import type { InternalSecret } from "./internal-auth.ts";
import { answerProblem, answerUnframed } from "./problem.ts";
import type { Tunnel } from "./tunnel.ts";

/** Largest message from a client of a raw stream. */
const MESSAGE_BYTES_MAX = 1 << 20;
/** Bytes kept for a device that takes none, after the client was told to pause. */
const QUEUED_BYTES_MAX = 4 << 20;
/** Seconds of silence, our pings unanswered, after which uWS ends the WebSocket. */
const IDLE_TIMEOUT_S = 120;

const INTERNAL = 1;
const SWITCHING = 101;
const FIN = new Uint8Array(0);

/** WebSocket close codes of a raw stream. */
const Close = {
  DONE: 1000,
  DATA_AFTER_END: 1002,
  TEXT: 1003,
  STREAM_FAILED: 1011,
  OVERRUN: 1013,
} as const;

/**
 * `GET /internal/session/:token/stream`: one yamux stream of a device as a WebSocket.
 *
 * Binary messages carry the bytes of the stream, in any split; an empty one is the FIN of its direction. Both FINs
 * seen: close 1000. Anything else that ends the stream: close 1011. Towards the client the device's credit is
 * returned as the client takes the bytes. From the client uWS cannot stop reading, so the relay says `pause` and
 * `resume` in text messages; who goes on for 4 MiB is closed with 1013.
 */
export function registerRawStream(
  app: TemplatedApp,
  context: RelayContext,
  secret: InternalSecret,
  ids: RequestIds,
): void {
  const { uws, muxOptions } = context;
  app.ws<RawSocket>("/internal/session/:token/stream", {
    compression: uws.DISABLED,
    idleTimeout: IDLE_TIMEOUT_S,
    sendPingsAutomatically: true,
    maxPayloadLength: MESSAGE_BYTES_MAX,
    // The window bounds what a device can send; only its frames' overhead comes on top.
    maxBackpressure: 2 * muxOptions.maxWindowBytes + MESSAGE_BYTES_MAX,
    closeOnBackpressureLimit: true,
    upgrade: (res, req, socketContext) => {
      const requestId = ids.next();
      const unframed = framingProblem(req);
      if (unframed !== null) {
        record(context, unframed, "", requestId);
        answerUnframed(res, unframed, requestId, false);
        return;
      }
      const found = findTunnel(req, context, secret);
      if (found instanceof RawStreamRefusal) refuse(res, context, found, requestId);
      else upgrade(res, req, socketContext, new RawStream(context, found, requestId));
    },
    open: (ws) => ws.getUserData().rawStream.webSocketOnOpen(ws),
    message: (ws, message, isBinary) =>
      ws.getUserData().rawStream.webSocketOnMessage(message, isBinary),
    drain: (ws) => ws.getUserData().rawStream.webSocketOnDrain(),
    close: (ws) => ws.getUserData().rawStream.webSocketOnClose(),
  });
}

/** uWS copies the fields of what it is given, and no methods. */
interface RawSocket {
  readonly rawStream: RawStream;
}

class RawStreamRefusal {
  readonly error: HttpError;
  readonly tokenRef: string;

  constructor(error: HttpError, tokenRef: string) {
    this.error = error;
    this.tokenRef = tokenRef;
  }
}

function findTunnel(
  req: HttpRequest,
  context: RelayContext,
  secret: InternalSecret,
): Tunnel | RawStreamRefusal {
  if (!secret.accepts(req.getHeader("authorization"))) {
    return new RawStreamRefusal(relayError("ERR_RELAY_UNAUTHORIZED"), "");
  }
  const tokenRef = req.getParameter(0) ?? "";
  if (!isTokenRef(tokenRef, "device")) {
    return new RawStreamRefusal(relayError("ERR_RELAY_BAD_REFERENCE"), "");
  }
  if (context.draining) {
    return new RawStreamRefusal(relayError("ERR_RELAY_DRAINING", { retryAfter: 1 }), tokenRef);
  }
  const tunnel = context.store.find(tokenRef);
  if (tunnel === null) return new RawStreamRefusal(relayError("ERR_RELAY_NO_SESSION"), tokenRef);
  if (!tunnel.isLive) {
    return new RawStreamRefusal(relayError("ERR_RELAY_OFFLINE", { retryAfter: 1 }), tokenRef);
  }
  if (tunnel.inFlight >= context.options.inFlightPerDeviceMax) {
    return new RawStreamRefusal(relayError("ERR_RELAY_OVERLOADED", { retryAfter: 1 }), tokenRef);
  }
  return tunnel;
}

function refuse(
  res: HttpResponse,
  context: RelayContext,
  { error, tokenRef }: RawStreamRefusal,
  requestId: string,
): void {
  record(context, error, tokenRef, requestId);
  answerProblem(res, error, requestId);
}

function record(
  { metrics, accessLog }: RelayContext,
  { status, stage }: HttpError,
  tokenRef: string,
  requestId: string,
): void {
  metrics.observeRequest(INTERNAL, status, stage, 0, 0, -1, 0);
  accessLog.request(INTERNAL, requestId, "", tokenRef, "GET", status, stage, 0, 0, -1, 0);
}

function upgrade(
  res: HttpResponse,
  req: HttpRequest,
  socketContext: us_socket_context_t,
  rawStream: RawStream,
): void {
  // One of those offered has to be named, and they mean nothing here.
  const protocol = req.getHeader("sec-websocket-protocol").split(",")[0]?.trim() ?? "";
  const socket: RawSocket = { rawStream };
  res.upgrade(socket, req.getHeader("sec-websocket-key"), protocol, "", socketContext);
}

/** One raw stream: the handler of its yamux stream and of its WebSocket. */
class RawStream implements StreamHandler {
  readonly #context: RelayContext;
  readonly #tunnel: Tunnel;
  readonly #requestId: string;
  readonly #startedAt: number;
  #ws: WebSocket<RawSocket> | null = null;
  #stream: Stream | null = null;
  /** Bytes handed to uWS that the client has not taken, and for which the device has no credit yet. */
  #untakenBytes = 0;
  #clientEnded = false;
  #clientPaused = false;
  #bytesIn = 0;
  #bytesOut = 0;
  #failed = false;

  constructor(context: RelayContext, tunnel: Tunnel, requestId: string) {
    this.#context = context;
    this.#tunnel = tunnel;
    this.#requestId = requestId;
    this.#startedAt = context.clock.now();
  }

  webSocketOnOpen(ws: WebSocket<RawSocket>): void {
    this.#ws = ws;
    this.#tunnel.inFlight += 1;
    this.#context.metrics.rawStreams += 1;
    try {
      this.#stream = this.#tunnel.session.open(this);
    } catch {
      this.#end(Close.STREAM_FAILED, "no stream can be opened");
    }
  }

  webSocketOnMessage(message: ArrayBuffer, isBinary: boolean): void {
    const stream = this.#stream;
    if (stream === null) return;
    if (!isBinary) {
      this.#end(Close.TEXT, "binary messages only");
      return;
    }
    if (this.#clientEnded) {
      this.#end(Close.DATA_AFTER_END, "message after the end");
      return;
    }
    if (message.byteLength === 0) {
      this.#clientEnded = true;
      stream.end();
      return;
    }
    this.#bytesIn += message.byteLength;
    const goOn = stream.write(new Uint8Array(message));
    if (stream.queuedBytes > QUEUED_BYTES_MAX) {
      this.#end(Close.OVERRUN, "the device does not take so much");
      return;
    }
    if (!goOn && !this.#clientPaused) {
      this.#clientPaused = true;
      this.#ws?.send("pause", false, false);
    }
  }

  webSocketOnDrain(): void {
    const { stream, untaken } = { stream: this.#stream, untaken: this.#untakenBytes };
    if (stream === null || untaken === 0) return;
    // What uWS still holds counts frame headers too, so that this never returns credit too early.
    const left = Math.min(untaken, this.#ws?.getBufferedAmount() ?? 0);
    this.#untakenBytes = left;
    if (left < untaken) stream.consume(untaken - left);
  }

  webSocketOnClose(): void {
    this.#ws = null;
    const stream = this.#stream;
    this.#stream = null;
    if (stream !== null) {
      this.#failed = true;
      stream.reset();
    }
    this.#tunnel.inFlight -= 1;
    this.#record();
  }

  streamOnData(stream: Stream, chunk: Uint8Array, start: number, end: number): void {
    const ws = this.#ws;
    const length = end - start;
    this.#bytesOut += length;
    // 2, dropped, means that uWS closes the WebSocket for its backpressure: the close handler resets the stream.
    const sent = ws === null ? 2 : ws.send(chunk.subarray(start, end), true, false);
    if (sent === 0) this.#untakenBytes += length;
    else if (sent === 1) stream.consume(length);
  }

  streamOnEnd(_stream: Stream): void {
    this.#ws?.send(FIN, true, false);
  }

  streamOnWritable(_stream: Stream): void {
    if (!this.#clientPaused) return;
    this.#clientPaused = false;
    this.#ws?.send("resume", false, false);
  }

  streamOnClose(_stream: Stream, error: AppError | null): void {
    this.#stream = null;
    if (error === null) {
      this.#ws?.end(Close.DONE, "");
      return;
    }
    this.#failed = true;
    this.#ws?.end(Close.STREAM_FAILED, error.code);
  }

  #end(code: number, reason: string): void {
    const stream = this.#stream;
    this.#stream = null;
    this.#failed = true;
    stream?.reset();
    this.#ws?.end(code, reason);
  }

  #record(): void {
    const { metrics, accessLog, clock } = this.#context;
    const stage = this.#failed ? "mid_stream" : null;
    const totalMs = clock.now() - this.#startedAt;
    const [bytesIn, bytesOut] = [this.#bytesIn, this.#bytesOut];
    metrics.observeRequest(INTERNAL, SWITCHING, stage, bytesIn, bytesOut, -1, totalMs);
    const { deviceId, tokenRef } = this.#tunnel;
    accessLog.request(
      INTERNAL,
      this.#requestId,
      deviceId,
      tokenRef,
      "GET",
      SWITCHING,
      stage,
      bytesIn,
      bytesOut,
      -1,
      totalMs,
    );
  }
}
