import { AppError } from "../core/errors.ts";
import { apiError } from "./errors.ts";

/** What a listing threw, as it is answered: a cursor that no page gave out is the caller's fault. */
export function cursorFault(error: unknown): unknown {
  if (!(error instanceof AppError) || error.code !== "ERR_STORE_CURSOR_INVALID") return error;
  const detail = "is not one that a page gave out";
  return apiError("invalid_request", { issues: [{ in: "query", pointer: "/cursor", detail }] });
}
