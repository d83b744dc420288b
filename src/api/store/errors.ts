import { AppError } from "../../core/errors.ts";

/** Every error code of the store, with what it means. `docs/errors.md` lists the same. */
export const STORE_ERRORS = {
  ERR_STORE_TENANT_INVALID: "A tenant is 1 to 512 characters without control characters.",
  ERR_STORE_LIMIT: "As many of these exist as are allowed; `limit` says which limit it is.",
  ERR_STORE_CURSOR_INVALID: "The cursor is not one that a listing gave out.",
  ERR_STORE_BUSY: "The database file was locked by another process for too long.",
} as const;

export type StoreErrorCode = keyof typeof STORE_ERRORS;

/** An error of the store with its text from the table. */
export function storeError(code: StoreErrorCode, cause?: unknown): AppError {
  return new AppError(code, STORE_ERRORS[code], cause === undefined ? undefined : { cause });
}

/** Which limit a {@link StoreLimitError} met. */
export type StoreLimit =
  | "login_attempts"
  | "codes_per_user"
  | "codes_per_tenant"
  | "enrolment_keys_per_tenant"
  | "keys_per_user"
  | "tokens_per_device";

/** Nothing was added, because as many exist as are allowed. */
export class StoreLimitError extends AppError {
  readonly limit: StoreLimit;

  constructor(limit: StoreLimit) {
    super("ERR_STORE_LIMIT", STORE_ERRORS.ERR_STORE_LIMIT);
    this.limit = limit;
  }
}
