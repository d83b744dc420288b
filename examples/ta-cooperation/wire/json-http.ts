import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from "node:http";
import { isObject } from "../../../src/access-proxy/index.ts";
import { invalidRequest, OAuthError } from "./oauth-error.ts";

/** Members of a JSON object. */
export type Json = Readonly<Record<string, unknown>>;

/** Of a request or an answer in JSON. */
export const JSON_BYTES_MAX = 262_144;
/** From the beginning of a request to the end of its answer. */
const ASK_TIMEOUT_MS = 10_000;

/** Parameters of the media type are of no account. */
const JSON_TYPE = /^application\/json[ \t]*(;|$)/i;

/** An answer of another party. */
export interface Asked {
  readonly status: number;
  /** Null where the answer is no JSON object. */
  readonly body: Json | null;
}

async function readText(body: AsyncIterable<Uint8Array>): Promise<string | null> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > JSON_BYTES_MAX) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function parsed(text: string): Json | null {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}

/**
 * Reads a request's body.
 *
 * @throws OAuthError 400 where it is no JSON object, 413 where it is larger than {@link JSON_BYTES_MAX}
 */
export async function readJson(request: IncomingMessage): Promise<Json> {
  if (!JSON_TYPE.test(request.headers["content-type"] ?? "")) {
    throw invalidRequest("the body must be application/json");
  }
  // What is left of a body that is too large is the server's to be rid of: the answer needs the connection.
  const pieces = request.iterator({ destroyOnReturn: false });
  const text = await readText({ [Symbol.asyncIterator]: () => pieces });
  if (text === null) throw new OAuthError(413, "invalid_request", "the body is too large");
  const body = parsed(text);
  if (body === null) throw invalidRequest("the body must be a JSON object");
  return body;
}

/** Answers with a JSON object that nobody may keep. */
export function answerJson(
  answer: ServerResponse,
  status: number,
  body: object,
  fields: OutgoingHttpHeaders = {},
): void {
  const text = JSON.stringify(body);
  answer.writeHead(status, {
    "Content-Type": "application/json",
    "Content-Length": Buffer.byteLength(text),
    "Cache-Control": "no-store",
    Pragma: "no-cache",
    ...fields,
  });
  answer.end(text);
}

/** Answers with an OAuth 2.0 error body; whatever is no {@link OAuthError} is 500 `server_error`, and says no more. */
export function answerOAuthError(
  answer: ServerResponse,
  error: unknown,
  fields: OutgoingHttpHeaders = {},
): OAuthError {
  const told =
    error instanceof OAuthError ? error : new OAuthError(500, "server_error", "internal error");
  const body = { error: told.error, error_description: told.message };
  answerJson(answer, told.status, body, fields);
  return told;
}

async function ask(url: string, init: RequestInit): Promise<Asked> {
  const response = await fetch(url, {
    ...init,
    redirect: "manual",
    signal: AbortSignal.timeout(ASK_TIMEOUT_MS),
  });
  const text = response.body === null ? "" : await readText(response.body);
  return { status: response.status, body: text === null ? null : parsed(text) };
}

/**
 * Posts a JSON object. Redirects are not followed.
 *
 * @throws Error where there is no answer in time
 */
export function postJson(url: string, body: Json): Promise<Asked> {
  return ask(url, {
    method: "POST",
    headers: { "content-type": "application/json", accept: "application/json" },
    body: JSON.stringify(body),
  });
}

/**
 * Fetches a JSON object.
 *
 * @throws Error where there is no answer in time
 */
export function getJson(url: string): Promise<Asked> {
  return ask(url, { headers: { accept: "application/json" } });
}
