import { connect as connectTcp, isIP, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { BodyKind, bodyKindOf } from "../../core/http1/rules.ts";
import { atTurnEnd, type TurnWriter } from "../../core/turn-end.ts";
import { AnswerFault } from "./answer-fault.ts";
import type { AnswerHead, AnswerHeads } from "./answer-head.ts";
import { ChunkScanner } from "./chunk-scanner.ts";

/** Why there is no answer, or no more of it. */
export type RelayFault =
  /** Nothing of the request left this process. */
  | "unreachable"
  /** The connection ended; the relay may have taken the request. */
  | "lost"
  /** What came is no answer. */
  | "malformed";

/** Whoever has sent a request on a {@link RelayConnection}. Interim answers and trailers are not told. */
export interface RelayExchange {
  /** Takes the body of a chunked answer as it came, chunk sizes included; else its data alone. */
  readonly takesChunks: boolean;
  /** A whole answer that came at once. @param body one character a byte; chunked where the head says so */
  relayOnWhole(head: AnswerHead, body: string): void;
  /** An answer of which more is to come. */
  relayOnHead(head: AnswerHead): void;
  /**
   * `bytes[start, end)` of its body.
   *
   * @returns true where they are still needed when this returns; else they are borrowed
   */
  relayOnBody(bytes: Buffer, start: number, end: number): boolean;
  /** The answer was whole; the connection is somebody else's now. */
  relayOnEnd(): void;
  /** More of the request's body is taken. */
  relayOnDrain(): void;
  /** Nothing more will come. */
  relayOnFault(fault: RelayFault, cause: Error): void;
}

/** Where a relay is found. */
export interface RelayAddress {
  readonly host: string;
  readonly port: number;
  readonly isTls: boolean;
}

/** Who keeps connections that are free. */
export interface ConnectionOwner {
  readonly heads: AnswerHeads;
  /** The answer is whole, and the connection good for another request. */
  connectionOnFree(connection: RelayConnection): void;
  connectionOnClose(connection: RelayConnection): void;
}

const CONNECT_TIMEOUT_MS = 5_000;
/** A device's head may have 32 KiB, and the relay adds to it. */
const HEAD_BYTES_MAX = 65_536;
const READ_BYTES = 65_536;
/** An answer that comes at once in up to so many bytes is handed on as text, which leaves with its head in one write. */
const WHOLE_BYTES_MAX = 16_384;

/** What all connections read into while they wait for a head: nothing of it is kept when a read has been dealt with. */
const sharedBytes = Buffer.allocUnsafeSlow(READ_BYTES);

/**
 * One kept-alive connection to the relay's internal listener, which serves one request at a time. Bytes that nobody asked
 * for end it, since they would be taken for the next answer.
 */
export class RelayConnection implements TurnWriter {
  /** Milliseconds of its owner's clock; of use while it is free. */
  freeSince = 0;
  /** It has served a request before the one that runs: the relay may have closed it meanwhile. */
  isReused = false;
  readonly #owner: ConnectionOwner;
  readonly #socket: Socket;
  #exchange: RelayExchange | null = null;
  #isHead = false;
  /** The request was sent whole. */
  #isSent = true;
  #isConnected = false;
  /** A request without a body that leaves at the end of the turn; "" for none. */
  #waiting = "";
  /** Beginning of a head that is not whole. */
  #early: Buffer | null = null;
  #head: AnswerHead | null = null;
  /** Bytes of the body that are still to come, where its length is known. */
  #left = 0;
  #chunks: ChunkScanner | null = null;
  /** What it reads into while a body goes on. */
  #ownBytes: Buffer | null = null;

  constructor(address: RelayAddress, owner: ConnectionOwner) {
    this.#owner = owner;
    this.#socket = address.isTls ? this.#openTls(address) : this.#openTcp(address);
    const socket = this.#socket;
    const timer = setTimeout(() => {
      socket.destroy(new Error("the relay cannot be reached in time"));
    }, CONNECT_TIMEOUT_MS).unref();
    socket.once(address.isTls ? "secureConnect" : "connect", () => {
      this.#isConnected = true;
      clearTimeout(timer);
    });
    let cause = new Error("the relay closed the connection");
    socket.on("error", (error) => {
      cause = error;
    });
    socket.on("drain", () => this.#exchange?.relayOnDrain());
    socket.on("close", () => {
      clearTimeout(timer);
      owner.connectionOnClose(this);
      this.#fail(this.#isConnected ? "lost" : "unreachable", cause);
    });
  }

  get isOpen(): boolean {
    return !this.#socket.destroyed && this.#socket.writable;
  }

  /**
   * Sends a request. Where a body follows it goes by {@link write} and {@link endRequest}.
   *
   * @param head whole, up to the empty line; one character a byte
   * @param isHead its method is HEAD: there is no body, whatever the answer's head says
   */
  send(head: string, exchange: RelayExchange, isHead: boolean, hasBody: boolean): void {
    this.#exchange = exchange;
    this.#isHead = isHead;
    this.#isSent = !hasBody;
    if (hasBody) {
      // The first bytes of a body leave with the head where they are there already.
      this.#corkForTurn();
      this.#socket.write(head, "latin1");
    } else {
      this.#waiting = head;
      atTurnEnd(this);
    }
  }

  flush(): void {
    const head = this.#waiting;
    this.#waiting = "";
    if (head !== "" && !this.#socket.destroyed) this.#socket.write(head, "latin1");
  }

  /** Bytes of the request's body. False where {@link RelayExchange.relayOnDrain} is to be waited for. */
  write(bytes: Buffer | string): boolean {
    return this.#socket.write(bytes, "latin1");
  }

  /** The request's body is whole. */
  endRequest(): void {
    this.#isSent = true;
  }

  /** Reads no more of the answer until {@link resume}. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  /** Ends it, and what runs on it. */
  cut(): void {
    this.#socket.destroy();
  }

  /** Ends it; its exchange is told nothing more. */
  destroy(): void {
    this.#exchange = null;
    this.#socket.destroy();
  }

  #openTls({ host, port }: RelayAddress): Socket {
    // An address is no name to ask for.
    const socket = connectTls({ host, port, servername: isIP(host) === 0 ? host : "" });
    socket.setNoDelay(true);
    socket.on("data", (bytes) => this.#read(bytes, bytes.length));
    return socket;
  }

  #openTcp({ host, port }: RelayAddress): Socket {
    return connectTcp({
      host,
      port,
      noDelay: true,
      onread: {
        buffer: () => this.#target(),
        callback: (length, bytes) => {
          this.#read(bytes as Buffer, length);
          return true;
        },
      },
    });
  }

  /** What the next bytes are read into. */
  #target(): Buffer {
    if (this.#head === null) {
      this.#ownBytes = null;
      return sharedBytes;
    }
    this.#ownBytes ??= Buffer.allocUnsafeSlow(READ_BYTES);
    return this.#ownBytes;
  }

  #corkForTurn(): void {
    const socket = this.#socket;
    socket.cork();
    setImmediate(() => socket.uncork());
  }

  #read(bytes: Buffer, length: number): void {
    try {
      // What comes before the request has left answers another one.
      if (this.#exchange === null || this.#waiting !== "") {
        throw new AnswerFault("bytes that nobody asked for");
      }
      if (this.#head === null) this.#readHead(bytes, length);
      else this.#readBody(bytes, 0, length);
    } catch (error) {
      if (!(error instanceof AnswerFault)) throw error;
      this.#fail("malformed", error);
      this.#socket.destroy();
    }
  }

  #readHead(read: Buffer, readLength: number): void {
    const early = this.#early;
    const bytes = early === null ? read : Buffer.concat([early, read.subarray(0, readLength)]);
    const length = early === null ? readLength : bytes.length;
    this.#early = null;
    for (let start = 0; ; ) {
      const text = bytes.toString("latin1", start, Math.min(length, start + HEAD_BYTES_MAX));
      const end = text.indexOf("\r\n\r\n");
      if (end < 0) {
        if (text.length >= HEAD_BYTES_MAX) throw new AnswerFault("too long a head");
        this.#early = copied(bytes, start, length);
        return;
      }
      const head = this.#owner.heads.read(text, end);
      start += end + 4;
      if (head.status >= 200) {
        this.#begin(head, text.slice(end + 4), bytes, start, length);
        return;
      }
      if (head.status === 101) throw new AnswerFault("another protocol");
    }
  }

  /**
   * The head of the answer itself.
   *
   * @param text `bytes[start, end)`, or the first bytes of it
   */
  #begin(head: AnswerHead, text: string, bytes: Buffer, start: number, end: number): void {
    const exchange = this.#exchange;
    if (exchange === null) return;
    const { status, contentLength, isChunked } = head;
    const kind = bodyKindOf(status, this.#isHead, isChunked, contentLength);
    // One that ends with its connection cannot be told from one that breaks off.
    if (kind === BodyKind.UNTIL_CLOSE) throw new AnswerFault("no end");
    const length = kind === BodyKind.NONE ? 0 : contentLength;
    const isShort = end - start <= WHOLE_BYTES_MAX;
    if (length >= 0 && length <= end - start && (isShort || length === 0)) {
      this.#over(head, start + length === end);
      exchange.relayOnWhole(head, text.slice(0, length));
      return;
    }
    if (length < 0 && isShort && exchange.takesChunks) {
      const chunks = new ChunkScanner();
      const at = chunks.scan(bytes, start, end, null);
      if (chunks.isDone) {
        this.#over(head, at === end);
        exchange.relayOnWhole(head, text.slice(0, at - start));
        return;
      }
    }
    this.#head = head;
    this.#left = length;
    this.#chunks = length < 0 ? new ChunkScanner() : null;
    exchange.relayOnHead(head);
    if (start < end) this.#readBody(copied(bytes, start, end), 0, end - start);
  }

  #readBody(bytes: Buffer, start: number, end: number): void {
    const exchange = this.#exchange;
    const head = this.#head;
    if (exchange === null || head === null) return;
    const chunks = this.#chunks;
    let at: number;
    let isKept = false;
    if (chunks === null) {
      at = Math.min(end, start + this.#left);
      this.#left -= at - start;
      isKept = exchange.relayOnBody(bytes, start, at);
    } else if (exchange.takesChunks) {
      at = chunks.scan(bytes, start, end, null);
      isKept = exchange.relayOnBody(bytes, start, at);
    } else {
      at = chunks.scan(bytes, start, end, (from, first, last) => {
        if (exchange.relayOnBody(from, first, last)) isKept = true;
      });
    }
    if (isKept && bytes === this.#ownBytes) this.#ownBytes = null;
    // The exchange may have ended it meanwhile.
    if (this.#exchange !== exchange) return;
    if (chunks === null ? this.#left > 0 : !chunks.isDone) return;
    this.#over(head, at === end);
    exchange.relayOnEnd();
  }

  /** The answer is whole. Neither behind bytes of no answer nor before the rest of a request is another one sent. */
  #over({ closes }: AnswerHead, isLastByte: boolean): void {
    this.#exchange = null;
    this.#head = null;
    this.#chunks = null;
    this.isReused = true;
    if (closes || !this.#isSent || !isLastByte) this.#socket.destroy();
    else this.#owner.connectionOnFree(this);
  }

  #fail(fault: RelayFault, cause: Error): void {
    const exchange = this.#exchange;
    this.#exchange = null;
    exchange?.relayOnFault(fault, cause);
  }
}

/** What was read into bytes that others read into next. */
function copied(bytes: Buffer, start: number, end: number): Buffer {
  return Buffer.from(bytes.subarray(start, end));
}
