import type { IncomingMessage, ServerResponse } from "node:http";
import type { Logger } from "pino";
import type { Dispatcher } from "undici";
import { apiError, unauthenticated } from "../errors.ts";
import { type Reply, TAKEN } from "../reply.ts";
import { forwardError } from "./errors.ts";
import { answerNames } from "./field-names.ts";
import { type DevicePlace, ownLocation } from "./location.ts";

/** What the relay adds to every answer of a device, and never to one of its own; a device cannot take it away. */
const VIA_RELAY = "1.1 hawser";
/** No script, no form, an origin of its own; and no page of others around it. */
const DEVICE_CSP = "sandbox; frame-ancestors 'none'";
/** Fields of the relay's own answers that a client is to see. */
const RELAY_FIELDS: ReadonlySet<string> = new Set([
  "content-type",
  "content-length",
  "retry-after",
  "allow",
]);

/** What {@link ForwardExchange} is made from. */
export interface ForwardExchangeOptions {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly place: DevicePlace;
  /** Target as the device sees it. */
  readonly target: string;
  readonly logger: Logger;
}

/**
 * One request to a device on its way over the relay, and the answer back. Neither is gathered: each side is as fast as the
 * slower end lets it be. An answer that breaks off cuts the client's connection; a client that leaves ends the request.
 *
 * It is the handler of its own dispatch, in the form that gives fields as the bytes that came.
 */
export class ForwardExchange implements Dispatcher.DispatchHandler {
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #place: DevicePlace;
  readonly #target: string;
  readonly #logger: Logger;
  #abort: ((error?: Error) => void) | null = null;
  #resume: (() => void) | null = null;
  #resolve: (reply: Reply) => void = () => {};
  #reject: (error: unknown) => void = () => {};
  /** Set once the request ended by our own doing. */
  #isCut = false;
  #isOver = false;
  /** Called once when nothing is under way any more. */
  onOver: () => void = () => {};

  constructor({ request, response, place, target, logger }: ForwardExchangeOptions) {
    this.#logger = logger;
    this.#request = request;
    this.#response = response;
    this.#place = place;
    this.#target = target;
  }

  /** Sends the request. Resolves when the answer has begun; rejects with an ApiError where it does not come to that. */
  send(dispatcher: Dispatcher, options: Dispatcher.DispatchOptions): Promise<Reply> {
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
      this.#response.on("close", () => this.#clientGone());
      this.#response.on("drain", () => this.#resume?.());
      dispatcher.dispatch(options, this);
    });
  }

  /** Whoever asked is let in no longer: ends it now. */
  cut(): void {
    if (this.#isOver) return;
    this.#isCut = true;
    if (this.#response.headersSent) this.#request.socket.destroy();
    else this.#reject(unauthenticated(true));
    this.#end(new Error("the caller is let in no longer"));
  }

  #clientGone(): void {
    if (this.#isOver) return;
    this.#isCut = true;
    this.#resolve(TAKEN);
    this.#end(new Error("the client is gone"));
  }

  /** Ends what is under way at the relay. */
  #end(error: Error): void {
    if (this.#isOver) return;
    this.#abort?.(error);
    this.#over();
  }

  #over(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#resume = null;
    this.onOver();
  }

  onConnect(abort: (error?: Error) => void): void {
    this.#abort = abort;
    if (this.#isCut) abort(new Error("ended before it began"));
  }

  onHeaders(status: number, raw: Buffer[], resume: () => void): boolean {
    if (status < 200 || this.#isOver) return true;
    this.#resume = resume;
    const response = this.#response;
    const fields = textOf(raw);
    try {
      if (isFromDevice(fields)) this.#answerOfDevice(status, fields);
      else this.#answerOfRelay(status, fields);
    } catch (error) {
      // A field that node:http does not send, or the relay's own refusal of us.
      this.#reject(
        error instanceof TypeError ? forwardError("relay_answer", { cause: error }) : error,
      );
      this.#end(new Error("the answer cannot be passed on"));
      return true;
    }
    // A small body comes with the head, and leaves with it; one that takes its time does not hold the head back.
    process.nextTick(() => {
      if (!this.#isOver && !response.headersSent) response.flushHeaders();
    });
    this.#resolve(TAKEN);
    return true;
  }

  onData(chunk: Buffer): boolean {
    return this.#isOver || this.#response.write(chunk);
  }

  /** Trailers are dropped: nothing says what they would mean to whoever reads them. */
  onComplete(): void {
    if (this.#isOver) return;
    this.#response.end();
    this.#over();
  }

  onError(error: Error): void {
    if (this.#isOver) return;
    if (this.#response.headersSent) this.#request.socket.destroy();
    else this.#reject(this.#failure(error));
    this.#over();
  }

  #failure(error: Error & { readonly code?: string }): Error {
    // The client broke its own body off.
    if (this.#request.errored !== null) return apiError("bad_request", { cause: error });
    switch (error.code) {
      case "UND_ERR_HEADERS_OVERFLOW":
      case "UND_ERR_RES_EXCEEDED_MAX_SIZE":
        return forwardError("relay_answer", { cause: error });
      default:
        if (error.code?.startsWith("HPE_")) return forwardError("relay_answer", { cause: error });
        this.#logger.debug({ code: error.code }, "the relay cannot be reached");
        return forwardError("relay_unavailable", { retryAfter: 1, cause: error });
    }
  }

  #answerOfDevice(status: number, fields: readonly string[]): void {
    const response = this.#response;
    response.statusCode = status;
    for (let at = 0; at < fields.length; at += 2) {
      const name = fields[at] ?? "";
      if (answerNames.passes(name)) response.appendHeader(name, fields[at + 1] ?? "");
      else this.#checkLocation(name.toLowerCase(), fields[at + 1] ?? "");
    }
    response.setHeader("content-security-policy", DEVICE_CSP);
  }

  #checkLocation(name: string, value: string): void {
    if (name !== "location" && name !== "content-location") return;
    const own = ownLocation(value, this.#target, this.#place);
    if (own !== null) this.#response.setHeader(name, own);
  }

  /** The relay's own problem, as it is; but that it does not know our secret is nothing that a client could mend. */
  #answerOfRelay(status: number, fields: readonly string[]): void {
    if (status === 401) {
      this.#logger.error("the relay refuses our internal secret: it has another one");
      throw forwardError("relay_unavailable", { retryAfter: 1 });
    }
    const response = this.#response;
    response.statusCode = status;
    for (let at = 0; at < fields.length; at += 2) {
      const name = (fields[at] ?? "").toLowerCase();
      if (RELAY_FIELDS.has(name)) response.setHeader(name, fields[at + 1] ?? "");
    }
  }
}

/** Names and values in turn; a character is one byte. */
function textOf(raw: readonly Buffer[]): string[] {
  return raw.map((bytes) => bytes.toString("latin1"));
}

/** The relay's own line is the last of its name. */
function isFromDevice(fields: readonly string[]): boolean {
  for (let at = fields.length - 2; at >= 0; at -= 2) {
    if ((fields[at] ?? "").toLowerCase() === "via") return fields[at + 1] === VIA_RELAY;
  }
  return false;
}
