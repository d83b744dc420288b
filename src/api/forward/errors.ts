import { ApiError, type ApiErrorOptions, type ApiErrorRow } from "../errors.ts";

/** Errors of the forward that are the API server's own; the relay's are passed on as they are. */
export const FORWARD_ERRORS = {
  device_unapproved: {
    status: 409,
    retriable: true,
    text: "The device waits for a person's approval; nobody may call it before.",
  },
  relay_unavailable: {
    status: 503,
    retriable: true,
    text: "The relay cannot be reached.",
  },
  relay_lost: {
    status: 502,
    retriable: false,
    text: "The connection to the relay broke off before the answer; the device may have done what was asked.",
  },
  relay_answer: {
    status: 502,
    retriable: false,
    text: "The answer that came through the relay cannot be passed on.",
  },
  forward_overloaded: {
    status: 503,
    retriable: true,
    text: "As many requests to devices are under way as may be.",
  },
  forward_limited: {
    status: 429,
    retriable: true,
    text: "As many requests of this tenant to devices are under way as may be.",
  },
} as const satisfies Record<string, ApiErrorRow>;

/** A code of {@link FORWARD_ERRORS}. */
export type ForwardErrorCode = keyof typeof FORWARD_ERRORS;

/** The error of a row, ready to be thrown. */
export function forwardError(code: ForwardErrorCode, options: ApiErrorOptions = {}): ApiError {
  return new ApiError(code, FORWARD_ERRORS[code], options);
}
