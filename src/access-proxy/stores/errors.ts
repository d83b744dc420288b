import { AppError } from "../../core/errors.ts";

/** Every error code of the stores, with what it means. `docs/errors.md` lists the same. */
export const ACCESS_PROXY_STORE_ERRORS = {
  ERR_ACCESS_PROXY_STORE_BUSY: "The database file was locked by another process for too long.",
  ERR_ACCESS_PROXY_STORE_FULL: "As many tokens are stored as are allowed.",
  ERR_ACCESS_PROXY_STORE_RECORD:
    "A token's record cannot be stored: a member is missing, too long or of another kind.",
  ERR_ACCESS_PROXY_STORE_CLOSED: "The store is closed.",
} as const;

export type AccessProxyStoreErrorCode = keyof typeof ACCESS_PROXY_STORE_ERRORS;

/** An error of the stores with its text from the table. */
export function storeError(code: AccessProxyStoreErrorCode, cause?: unknown): AppError {
  const text = ACCESS_PROXY_STORE_ERRORS[code];
  return new AppError(code, text, cause === undefined ? undefined : { cause });
}
