import { createHash } from "node:crypto";
import type { ServerResponse } from "node:http";
import type { Readable } from "node:stream";

/** Fields of an answer by their names in lower case; a list becomes several lines. */
export type ReplyHeaders = Readonly<Record<string, string | readonly string[]>>;

/** What a handler answers. */
export type Reply =
  | ReplyOf<"json", { readonly value: unknown }>
  | ReplyOf<"text", { readonly text: string; readonly mediaType: string }>
  | ReplyOf<"html", { readonly text: string; readonly styleHashes: readonly string[] }>
  | ReplyOf<"stream", { readonly source: Readable; readonly mediaType: string }>
  | ReplyOf<"empty", object>
  /** The handler has taken `response` and ends it, or has ended it. */
  | { readonly kind: "taken" };

type ReplyOf<Kind extends string, Rest> = Rest & {
  readonly kind: Kind;
  readonly status: number;
  readonly headers: ReplyHeaders;
};

/** A JSON answer. */
export function json(status: number, value: unknown, headers: ReplyHeaders = {}): Reply {
  return { kind: "json", status, value, headers };
}

/** An answer in text of another kind than HTML. */
export function text(status: number, body: string, mediaType: string): Reply {
  return { kind: "text", status, text: body, mediaType, headers: {} };
}

/**
 * A page. It may hold style elements whose text is given in `styles`, and no script.
 *
 * @param body the whole document; what it holds of others is escaped already
 */
export function html(
  status: number,
  body: string,
  styles: readonly string[] = [],
  headers: ReplyHeaders = {},
): Reply {
  const styleHashes = styles.map(
    (style) => `sha256-${createHash("sha256").update(style).digest("base64")}`,
  );
  return { kind: "html", status, text: body, styleHashes, headers };
}

/** An answer without a body: 204, or 200 and a field that says it all. */
export function empty(status: number, headers: ReplyHeaders = {}): Reply {
  return { kind: "empty", status, headers };
}

/** 303 to a place that the caller has checked. */
export function redirect(location: string, headers: ReplyHeaders = {}): Reply {
  return { kind: "empty", status: 303, headers: { ...headers, location } };
}

/** A body that is sent as it comes, at the client's pace. A source that fails cuts the connection. */
export function stream(
  status: number,
  source: Readable,
  mediaType: string,
  headers: ReplyHeaders = {},
): Reply {
  return { kind: "stream", status, source, mediaType, headers };
}

/** For a handler that writes the response itself. Security headers are set on it already. */
export const TAKEN: Reply = { kind: "taken" };

/** Sets fields on a response whose head is not sent. */
export function setHeaders(response: ServerResponse, headers: ReplyHeaders): void {
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
}
