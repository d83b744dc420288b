import { AppError } from "../../core/errors.ts";

/** Why a call to the API server failed. Clients of the relay are told `ERR_RELAY_GATE_UNAVAILABLE`, the log this. */
export const GATE_ERRORS = {
  ERR_GATE_UNREACHABLE:
    "The API server cannot be reached, broke off, or did not answer completely in time.",
  ERR_GATE_STATUS:
    "The API server refused to authorise; with 401 it has another internal secret than the relay.",
  ERR_GATE_ANSWER: "The API server's answer to an authorize call is not one, or is too large.",
} as const;

/** A code of {@link GATE_ERRORS}. */
export type GateErrorCode = keyof typeof GATE_ERRORS;

/** A failed authorize call; carries nothing of what was sent or received but the status, 0 for none. */
export class GateError extends AppError {
  readonly status: number;

  constructor(code: GateErrorCode, status: number, cause?: unknown) {
    super(code, GATE_ERRORS[code], cause === undefined ? undefined : { cause });
    this.status = status;
  }
}
