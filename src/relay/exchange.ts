import type { HttpResponse } from "uWebSockets.js";
import { ClosedError, type HttpError } from "../core/errors.ts";
import { BodyKind } from "../core/http1/rules.ts";
import type { Stream, StreamHandler } from "../mux/index.ts";
import type { RelayContext } from "./context.ts";
import { relayError } from "./errors.ts";
import { isIdempotent, recordExchange } from "./exchange-record.ts";
import type { ForwardRoute } from "./forward.ts";
import { type HeadMemory, ResponseParser, type ResponseSink, requestHead } from "./http1/index.ts";
import { answerProblem } from "./problem.ts";
import { RequestIn } from "./request-in.ts";
import { keepsUntaken, ResponseOut, type ResponseOutOwner } from "./response-out.ts";
import type { Tunnel } from "./tunnel.ts";
import { ArenaRun, type TurnTask } from "./turn.ts";

/** Status of the access line when the client left before the end. */
const CLIENT_GONE = 499;

/** The exchange whose answer is written now: lets one function serve every `res.cork`. */
let corked: Exchange | null = null;

function answerCorked(): void {
  corked?.answer();
}

/** Who owns exchanges: told when one needs a tunnel again, and when one is over. */
export interface ExchangeOwner {
  readonly context: RelayContext;
  /** Response heads that came before, of any device. */
  readonly headMemory: HeadMemory;
  /** Coarse time in ms, at most one sweep old: for idle limits only. */
  readonly coarseNow: number;
  /** Sends the same request once more over whatever tunnel the device has now, or lets it wait for one. */
  exchangeOnRetry(exchange: Exchange): void;
  /** The exchange is over and holds nothing. */
  exchangeOnDone(exchange: Exchange): void;
}

/**
 * One request of a client and its way over one stream.
 *
 * ```
 *   waiting --start--> sent --head--> answering --end--> done
 *      ^                 |                |
 *      +---- retry ------+                +-- device lost --> client connection cut
 * ```
 *
 * It is the handler of its stream and the sink of its parser, and it is used again for later requests: the hot path
 * allocates no closure and no handler.
 */
export class Exchange implements StreamHandler, ResponseSink, ResponseOutOwner, TurnTask {
  readonly #owner: ExchangeOwner;
  readonly #parser: ResponseParser;
  readonly #out: ResponseOut;
  readonly #in: RequestIn;
  /** Links of the owner's list of running exchanges. */
  next: Exchange | null = null;
  previous: Exchange | null = null;
  /** Deadline while it waits for a tunnel, 0 otherwise. */
  heldUntil = 0;

  /** Rises with each ending: tells a late caller that its request is over. */
  serial = 0;
  route: ForwardRoute | null = null;
  tunnel: Tunnel | null = null;
  #res: HttpResponse | null = null;
  #stream: Stream | null = null;
  #head = "";
  #idempotent = false;
  #retried = false;
  #done = true;
  #headSeen = false;
  /** Any byte of the response was received, interim responses included. */
  #seen = false;
  /** The parser saw the end of the message. */
  #complete = false;
  /** The parser runs: the end of the exchange waits until it returns. */
  #parsing = false;
  #finishAfterParsing = false;
  #taskQueued = false;
  #error: HttpError | null = null;
  /** Body bytes that wait for the end of the turn. */
  readonly #run = new ArenaRun();
  #bytesOut = 0;
  #startedAt = 0;
  #firstByteAt = 0;
  #activeAt = 0;
  readonly #onAborted: () => void;

  constructor(owner: ExchangeOwner) {
    this.#owner = owner;
    this.#parser = new ResponseParser(owner.context.options.headBytesMax, owner.headMemory);
    this.#out = new ResponseOut(this, owner.context.pools);
    this.#in = new RequestIn(this);
    this.#onAborted = () => this.#aborted();
  }

