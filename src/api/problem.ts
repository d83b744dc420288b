import { STATUS_CODES } from "node:http";
import { HttpError } from "../core/errors.ts";
import { ApiError, apiError } from "./errors.ts";

/** An error as it is answered. */
export interface Problem {
  readonly status: number;
  readonly code: string;
  /** Fields of the answer that come from the error; names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** JSON by RFC 9457: `type`, `title`, `status`, `detail`, and our `code`, `retriable`, `request_id`. */
  readonly body: string;
  /** True where the fault is ours: the error itself belongs into the log. */
  readonly unexpected: boolean;
}

export const PROBLEM_TYPE = "application/problem+json";

/**
 * Maps every error to what the client is told. Whatever is no `HttpError` is 500 `internal`, without a word about
 * its cause.
 *
 * @see RFC 9457, section 3
 */
export function problemOf(error: unknown, requestId: string): Problem {
  const told = error instanceof HttpError ? error : apiError("internal");
  const headers: Record<string, string> = told instanceof ApiError ? { ...told.headers } : {};
  if (told.retryAfter > 0) headers["retry-after"] = String(Math.ceil(told.retryAfter));
  const body = {
    type: "about:blank",
    title: STATUS_CODES[told.status] ?? "Error",
    status: told.status,
    detail: told.message,
    code: told.code,
    ...(told.stage === "request" ? {} : { stage: told.stage }),
    retriable: told.retriable,
    ...(told instanceof ApiError && told.issues.length > 0 ? { issues: told.issues } : {}),
    request_id: requestId,
  };
  return {
    status: told.status,
    code: told.code,
    headers,
    body: JSON.stringify(body),
    unexpected: told !== error || told.status === 500,
  };
}

/** The same for a person in a browser: a page without script, style or link. Its texts are ours and need no escape. */
export function problemPage({ status, body }: Problem): string {
  const { title, detail, code, request_id }: Record<string, string> = JSON.parse(body);
  const text = [detail, `Code: ${code}`, `Request: ${request_id}`].map(escapeHtml).join("<br>");
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>${status} ${escapeHtml(title ?? "")}</title><p>${text}</p></html>\n`;
}

/** Makes a text safe between tags and in quoted attributes. */
export function escapeHtml(text: string | undefined): string {
  return (text ?? "").replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
