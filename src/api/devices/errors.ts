import { ApiError, type ApiErrorOptions, type ApiErrorRow } from "../errors.ts";
import { type StoreLimit, StoreLimitError } from "../store/index.ts";

/** What the routes of devices answer besides the errors of the HTTP layer, by `code`. */
export const DEVICE_ERRORS = {
  confined_key: {
    status: 403,
    retriable: false,
    text: "This key is held to some devices and makes no others.",
  },
  owner_needed: {
    status: 403,
    retriable: false,
    text: "A device belongs to a person, and these credentials stand for none.",
  },
  pairing_code_invalid: {
    status: 404,
    retriable: false,
    text: "This is no pairing code or enrolment key that can be used.",
  },
  too_many_pairing_codes: {
    status: 409,
    retriable: true,
    text: "As many pairing codes wait to be used as are allowed: use or cancel one, or wait.",
  },
  too_many_enrolment_keys: {
    status: 409,
    retriable: true,
    text: "The tenant has as many enrolment keys as are allowed: revoke one.",
  },
  too_many_tokens: {
    status: 409,
    retriable: true,
    text: "The device has as many tokens as are allowed: use the newest, or revoke them.",
  },
  pairing_paused: {
    status: 429,
    retriable: true,
    text: "Too many exchanges failed; pairing codes are not taken for a moment.",
  },
  relay_unavailable: {
    status: 503,
    retriable: true,
    text: "The relay cannot be asked now.",
  },
} as const satisfies Record<string, ApiErrorRow>;

/** A code of {@link DEVICE_ERRORS}. */
export type DeviceErrorCode = keyof typeof DEVICE_ERRORS;

/** The error of a table row, ready to be thrown. */
export function deviceError(code: DeviceErrorCode, options: ApiErrorOptions = {}): ApiError {
  return new ApiError(code, DEVICE_ERRORS[code], options);
}

const CODE_OF_LIMIT: Partial<Record<StoreLimit, DeviceErrorCode>> = {
  codes_per_user: "too_many_pairing_codes",
  codes_per_tenant: "too_many_pairing_codes",
  enrolment_keys_per_tenant: "too_many_enrolment_keys",
  tokens_per_device: "too_many_tokens",
};

/** Turns a limit that the store met into what the client is told; any other failure stays what it is. */
export async function withLimits<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const code = error instanceof StoreLimitError ? CODE_OF_LIMIT[error.limit] : undefined;
    throw code === undefined ? error : deviceError(code, { cause: error });
  }
}
