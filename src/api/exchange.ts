import type { IncomingMessage, ServerResponse } from "node:http";
import { type AnsweredRequest, ByteAnswer, type FixedLines } from "./byte-answer.ts";
import type { Asker, Passed, Principal } from "./ports.ts";
import { type ReplyHeaders, setHeaders } from "./reply.ts";
import type { Route } from "./route.ts";

const NOT_CACHED = { "cache-control": "no-store" };

/** Fields of all answers of a listener, by name and as they stand in a head. */
export interface FixedFields {
  readonly headers: ReplyHeaders;
  readonly lines: FixedLines;
}

/** What is known of a request when it begins. */
export interface ExchangeFacts {
  readonly requestId: string;
  readonly address: string;
  readonly startedAt: number;
  readonly awaitsContinue: boolean;
  readonly fixed: FixedFields;
}

/** One request and its answer, as far as the pipeline has come with it. */
export class Exchange implements Asker, AnsweredRequest {
  readonly request: IncomingMessage;
  readonly requestId: string;
  readonly address: string;
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
  /** True while the client waits for 100 before it sends the body. */
  awaitsContinue: boolean;
  readonly #response: ServerResponse;
  readonly #fixed: FixedFields;
  /** Fields of this answer alone, beside its id and what its gate says; null for none. */
  #own: Record<string, string | readonly string[]> | null = null;
  #passed: Passed | null = null;
  /** The fields are set on the response. */
  #isPrepared = false;
  #freshCookie: (() => string | null) | null = null;
  #answer: ByteAnswer | null = null;
  #abort: AbortController | null = null;
  #isCut = false;

  constructor(request: IncomingMessage, response: ServerResponse, facts: ExchangeFacts) {
    this.request = request;
    this.#response = response;
    this.requestId = facts.requestId;
    this.address = facts.address;
    this.method = request.method ?? "";
    this.startedAt = facts.startedAt;
    this.bytesWrittenBefore = request.socket.bytesWritten;
    this.awaitsContinue = facts.awaitsContinue;
    this.#fixed = facts.fixed;
  }

  get userAgent(): string {
    return (this.request.headers["user-agent"] ?? "").slice(0, 256);
  }

  /** The response; the fields of every answer are not set on it yet. */
  get response(): ServerResponse {
    return this.#response;
  }

  /** The response with the fields of every answer set on it, for whoever writes it. */
  get preparedResponse(): ServerResponse {
    if (!this.#isPrepared) this.#prepare();
    return this.#response;
  }

  #prepare(): void {
    this.#isPrepared = true;
    setHeaders(this.#response, this.#fixed.headers);
    this.#response.setHeader("x-request-id", this.requestId);
    if (this.#passed !== null) setHeaders(this.#response, this.#passed.headers);
    if (this.#own !== null) setHeaders(this.#response, this.#own);
  }

  /** The answer for a handler that has its bytes. */
  get answer(): ByteAnswer {
    this.#answer ??= new ByteAnswer(this);
    return this.#answer;
  }

  get fixedLines(): FixedLines {
    return this.#fixed.lines;
  }

  /** Aborted when the client goes away or the server cuts the request. */
  get signal(): AbortSignal {
    if (this.#abort === null) {
      this.#abort = new AbortController();
      if (this.#isCut) this.#abort.abort();
    }
    return this.#abort.signal;
  }

  /** Adds to the fields of every answer to this request, errors included. The head is not sent. */
  addHeaders(headers: ReplyHeaders): void {
    this.#own = { ...this.#own, ...headers };
    if (this.#isPrepared) setHeaders(this.#response, headers);
  }

  /** The same with what the gate says. */
  setPassed(passed: Passed): void {
    this.#passed = passed;
    if (this.#isPrepared) setHeaders(this.#response, passed.headers);
  }

  /** For an error in place of the answer that was begun: sets the fields of every answer, and no others. */
  resetHeaders(): void {
    const response = this.#response;
    for (const name of response.getHeaderNames()) {
      if (name !== "connection") response.removeHeader(name);
    }
    this.#prepare();
  }

  ownLines(): string {
    const own = this.#own;
    const cookie = own?.["set-cookie"] === undefined ? this.#freshCookie?.() : null;
    let lines = typeof cookie === "string" ? `set-cookie: ${cookie}\r\n` : "";
    lines += `x-request-id: ${this.requestId}\r\n${this.#passed?.lines ?? ""}`;
    for (const name in own) {
      const value = own[name];
      if (typeof value === "string") lines += `${name}: ${value}\r\n`;
      else for (const each of value ?? []) lines += `${name}: ${each}\r\n`;
    }
    return lines;
  }

  /**
   * Issues the login cookie anew with whatever is answered, however late that is: `fresh` is asked when the head is
   * written, streams of a handler included, and an answer that sets a cookie of its own keeps it.
   */
  issueCookie(fresh: () => string | null): void {
    const response = this.#response;
    this.#freshCookie = fresh;
    const writeHead = response.writeHead;
    response.writeHead = ((...head: Parameters<typeof writeHead>) => {
      const cookie = response.hasHeader("set-cookie") ? null : fresh();
      if (cookie !== null) setHeaders(response, { "set-cookie": cookie, ...NOT_CACHED });
      return writeHead.apply(response, head);
    }) as typeof writeHead;
  }

  /** Whether nothing can be answered any more. */
  get isOver(): boolean {
    return this.#response.writableEnded || this.#response.destroyed;
  }

  /** Lets a client that waits for 100 send its body. */
  goOn(): void {
    if (this.awaitsContinue) this.#response.writeContinue();
    this.awaitsContinue = false;
  }

  /** The response is over, complete or cut. */
  ended(): void {
    this.bytesWritten = this.request.socket.bytesWritten;
    this.#isCut = !this.#response.writableFinished;
    if (this.#isCut) this.#abort?.abort();
    this.#answer?.closed();
  }
}
