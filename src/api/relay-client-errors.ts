import { AppError } from "../core/errors.ts";

/** Every error of the relay client. `docs/errors.md` lists the same. */
export const RELAY_CLIENT_ERRORS = {
  ERR_RELAY_CLIENT_BASE_URL: "The base URL of the relay's internal API cannot be used.",
  ERR_RELAY_CLIENT_NO_TOKEN: "A call about a session was made without its reference.",
  ERR_RELAY_CLIENT_SESSION_NOT_FOUND: "The relay has no such session, or it is ending.",
  ERR_RELAY_CLIENT_STATUS: "The relay answered with a status that the call does not expect.",
  ERR_RELAY_CLIENT_ANSWER: "The relay's answer is not the JSON that the call expects.",
  ERR_RELAY_CLIENT_TRANSPORT: "The relay cannot be reached, or broke off; `cause` has the reason.",
  ERR_RELAY_CLIENT_TIMEOUT: "The relay did not answer completely in time.",
  ERR_RELAY_CLIENT_ABORTED: "The caller's signal ended the call; `cause` is the signal's reason.",
} as const;

/** A code of {@link RELAY_CLIENT_ERRORS}. */
export type RelayClientErrorCode = keyof typeof RELAY_CLIENT_ERRORS;

/** A call of the relay client failed. */
export class RelayCallError extends AppError {
  /** The call as method and path, without its query: `GET /internal/sessions`. Empty before there is one. */
  readonly call: string;
  /** Status of the answer, 0 where there was none. */
  readonly status: number;
  /** The beginning of an unexpected answer's body, at most 1,024 bytes; not part of the message. */
  readonly body: string;

  constructor(
    code: RelayClientErrorCode,
    call: string,
    options: { status?: number; body?: string; cause?: unknown; detail?: string } = {},
  ) {
    const { status = 0, body = "", cause, detail = "" } = options;
    const outcome = status === 0 ? "" : ` (status ${status})`;
    const subject = call === "" ? "" : `${call}${outcome}: `;
    const text = RELAY_CLIENT_ERRORS[code];
    super(
      code,
      `${subject}${text}${detail === "" ? "" : ` ${detail}`}`,
      cause === undefined ? undefined : { cause },
    );
    this.call = call;
    this.status = status;
    this.body = body;
  }
}
