import { type AsciiLines, LinePiece } from "../core/ascii-lines.ts";

const LEVEL_AND_TIME = new LinePiece('{"level":30,"time":');
const TOKEN = new LinePiece('","token":"');
const ADDRESS = new LinePiece('","addr":"');
const DISPLACED = new LinePiece('","displaced":');
const CODE = new LinePiece('","code":');
const REASON = new LinePiece(',"reason":"');
const STATUS = new LinePiece('","status":');
const REQUEST_ID = new LinePiece(',"requestId":"');
const END = new LinePiece("}\n");
const END_AFTER_TEXT = new LinePiece('"}\n');

/** More than a line takes beside its bindings and the texts that vary: names, punctuation and numbers. */
const FIXED_BYTES = 256;

/**
 * A JSON line in pino's shape for each handshake that was refused, each tunnel that opens and each that closes. Written
 * as bytes into the same blocks as the access log, because a fleet that comes back brings thousands at once: a line of
 * the logger's own and the write that it causes cost more than all the rest of a handshake.
 *
 * Secrets appear nowhere: a token is named by its public reference.
 */
export class TunnelLog {
  /** Off costs one branch. */
  enabled: boolean;
  readonly #lines: AsciiLines;
  /** From the time to the first text that varies. */
  readonly #open: LinePiece;
  readonly #closed: LinePiece;
  readonly #refused: LinePiece;

  /**
   * @param lines whoever has them flushes them
   * @param bindings pino's prepared bindings, `,"pid":1,"hostname":"x"`, or "" for none
   */
  constructor(lines: AsciiLines, enabled = true, bindings = "") {
    this.#lines = lines;
    this.enabled = enabled;
    this.#open = new LinePiece(`${bindings},"msg":"tunnel open","device":"`);
    this.#closed = new LinePiece(`${bindings},"msg":"tunnel closed","device":"`);
    this.#refused = new LinePiece(`${bindings},"msg":"tunnel refused","code":"`);
  }

  /**
   * @param tokenRef public reference
   * @param address the client's, "" where it is not known
   * @param displaced how many tunnels the new one took over from
   */
  opened(deviceId: string, tokenRef: string, address: string, displaced: number): void {
    if (!this.enabled) return;
    const lines = this.#lines;
    this.#begin(this.#open, deviceId.length + tokenRef.length + address.length);
    lines.text(deviceId);
    lines.piece(TOKEN);
    lines.text(tokenRef);
    lines.piece(ADDRESS);
    lines.text(address);
    lines.piece(DISPLACED);
    lines.number(displaced);
    lines.piece(END);
  }

  /**
   * @param code the WebSocket's close code
   * @param reason why this side ended it, "" where the device did
   */
  closed(deviceId: string, tokenRef: string, code: number, reason: string): void {
    if (!this.enabled) return;
    const lines = this.#lines;
    this.#begin(this.#closed, deviceId.length + tokenRef.length + reason.length);
    lines.text(deviceId);
    lines.piece(TOKEN);
    lines.text(tokenRef);
    lines.piece(CODE);
    lines.number(code);
    lines.piece(REASON);
    lines.text(reason);
    lines.piece(END_AFTER_TEXT);
  }

  /**
   * @param code the error's, `ERR_RELAY_…`
   * @param status the answer's
   */
  refused(code: string, status: number, requestId: string): void {
    if (!this.enabled) return;
    const lines = this.#lines;
    this.#begin(this.#refused, code.length + requestId.length);
    lines.text(code);
    lines.piece(STATUS);
    lines.number(status);
    lines.piece(REQUEST_ID);
    lines.text(requestId);
    lines.piece(END_AFTER_TEXT);
  }

  #begin(opening: LinePiece, textUnits: number): void {
    const lines = this.#lines;
    lines.reserve(opening.length + FIXED_BYTES, textUnits);
    lines.piece(LEVEL_AND_TIME);
    lines.number(Date.now());
    lines.piece(opening);
  }
}