  /** Takes over a request. `res` belongs to the exchange from now on. */
  attach(res: HttpResponse, route: ForwardRoute): void {
    const { fields } = route;
    this.route = route;
    this.#res = res;
    this.#done = false;
    this.#headSeen = false;
    this.#seen = false;
    this.#complete = false;
    this.#finishAfterParsing = false;
    this.#retried = false;
    this.#error = null;
    this.#run.clear();
    this.#bytesOut = 0;
    this.heldUntil = 0;
    this.#startedAt = this.#owner.context.turn.now;
    this.#firstByteAt = 0;
    this.#activeAt = this.#owner.coarseNow;
    this.#idempotent = isIdempotent(route.method);
    // The head is made now: `fields` serves the next request as soon as this call returns.
    this.#head = requestHead(route.method, route.target, fields, route.hop);
    this.#out.attach(res);
    res.onAborted(this.#onAborted);
    this.#in.attach(res, fields.contentLength, fields.chunked);
  }

  /** True while nothing of the response was seen and the request can be sent again as it is. */
  get #repeatable(): boolean {
    return !this.#seen && !this.#retried && !this.#in.started;
  }

  /** Sends the request over `tunnel`. */
  start(tunnel: Tunnel): void {
    this.heldUntil = 0;
    this.tunnel = tunnel;
    tunnel.inFlight += 1;
    let stream = tunnel.takeIdle();
    const { metrics } = this.#owner.context;
    if (stream === null) {
      metrics.streamsOpened += 1;
      try {
        stream = tunnel.session.open(this);
      } catch (error) {
        this.fail(relayError("ERR_RELAY_OVERLOADED", { retryAfter: 1, cause: error }));
        return;
      }
    } else {
      metrics.streamsReused += 1;
      stream.handler = this;
    }
    this.#stream = stream;
    this.#parser.reset(this.route?.method === "HEAD");
    this.#activeAt = this.#owner.coarseNow;
    try {
      stream.writeLatin1(this.#head);
      this.#in.start(stream);
    } catch (error) {
      this.#streamFailed(error instanceof ClosedError && error.retriable);
    }
  }

  streamOnData(stream: Stream, chunk: Uint8Array, start: number, end: number): void {
    if (this.#done || this.#complete || stream !== this.#stream) {
      // Bytes behind the end of the message: this stream serves nobody any more.
      stream.consume(end - start);
      if (stream === this.#stream) this.#parser.keepAlive = false;
      return;
    }
    // Bytes of a head that is not whole yet earn no time: it is the head that is waited for.
    if (this.#headSeen) this.#activeAt = this.#owner.coarseNow;
    this.#seen = true;
    const keptBefore = this.#keptBytes;
    this.#parsing = true;
    const used = this.#parser.execute(chunk, start, end, this.#owner.context.turn.arena, this);
    this.#parsing = false;
    if (this.#done) return;
    const kept = this.#keptBytes - keptBefore;
    if (this.#parser.error !== null) {
      this.#responseInvalid();
      return;
    }
    if (used < end) this.#parser.keepAlive = false;
    const taken = end - start - kept;
    if (taken > 0) stream.consume(taken);
    if (this.#complete) this.#settleStream();
    if (this.#finishAfterParsing) this.#finish(this.#parser.status, null);
  }

  streamOnEnd(stream: Stream): void {
    if (this.#done || stream !== this.#stream || this.#complete) return;
    if (!this.#parser.finish(this)) {
      this.#streamFailed(false);
      return;
    }
    this.#parser.keepAlive = false;
    if (!this.#done) this.#settleStream();
  }

  streamOnWritable(_stream: Stream): void {
    this.#in.writable();
  }

  streamOnClose(stream: Stream, error: Error | null): void {
    if (stream !== this.#stream) return;
    this.#stream = null;
    if (this.#done || this.#complete) {
      this.#in.stop();
      return;
    }
    if (error instanceof ClosedError && error.code === "ERR_MUX_RECV_BUFFER_FULL") {
      // Our own doing: too much is held for slow clients. Sending it again would not help.
      this.fail(relayError("ERR_RELAY_OVERLOADED", { retryAfter: 1, cause: error }));
      return;
    }
    this.#streamFailed(error instanceof ClosedError && error.retriable);
  }

  responseOnHead(): void {
    this.#headSeen = true;
    this.#activeAt = this.#owner.coarseNow;
    // The session has just noted when the message came.
    this.#firstByteAt = this.#stream?.session.lastReceivedAt ?? this.#owner.context.clock.now();
    this.#head = "";
    this.#queueTask();
  }

  responseOnBody(chunk: Uint8Array, start: number, end: number): void {
    this.#bytesOut += end - start;
    if (this.#out.begun && this.#parser.contentLength >= 0 && this.#run.length === 0) {
      // A piece of a running response goes straight from the received message to the client's socket.
      this.#out.push(chunk, start, end);
      return;
    }
    this.#run.append(this.#owner.context.turn.arena, chunk, start, end);
    this.#queueTask();
  }

  responseOnEnd(): void {
    this.#complete = true;
    // With the head still to be written the end of the turn does it all.
    if (this.#out.begun && this.#run.length === 0) this.#out.end();
  }

  /** Body bytes received and not yet taken by the client. The run of this turn is not kept: it leaves with the turn. */
  get #keptBytes(): number {
    return this.#out.pendingBytes + this.#run.length;
  }

  turnRun(): void {
    this.#taskQueued = false;
    const res = this.#res;
    if (this.#done || res === null) return;
    // The task may have been queued by an earlier request that ended within the same turn.
    if (!this.#headSeen && this.#error === null) return;
    corked = this;
    res.cork(answerCorked);
    corked = null;
  }

  /** Writes what this turn brought. Runs corked. */
  answer(): void {
    const res = this.#res;
    const route = this.route;
    if (res === null || route === null) return;
    if (this.#error !== null) {
      this.#answerError(res, this.#error, route.requestId);
      return;
    }
    const { arena } = this.#owner.context.turn;
    const body = this.#run.view(arena);
    const { length } = body;
    this.#run.clear();
    if (this.#out.begun) {
      const taken = this.#out.push(body, 0, length);
      this.#taken(taken);
      if (this.#complete) this.#out.end();
      return;
    }
    const head = this.#parser.headText(arena);
    const { draining } = this.#owner.context;
    if (this.#complete && !keepsUntaken(length, this.serial, draining)) {
      this.#taken(length);
      // An early answer: what is still to come of the request is read and dropped. To end the connection over unread
      // bytes would reset it, and the reset can overtake the answer.
      this.#in.stop();
      const bodiless = this.#parser.bodyKind === BodyKind.NONE;
      const close = draining && this.#in.complete;
      this.#out.whole(head, bodiless ? null : body, this.#parser.contentLength, close);
      return;
    }
    const declared = this.#complete ? length : this.#parser.contentLength;
    this.#taken(this.#out.begin(head, declared, body));
    if (this.#complete) this.#out.end();
  }

  #answerError(res: HttpResponse, error: HttpError, requestId: string): void {
    this.#out.detach();
    this.#res = null;
    answerProblem(res, error, requestId, this.route?.method === "HEAD");
    this.#finish(error.status, error);
  }

  /** The client is let go on while uWS still allows it: nothing of its body is needed any more. */
  outOnLast(): void {
    this.#in.stop();
  }

  outOnTaken(n: number): void {
    this.#activeAt = this.#owner.coarseNow;
    this.#taken(n);
  }

  outOnFinished(): void {
    this.#res = null;
    if (this.#parsing) this.#finishAfterParsing = true;
    else this.#finish(this.#parser.status, null);
  }

  /** The request body's next piece came or left: the exchange is alive. */
  requestOnActivity(): void {
    this.#activeAt = this.#owner.coarseNow;
  }

  /** The stream went away under a write of the body. */
  requestOnStreamGone(): void {
    if (!this.#done && !this.#complete) this.#streamFailed(false);
  }

  /** Credit for body bytes that the client took. */
  #taken(n: number): void {
    const stream = this.#stream;
    if (stream === null) return;
    if (n > 0) stream.consume(n);
    if (this.#complete && !this.#done) this.#settleStream();
  }

  #aborted(): void {
    this.#res = null;
    this.#out.detach();
    // Not `stop`: it would resume the client, and uWS throws on every use of a response that was aborted.
    this.#in.detach();
    if (this.#done) return;
    this.#dropStream();
    this.#finish(CLIENT_GONE, relayError("ERR_RELAY_CLIENT_GONE"));
  }

  /** Answers with an error if the head is still to be written, else cuts the client's connection. */
  fail(error: HttpError): void {
    if (this.#done) return;
    this.#dropStream();
    this.#in.stop();
    if (this.#out.begun || this.#complete) {
      this.#cutClient();
      return;
    }
    this.#error = error;
    this.#run.clear();
    this.#queueTask();
  }

  #responseInvalid(): void {
    const cause = this.#parser.error;
    this.#owner.context.log.warn(
      { device: this.route?.deviceId, code: cause?.code },
      "response of device refused",
    );
    this.fail(relayError("ERR_RELAY_RESPONSE_INVALID", { cause }));
  }

  /**
   * The stream ended before the message did.
   *
   * @param refused the device never took the request: repeating it is safe whatever its method
   */
  #streamFailed(refused: boolean): void {
    if (this.#done) return;
    const cutOff = this.tunnel?.isCutOff === true;
    if (this.#repeatable && !cutOff && (refused || this.#idempotent)) {
      this.#dropStream();
      this.#in.unbind();
      this.#leaveTunnel();
      this.#retried = true;
      this.#owner.context.metrics.retried();
      this.#owner.exchangeOnRetry(this);
      return;
    }
    const code = refused ? "ERR_RELAY_OPEN_REFUSED" : "ERR_RELAY_DEVICE_LOST";
    this.fail(relayError(code));
  }

  #cutClient(): void {
    const res = this.#res;
    this.#res = null;
    this.#out.detach();
    this.#finish(this.#parser.status, relayError("ERR_RELAY_MID_STREAM"));
    res?.close();
  }

  /** Limits by silence: called once a second by the owner with a fresh time. */
  sweep(now: number): void {
    if (this.#done) return;
    const { options } = this.#owner.context;
    const silent = now - this.#activeAt;
    // Without a stream it waits for its device, in the bounds of the hold, or is whole and waits for its client.
    if (this.#stream === null && !this.#complete) return;
    if (!this.#headSeen && this.#in.complete) {
      if (silent > options.firstByteTimeoutMs)
        this.fail(relayError("ERR_RELAY_FIRST_BYTE_TIMEOUT"));
    } else if (silent > options.idleTimeoutMs) {
      this.fail(relayError(this.#headSeen ? "ERR_RELAY_MID_STREAM" : "ERR_RELAY_REQUEST_TIMEOUT"));
    }
  }

  /** Keeps uWS from aborting a slow client: see `RequestIn.keepAwake`. */
  keepRequestAwake(): void {
    if (!this.#done) this.#in.keepAwake();
  }

  /** The same for a client that takes its response slowly: see `ResponseOut.keepAwake`. */
  keepResponseAwake(): void {
    if (!this.#done) this.#out.keepAwake();
  }

  /** The message is over: the stream goes back to the pool, or is ended. */
  #settleStream(): void {
    const stream = this.#stream;
    const tunnel = this.tunnel;
    if (stream === null || tunnel === null || stream.closed || this.#keptBytes > 0) return;
    this.#stream = null;
    if (!this.#in.complete) {
      // An early answer: no more of the body is sent, and nobody waits for credit.
      this.#in.stop();
      tunnel.spendStream(stream, true);
    } else if (this.#parser.keepAlive && !stream.remoteEnded) {
      tunnel.putIdle(stream, this.#parser.keepAliveTimeoutMs);
    } else {
      tunnel.spendStream(stream, false);
    }
  }

  #dropStream(): void {
    const stream = this.#stream;
    this.#stream = null;
    if (stream !== null && !stream.closed) stream.reset();
  }

  #leaveTunnel(): void {
    if (this.tunnel !== null) this.tunnel.inFlight -= 1;
    this.tunnel = null;
  }

  #queueTask(): void {
    if (this.#taskQueued) return;
    this.#taskQueued = true;
    this.#owner.context.turn.addTask(this);
  }

  #finish(status: number, error: HttpError | null): void {
    if (this.#done) return;
    this.#done = true;
    this.serial += 1;
    const stream = this.#stream;
    if (stream !== null) {
      this.#run.clear();
      this.#out.detach();
      if (this.#complete && !stream.closed) {
        // uWS holds the rest of the body, at most a window of it, and sends it by itself.
        if (stream.unconsumed > 0) stream.consume(stream.unconsumed);
        this.#settleStream();
      } else {
        this.#dropStream();
      }
    }
    if (this.route !== null) {
      const { context } = this.#owner;
      const stage = error === null ? null : error.stage;
      const totalMs = Math.max(context.turn.now, this.#firstByteAt) - this.#startedAt;
      const firstByteMs = this.#firstByteAt === 0 ? -1 : this.#firstByteAt - this.#startedAt;
      const { bytes } = this.#in;
      recordExchange(
        context,
        this.route,
        status,
        stage,
        bytes,
        this.#bytesOut,
        firstByteMs,
        totalMs,
      );
    }
    this.#leaveTunnel();
    this.#head = "";
    this.#in.detach();
    this.#owner.exchangeOnDone(this);
  }
}
