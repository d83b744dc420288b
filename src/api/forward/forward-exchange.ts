import type { Logger } from "pino";
import { type ByteAnswerUser, HeadStart } from "../byte-answer.ts";
import type { Running } from "../context.ts";
import { apiError, unauthenticated } from "../errors.ts";
import type {
  AnswerHead,
  RelayConnection,
  RelayConnections,
  RelayExchange,
  RelayFault,
} from "../relay-http/index.ts";
import { hasBody } from "../request-fields.ts";
import type { Call } from "../route.ts";
import { type ToldHead, toldOf } from "./device-answer.ts";
import { forwardError } from "./errors.ts";
import { type DevicePlace, ownLocation } from "./location.ts";
import { RequestBody } from "./request-body.ts";

/** Methods whose request may be sent again where nobody knows whether it arrived. RFC 9110, section 9.2.2. */
const IDEMPOTENT: ReadonlySet<string> = new Set(["GET", "HEAD", "PUT", "DELETE"]);

/** What {@link ForwardExchange} is made from. */
export interface ForwardExchangeOptions {
  /** By what the endings know in whose name it runs. */
  readonly ref: string;
  readonly call: Pick<Call, "request" | "method" | "answer" | "fail">;
  readonly place: DevicePlace;
  /** Target as the device sees it. */
  readonly target: string;
  /** The whole head of the request to the relay. */
  readonly head: string;
  readonly connections: RelayConnections;
  readonly logger: Logger;
  /** Called once when nothing is under way any more. */
  readonly onOver: () => void;
}

/**
 * One request to a device on its way over the relay, and the answer back. Neither is gathered: each side is as fast as the
 * slower end lets it be. An answer that breaks off cuts the client's connection; a client that leaves ends the request.
 */
export class ForwardExchange implements RelayExchange, ByteAnswerUser, Running {
  readonly ref: string;
  readonly takesChunks: boolean;
  readonly #options: ForwardExchangeOptions;
  readonly #hasBody: boolean;
  #connection: RelayConnection | null = null;
  #body: RequestBody | null = null;
  #isOver = false;

  constructor(options: ForwardExchangeOptions) {
    const { answer, request } = options.call;
    this.ref = options.ref;
    this.#options = options;
    this.#hasBody = hasBody(request);
    this.takesChunks = answer.takesChunks;
    answer.take(this);
  }

  /** Sends the request. */
  send(): void {
    this.#sendOn(this.#options.connections.take());
  }

  /** Whoever asked is let in no longer: ends it now. */
  cut(): void {
    this.#fail(unauthenticated(true));
  }

  relayOnWhole(head: AnswerHead, body: string): void {
    this.#connection = null;
    const start = this.#startOf(head);
    if (start !== null) this.#options.call.answer.whole(start, body);
    this.#over();
  }

  relayOnHead(head: AnswerHead): void {
    const start = this.#startOf(head);
    if (start !== null) this.#options.call.answer.begin(start);
  }

  relayOnBody(bytes: Buffer, start: number, end: number): boolean {
    if (this.#isOver) return false;
    const { answer } = this.#options.call;
    if (!answer.write(bytes.subarray(start, end))) this.#connection?.pause();
    return answer.isWaiting;
  }

  relayOnEnd(): void {
    this.#connection = null;
    if (!this.#isOver) this.#options.call.answer.end();
    this.#over();
  }

  relayOnDrain(): void {
    this.#body?.drained();
  }

  relayOnFault(fault: RelayFault, cause: Error): void {
    const connection = this.#connection;
    this.#connection = null;
    if (this.#isOver) return;
    const mayRepeat = IDEMPOTENT.has(this.#options.call.method) && !this.#hasBody;
    const isOpen = this.#options.call.answer.isOpen;
    if (fault === "lost" && connection?.isReused === true && mayRepeat && isOpen) {
      // The relay had closed it before the request came there. A new one cannot be closed for that.
      this.#sendOn(this.#options.connections.open());
      return;
    }
    this.#fail(this.#failure(fault, cause));
  }

  answerOnDrain(): void {
    this.#connection?.resume();
  }

  answerOnClose(): void {
    this.#end();
  }

  #sendOn(connection: RelayConnection): void {
    const { call, head } = this.#options;
    this.#connection = connection;
    connection.send(head, this, call.method === "HEAD", this.#hasBody);
    if (this.#hasBody) this.#body = new RequestBody(call.request, connection);
  }

  /** How the answer begins; null where there is none to be given, or another one was. */
  #startOf(head: AnswerHead): HeadStart | null {
    const { call, logger } = this.#options;
    if (this.#isOver || !call.answer.isOpen) {
      this.#end();
      return null;
    }
    const told = toldOf(head);
    const { start, places } = told;
    if (!told.isFromDevice && head.status === 401) {
      // That the relay does not know our secret is nothing that a client could mend.
      logger.error("the relay refuses our internal secret: it has another one");
      this.#fail(forwardError("relay_unavailable", { retryAfter: 1 }));
      return null;
    }
    if (places.length === 0) return start;
    return new HeadStart(start.status, start.lines + this.#placesOf(told), start.policy, start);
  }

  #placesOf({ places }: ToldHead): string {
    let lines = "";
    for (const { name, value } of places) {
      const own = ownLocation(value, this.#options.target, this.#options.place);
      if (own !== null) lines += `${name}: ${own}\r\n`;
    }
    return lines;
  }

  /** Tells the client where an answer has not begun; else cuts it off. */
  #fail(error: Error): void {
    if (this.#isOver) return;
    const { call } = this.#options;
    this.#end();
    if (call.answer.isOpen) call.fail(error);
    else call.answer.cut();
  }

  #failure(fault: RelayFault, cause: Error): Error {
    const { call, logger } = this.#options;
    // The client broke its own body off.
    if (call.request.errored !== null) return apiError("bad_request", { cause });
    if (fault === "malformed") return forwardError("relay_answer", { cause });
    const isUnsafe = call.method !== "GET" && call.method !== "HEAD";
    if (fault === "lost" && isUnsafe) return forwardError("relay_lost", { cause });
    logger.debug({ fault, reason: cause.message }, "the relay cannot be reached");
    return forwardError("relay_unavailable", { retryAfter: 1, cause });
  }

  /** Ends what is under way at the relay. */
  #end(): void {
    this.#connection?.destroy();
    this.#connection = null;
    this.#over();
  }

  #over(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#body?.stop();
    this.#options.onOver();
  }
}
