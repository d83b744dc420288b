import { type IncomingMessage, type ServerResponse, STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import { isBodiless } from "../core/http1/rules.ts";
import { atTurnEnd, type TurnWriter } from "../core/turn-end.ts";

/** Fields of all answers of a listener, as they stand in a head. */
export interface FixedLines {
  /** Without `Content-Security-Policy`, each with its CR LF. */
  readonly lines: string;
  /** The policy of answers that are ours. */
  readonly policy: string;
  /** What tells a client that the connection serves on, and for how long. */
  readonly keepAlive: string;
}

/** How an answer says where it ends. */
export interface AnswerFraming {
  /** -1 where it is not known. */
  readonly contentLength: number;
  readonly isChunked: boolean;
}

/** Who writes a {@link ByteAnswer}. */
export interface ByteAnswerUser {
  /** More bytes are taken. */
  answerOnDrain(): void;
  /** The answer is over: whole, cut, or the client is gone. */
  answerOnClose(): void;
}

/** What of a request its answer is made with. */
export interface AnsweredRequest {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly fixedLines: FixedLines;
  /** Fields of this answer alone, as they stand in a head. */
  ownLines(): string;
}

const NO_CONTENT = 204;

/** How the head of an answer begins: the same each time that a device says the same. */
export class HeadStart implements AnswerFraming {
  readonly status: number;
  /** Fields, each with its CR LF, without framing and without what every answer has; checked by the caller. */
  readonly lines: string;
  /** `Content-Security-Policy`; null for that of our own answers. */
  readonly policy: string | null;
  readonly contentLength: number;
  readonly isChunked: boolean;
  #text = "";
  /** What `#text` was made with. */
  #fixed: FixedLines | null = null;

  constructor(status: number, lines: string, policy: string | null, framing: AnswerFraming) {
    this.status = status;
    this.lines = lines;
    this.policy = policy;
    this.contentLength = framing.contentLength;
    this.isChunked = framing.isChunked;
  }

  /** Up to the fields of one answer alone, for a client that reads the chunked coding. */
  text(fixed: FixedLines): string {
    if (this.#fixed === fixed) return this.#text;
    const { contentLength, isChunked } = this;
    let framed = "";
    if (contentLength >= 0) framed = this.status === NO_CONTENT ? "" : lengthLine(contentLength);
    else if (isChunked) framed = CHUNKED;
    this.#fixed = fixed;
    // In one piece: a text that was put together is copied anew by each answer that it is part of.
    this.#text = Buffer.from(this.#with(framed, fixed), "latin1").toString("latin1");
    return this.#text;
  }

  /** The same for an answer without a body, or for a client that does not read the chunked coding. */
  unchunkedText(fixed: FixedLines): string {
    return this.contentLength >= 0 ? this.text(fixed) : this.#with("", fixed);
  }

  #with(framed: string, fixed: FixedLines): string {
    const reason = STATUS_CODES[this.status] ?? "Unknown";
    return `HTTP/1.1 ${this.status} ${reason}\r\n${this.lines}${framed}${fixed.lines}content-security-policy: ${this.policy ?? fixed.policy}\r\n`;
  }
}

const CHUNKED = "transfer-encoding: chunked\r\n";

/**
 * An answer whose bytes its handler has: the head is one text, the body passes as it is, and an answer that is there as a
 * whole leaves in one write. To node:http it is an answer as any other: what it says of itself (`headersSent`,
 * `writableEnded`, `writableFinished`) holds, and its end makes way for the connection's next request.
 */
export class ByteAnswer implements TurnWriter {
  readonly #request: IncomingMessage;
  readonly #response: NodeResponse;
  readonly #answered: AnsweredRequest;
  #user: ByteAnswerUser | null = null;
  /** What was written while earlier answers of the connection were not out. */
  #early: (string | Buffer)[] | null = null;
  #isLast = false;
  /** A whole answer that leaves at the end of the turn. */
  #whole = "";

  constructor(answered: AnsweredRequest) {
    this.#answered = answered;
    this.#request = answered.request;
    this.#response = answered.response as NodeResponse;
  }

  /** Takes the answer over. Who is told of its drain and its end. */
  take(user: ByteAnswerUser): void {
    this.#user = user;
  }

  /** False once something was answered, or can be answered no more. */
  get isOpen(): boolean {
    const { headersSent, writableEnded, destroyed } = this.#response;
    return !headersSent && !writableEnded && !destroyed;
  }

  /** The client reads the chunked coding. */
  get takesChunks(): boolean {
    const { httpVersionMajor, httpVersionMinor } = this.#request;
    return httpVersionMajor === 1 && httpVersionMinor >= 1;
  }

  /** Bytes that were written wait for the client: their memory is still needed. */
  get isWaiting(): boolean {
    return this.#early !== null || (this.#response.socket?.writableLength ?? 0) > 0;
  }

  /**
   * A whole answer. It leaves at the end of the turn.
   *
   * @param body one character a byte, framed as `start` says
   */
  whole(start: HeadStart, body: string): void {
    this.#whole = this.#head(start) + body;
    this.#response.finished = true;
    atTurnEnd(this);
  }

  flush(): void {
    const whole = this.#whole;
    this.#whole = "";
    if (this.#response.destroyed) return;
    this.#write(whole);
    this.end();
  }

  /** The head of an answer that goes on with {@link write} and {@link end}. */
  begin(start: HeadStart): void {
    this.#write(this.#head(start));
  }

  /** False where {@link ByteAnswerUser.answerOnDrain} is to be waited for. See {@link isWaiting} for whose the bytes are. */
  write(bytes: Buffer): boolean {
    return this.#write(bytes);
  }

  /** The answer is whole. It is over when the client's socket has taken it. */
  end(): void {
    const { socket } = this.#response;
    this.#response.finished = true;
    if (this.#early !== null || socket === null) return;
    if (socket.writableLength === 0) this.#finish(socket);
    else socket.write("", () => this.#finish(socket));
  }

  /** Cuts the client's connection: nothing that was begun may be taken for whole. */
  cut(): void {
    this.#request.socket.destroy();
  }

  /** Told by the server when the response is over. */
  closed(): void {
    this.#early = null;
    this.#user?.answerOnClose();
  }

  #head(start: HeadStart): string {
    const { fixedLines } = this.#answered;
    const response = this.#response;
    const { status, contentLength, isChunked } = start;
    const hasNoBody = isBodiless(status, this.#request.method === "HEAD");
    const takesAll = !hasNoBody && this.takesChunks;
    const isEndKnown = contentLength >= 0 || hasNoBody || (isChunked && takesAll);
    const begun = takesAll ? start.text(fixedLines) : start.unchunkedText(fixedLines);
    const isAsked = response.getHeader("connection") === "close";
    this.#isLast = isAsked || !isEndKnown || !response.shouldKeepAlive;
    const connection = this.#isLast ? "connection: close\r\n" : fixedLines.keepAlive;
    const own = this.#answered.ownLines();
    const head = `${begun}${own}${dateLine()}${connection}\r\n`;
    response.statusCode = status;
    // What `headersSent` goes by.
    response._header = head;
    return head;
  }

  #write(bytes: string | Buffer): boolean {
    const { socket } = this.#response;
    if (socket === null || this.#early !== null) {
      this.#waitForTurn().push(bytes);
      return false;
    }
    const isTaken = socket.write(bytes, "latin1");
    if (!isTaken) socket.once("drain", () => this.#user?.answerOnDrain());
    return isTaken;
  }

  /** Answers leave in the order of their requests: this one gets the socket when those before it are out. */
  #waitForTurn(): (string | Buffer)[] {
    if (this.#early !== null) return this.#early;
    this.#early = [];
    // Behind what node:http itself has kept for this response, such as a 100.
    this.#response.once("socket", () => process.nextTick(() => this.#onTurn()));
    return this.#early;
  }

  #onTurn(): void {
    const early = this.#early;
    this.#early = null;
    if (early === null || this.#response.destroyed) return;
    for (const bytes of early) this.#write(bytes);
    if (this.#response.finished) this.end();
    else this.#user?.answerOnDrain();
  }

  /** node:http ends a response, and begins with the next one of the connection, when it says that it is finished. */
  #finish(socket: Socket): void {
    const response = this.#response;
    if (response.destroyed) return;
    response.emit("finish");
    if (this.#isLast) socket.destroySoon();
  }
}

/** What node:http knows of a response that its own methods wrote. */
interface NodeResponse extends Omit<ServerResponse, "socket"> {
  readonly socket: Socket | null;
  /** The head, null before there is one. */
  _header: string | null;
  finished: boolean;
}

function lengthLine(contentLength: number): string {
  return `content-length: ${contentLength}\r\n`;
}

let dateSecond = -1;
let dateText = "";

/** The time of an answer, to the second. */
function dateLine(): string {
  const now = Date.now();
  const second = Math.floor(now / 1_000);
  if (second !== dateSecond) {
    dateSecond = second;
    dateText = `date: ${new Date(now).toUTCString()}\r\n`;
  }
  return dateText;
}
