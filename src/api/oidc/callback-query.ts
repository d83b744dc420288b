import { OidcError } from "./errors.ts";

const QUERY_BYTES_MAX = 8_192;
const CODE_LENGTH_MAX = 4_096;
const STATE = /^[A-Za-z0-9_-]{43}$/;
const PRINTABLE = /^[\x20-\x7e]+$/;
/** Parameters of response types and modes that were never asked for. */
const FOREIGN = ["id_token", "access_token", "token_type", "refresh_token", "response"];

/** A well-formed authorization response. Says nothing of being genuine. */
export interface CallbackQuery {
  readonly state: string;
  /** Exactly one of `code` and `error` is not null. */
  readonly code: string | null;
  readonly error: string | null;
  readonly iss: string | null;
}

/**
 * Reads the query of a callback: at most 8 KiB, each parameter at most once, none with control characters or with
 * bytes that are not UTF-8. `error_description` and `error_uri` are not read at all.
 *
 * Errors: `ERR_OIDC_CALLBACK_INVALID`.
 * @param query what follows the `?`, as it came
 * @see RFC 6749, sections 3.1 and 4.1.2; RFC 9207, section 2
 */
export function readCallbackQuery(query: string): CallbackQuery {
  if (query.length > QUERY_BYTES_MAX) throw fault("query_too_long");
  const parameters = readParameters(query);
  for (const name of FOREIGN) if (parameters.has(name)) throw fault("foreign_parameter");
  const state = parameters.get("state") ?? "";
  const code = parameters.get("code") ?? null;
  const error = parameters.get("error") ?? null;
  const iss = parameters.get("iss") ?? null;
  if (!STATE.test(state)) throw fault("state");
  if ((code === null) === (error === null)) throw fault("code_or_error");
  if (code !== null && (code.length > CODE_LENGTH_MAX || !PRINTABLE.test(code)))
    throw fault("code");
  if (error !== null && !PRINTABLE.test(error)) throw fault("error");
  return { state, code, error, iss };
}

function readParameters(query: string): Map<string, string> {
  const parameters = new Map<string, string>();
  for (const piece of query.split("&")) {
    if (piece === "") continue;
    const at = piece.indexOf("=");
    const name = decode(at < 0 ? piece : piece.slice(0, at));
    const value = decode(at < 0 ? "" : piece.slice(at + 1));
    if (parameters.has(name)) throw fault("parameter_twice");
    parameters.set(name, value);
  }
  return parameters;
}

function decode(text: string): string {
  let decoded: string;
  try {
    decoded = decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    throw fault("encoding");
  }
  for (let at = 0; at < decoded.length; at++) {
    const unit = decoded.charCodeAt(at);
    if (unit < 0x20 || unit === 0x7f) throw fault("control_character");
  }
  return decoded;
}

function fault(rule: string): OidcError {
  return new OidcError("ERR_OIDC_CALLBACK_INVALID", rule);
}
