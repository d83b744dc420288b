import type {
  AnswerHead,
  RelayConnection,
  RelayExchange,
  RelayFault,
} from "../../../src/api/relay-http/index.ts";
import { Changes } from "../until.ts";

/** One request on a connection to the relay, and what came of it. */
export class RelayCall implements RelayExchange {
  readonly takesChunks: boolean;
  readonly connection: RelayConnection;
  readonly changes = new Changes();
  head: AnswerHead | null = null;
  body = "";
  isWhole = false;
  /** The answer came in pieces. */
  isInPieces = false;
  fault: RelayFault | null = null;

  constructor(
    connection: RelayConnection,
    request: string,
    { takesChunks = true, isHead = false, hasBody = false } = {},
  ) {
    this.takesChunks = takesChunks;
    this.connection = connection;
    connection.send(request, this, isHead, hasBody);
  }

  get isOver(): boolean {
    return this.isWhole || this.fault !== null;
  }

  /** Resolves when the answer is whole, or when it is known that it never will be. */
  over(): Promise<void> {
    return this.changes.until(() => this.isOver, "the answer");
  }

  relayOnWhole(head: AnswerHead, body: string): void {
    this.head = head;
    this.body = body;
    this.isWhole = true;
    this.changes.tell();
  }

  relayOnHead(head: AnswerHead): void {
    this.head = head;
    this.isInPieces = true;
    this.changes.tell();
  }

  relayOnBody(bytes: Buffer, start: number, end: number): boolean {
    this.body += bytes.toString("latin1", start, end);
    this.changes.tell();
    return false;
  }

  relayOnEnd(): void {
    this.isWhole = true;
    this.changes.tell();
  }

  relayOnDrain(): void {
    this.changes.tell();
  }

  relayOnFault(fault: RelayFault): void {
    this.fault = fault;
    this.changes.tell();
  }
}
