import type { IncomingMessage, ServerResponse } from "node:http";
import type { Asker, Principal } from "./ports.ts";
import { type ReplyHeaders, setHeaders } from "./reply.ts";
import type { Route } from "./route.ts";

const NOT_CACHED = { "cache-control": "no-store" };

/** One request and its answer, as far as the pipeline has come with it. */
export class Exchange implements Asker {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly requestId: string;
  readonly address: string;
  readonly userAgent: string;
  readonly method: string;
  readonly startedAt: number;
  readonly bytesWrittenBefore: number;
  /** Bytes that the connection had taken when the answer was over. */
  bytesWritten = 0;
  /** As decided, without the tail; "" before that. */
  path = "";
  route: Route | null = null;
  principal: Principal | null = null;
  /** The problem that was answered, "" for none. */
  code = "";
  #baseHeaders: ReplyHeaders = {};
  /** True while the client waits for 100 before it sends the body. */
  awaitsContinue: boolean;
  readonly #abort = new AbortController();

  constructor(
    request: IncomingMessage,
    response: ServerResponse,
    named: { requestId: string; address: string; startedAt: number; awaitsContinue: boolean },
  ) {
    this.request = request;
    this.response = response;
    this.requestId = named.requestId;
    this.address = named.address;
    this.userAgent = (request.headers["user-agent"] ?? "").slice(0, 256);
    this.method = request.method ?? "";
    this.startedAt = named.startedAt;
    this.bytesWrittenBefore = request.socket.bytesWritten;
    this.awaitsContinue = named.awaitsContinue;
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Fields of every answer to this request, errors included. */
  get baseHeaders(): ReplyHeaders {
    return this.#baseHeaders;
  }

  /** Adds to {@link baseHeaders}, and sets them on the response, whose head is not sent. */
  addHeaders(headers: ReplyHeaders): void {
    this.#baseHeaders = { ...this.#baseHeaders, ...headers };
    setHeaders(this.response, headers);
  }

  /**
   * Issues the login cookie anew with whatever is answered, however late that is: `fresh` is asked when the head is
   * written, streams of a handler included, and an answer that sets a cookie of its own keeps it.
   */
  issueCookie(fresh: () => string | null): void {
    const { response } = this;
    const writeHead = response.writeHead;
    response.writeHead = ((...head: Parameters<typeof writeHead>) => {
      const cookie = response.hasHeader("set-cookie") ? null : fresh();
      if (cookie !== null) setHeaders(response, { "set-cookie": cookie, ...NOT_CACHED });
      return writeHead.apply(response, head);
    }) as typeof writeHead;
  }

  /** Whether nothing can be answered any more. */
  get isOver(): boolean {
    return this.response.writableEnded || this.response.destroyed;
  }

  /** Lets a client that waits for 100 send its body. */
  goOn(): void {
    if (this.awaitsContinue) this.response.writeContinue();
    this.awaitsContinue = false;
  }

  /** The response is over, complete or cut. */
  ended(): void {
    this.bytesWritten = this.request.socket.bytesWritten;
    if (!this.response.writableFinished) this.#abort.abort();
  }
}
