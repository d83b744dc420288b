import type { Logger } from "pino";
import { AsciiLines, LinePiece, type LineSink } from "../core/ascii-lines.ts";
import { preparedBindings } from "../core/log-bindings.ts";
import type { CallOutcome } from "./handler.ts";
import type { Target } from "./target.ts";

/** Writes one line for each call that is over: where it went, by which way, and what came of it; nothing that is secret. */
export interface CallLog {
  /** @param target null for a call that was refused before it was read */
  callEnded(outcome: CallOutcome, target: Target | null): void;
}

/** By a logger, at level `info`. */
export class LoggerCallLog implements CallLog {
  readonly #logger: Logger;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  callEnded({ path, code, session, durationMs }: CallOutcome, target: Target | null): void {
    const ms = tenths(durationMs) / 10;
    const where = { target: target?.url.origin, toTaId: target?.toTaId };
    this.#logger.info(
      { ...where, path, code: code ?? undefined, session: session ?? undefined, ms },
      "call",
    );
  }
}

function tenths(ms: number): number {
  return Math.max(0, Math.round(ms * 10));
}

const BEFORE_TIME = new LinePiece('{"level":30,"time":');
const TARGET = new LinePiece(',"target":"');
const TA_ID = new LinePiece('","toTaId":"');
const AFTER_TEXT = new LinePiece('"');
const PATH = new LinePiece(',"path":"');
const CODE = new LinePiece(',"code":"');
const SESSION = new LinePiece(',"session":"');
const MS = new LinePiece(',"ms":');
const POINT = new LinePiece(".");
const END = new LinePiece(',"msg":"call"}\n');

/** More than a line takes beside its bindings and the texts that vary. */
const FIXED_BYTES = 256;
/** How long a line waits at the most until its block leaves. */
const FLUSH_MS = 50;

/** The same lines as bytes, gathered into blocks: a line by a logger costs a small call a tenth of its CPU. */
export class LineCallLog implements CallLog {
  readonly #lines: AsciiLines;
  readonly #bindings: LinePiece;
  readonly #logger: Logger;
  readonly #wallNow: () => number;
  #timer: NodeJS.Timeout | null = null;
  #isClosed = false;

  /**
   * @param logger whose bindings and level the lines have
   * @param wallNow milliseconds since 1970
   */
  constructor(sink: LineSink, logger: Logger, wallNow = Date.now) {
    this.#lines = new AsciiLines(sink);
    this.#bindings = new LinePiece(preparedBindings(logger));
    this.#logger = logger;
    this.#wallNow = wallNow;
  }

  callEnded({ path, code, session, durationMs }: CallOutcome, target: Target | null): void {
    if (!this.#logger.isLevelEnabled("info")) return;
    const lines = this.#lines;
    const origin = target?.url.origin ?? "";
    const toTaId = target?.toTaId ?? "";
    const varying =
      origin.length + toTaId.length + path.length + (code?.length ?? 0) + (session?.length ?? 0);
    lines.reserve(FIXED_BYTES + this.#bindings.length, varying);
    lines.piece(BEFORE_TIME);
    lines.number(this.#wallNow());
    lines.piece(this.#bindings);
    if (target !== null) {
      lines.piece(TARGET);
      lines.text(origin);
      lines.piece(TA_ID);
      lines.text(toTaId);
      lines.piece(AFTER_TEXT);
    }
    lines.piece(PATH);
    lines.text(path);
    lines.piece(AFTER_TEXT);
    if (code !== null) {
      lines.piece(CODE);
      lines.text(code);
      lines.piece(AFTER_TEXT);
    }
    if (session !== null) {
      lines.piece(SESSION);
      lines.text(session);
      lines.piece(AFTER_TEXT);
    }
    lines.piece(MS);
    const ms = tenths(durationMs);
    lines.number(Math.floor(ms / 10));
    lines.piece(POINT);
    lines.number(ms % 10);
    lines.piece(END);
    if (this.#isClosed) this.#lines.flush();
    else this.#timer ??= setTimeout(() => this.#flush(), FLUSH_MS).unref();
  }

  /** Hands what is gathered to the sink; a call that is broken off after this has its line there at once. */
  close(): void {
    this.#isClosed = true;
    this.#flush();
  }

  #flush(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#lines.flush();
  }
}
