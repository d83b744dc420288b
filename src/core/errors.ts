/**
 * The error hierarchy of Hawser. Match on `code` alone: codes are stable, messages are not.
 *
 * A message never contains a secret, a token or bytes that a peer sent.
 */

/** Base of every error that Hawser raises on purpose. */
export class AppError extends Error {
  /** Stable identifier, for example `ERR_MUX_SESSION_CLOSED`. */
  readonly code: string;

  constructor(code: string, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}

/** What a protocol error ends: the one stream that it happened on, or the whole session. */
export type ProtocolErrorScope = "stream" | "session";

/** The peer broke a rule of the wire. */
export class ProtocolError extends AppError {
  readonly scope: ProtocolErrorScope;
  /** Reason that the GoAway frame carries: 1 protocol error, 2 internal error. */
  readonly goAwayCode: number;
  /** WebSocket close code that goes with it. */
  readonly closeCode: number;

  constructor(
    code: string,
    message: string,
    options: { scope?: ProtocolErrorScope; goAwayCode?: number; closeCode?: number } = {},
  ) {
    super(code, message);
    this.scope = options.scope ?? "session";
    this.goAwayCode = options.goAwayCode ?? 1;
    this.closeCode = options.closeCode ?? 1002;
  }
}

/** Who ended the thing that is closed. */
export type Initiator = "local" | "remote" | "transport";

/** The session or stream is gone, by us, by the peer or because the transport was lost. */
export class ClosedError extends AppError {
  readonly initiator: Initiator;
  /** True where the same request may be sent again without risk: the peer never took it. */
  readonly retriable: boolean;

  constructor(
    code: string,
    message: string,
    initiator: Initiator,
    options: { retriable?: boolean; cause?: unknown } = {},
  ) {
    super(code, message, options.cause === undefined ? undefined : { cause: options.cause });
    this.initiator = initiator;
    this.retriable = options.retriable ?? false;
  }
}

/** One problem of a configuration, by the name of its setting. */
export interface ConfigProblem {
  readonly setting: string;
  readonly problem: string;
}

/** The configuration cannot be used. Carries every problem found, not only the first. */
export class ConfigError extends AppError {
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[]) {
    super(
      "ERR_CONFIG_INVALID",
      problems.map(({ setting, problem }) => `${setting}: ${problem}`).join("\n"),
    );
    this.problems = problems;
  }
}

/** Where a forwarded request failed. */
export type Stage =
  | "no_device"
  | "offline"
  | "limited"
  | "overloaded"
  | "open"
  | "first_byte"
  | "mid_stream"
  | "request";

/** An error that an HTTP client is told of. `message` is safe to send. */
export class HttpError extends AppError {
  readonly status: number;
  readonly stage: Stage;
  readonly retriable: boolean;
  /** Seconds for `Retry-After`, 0 for none. */
  readonly retryAfter: number;

  constructor(
    status: number,
    code: string,
    message: string,
    options: { stage?: Stage; retriable?: boolean; retryAfter?: number; cause?: unknown } = {},
  ) {
    super(code, message, options.cause === undefined ? undefined : { cause: options.cause });
    this.status = status;
    this.stage = options.stage ?? "request";
    this.retriable = options.retriable ?? false;
    this.retryAfter = options.retryAfter ?? 0;
  }
}
