import type { IncomingMessage } from "node:http";
import type { z } from "zod";
import { apiError, type InputIssue } from "./errors.ts";
import type { Later } from "./later.ts";
import { fieldOf, hasBody, mediaTypeOf } from "./request-fields.ts";
import type { BodyRule } from "./route.ts";
import type { Timers } from "./timers.ts";

/** Bytes of a body where its rule names no limit. */
export const BODY_BYTES_DEFAULT = 65_536;
export const JSON_TYPE = "application/json";
export const FORM_TYPE = "application/x-www-form-urlencoded";

/** The media types that a rule takes; null for any. */
export function mediaTypesOf(rule: BodyRule<z.ZodType> | null): readonly string[] | null {
  if (rule === null) return [JSON_TYPE];
  if (rule.kind === "form") return [FORM_TYPE];
  return rule.mediaTypes ?? (rule.kind === "json" ? [JSON_TYPE] : null);
}

/** How a body is read. */
export interface BodyReading {
  readonly timers: Timers;
  readonly timeoutMs: number;
  /** Tells the client to go on, where it waits for that. */
  readonly onRead: () => void;
}

/**
 * Reads and checks the body that a route takes. A streamed body is left alone.
 *
 * @throws ApiError `unexpected_body`, `unsupported_media_type`, `body_too_large`, `request_timeout`,
 *   `invalid_request`, `bad_request` when the client left midway
 */
export function bodyOf(
  request: IncomingMessage,
  rule: BodyRule<z.ZodType> | null,
  reading: BodyReading,
): Later<unknown> {
  if (rule === null) {
    if (hasBody(request)) throw apiError("unexpected_body");
    return undefined;
  }
  const types = mediaTypesOf(rule);
  const coding = fieldOf(request, "content-encoding");
  if (hasBody(request) && types !== null && !types.includes(mediaTypeOf(request))) {
    throw apiError("unsupported_media_type", { headers: { accept: types.join(", ") } });
  }
  if (rule.kind === "stream") {
    reading.onRead();
    return undefined;
  }
  if (coding !== "" && coding !== "identity") throw apiError("unsupported_media_type");
  return readWhole(request, rule.bytesMax ?? BODY_BYTES_DEFAULT, reading).then((bytes) =>
    parsedBody(bytes, rule),
  );
}

/** What a body that was read whole comes to. */
function parsedBody(
  bytes: Buffer,
  rule: Exclude<BodyRule<z.ZodType>, { kind: "stream" }>,
): unknown {
  const isOptional = rule.kind === "json" && rule.required === false;
  if (bytes.length === 0 && isOptional) return undefined;
  if (rule.kind === "bytes") return bytes;
  const value = rule.kind === "json" ? parseJson(bytes) : parseForm(bytes);
  return checked(rule.schema, value, "body");
}

/** Checks a value by its schema. @throws ApiError `invalid_request`, which names places and never values */
export function checked(schema: z.ZodType, value: unknown, place: "query" | "body"): unknown {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issues: InputIssue[] = result.error.issues.slice(0, 20).map((issue) => ({
    in: place,
    pointer: issue.path.map((key) => `/${escapePointer(String(key))}`).join(""),
    detail: ISSUE_TEXTS[issue.code] ?? "does not fit its description",
  }));
  throw apiError("invalid_request", { issues });
}

/** A query or form as an object of strings. @throws ApiError `invalid_request` where a name stands twice */
export function parsePairs(text: string, place: "query" | "body"): Record<string, string> {
  const values: Record<string, string> = Object.create(null);
  for (const [name, value] of new URLSearchParams(text)) {
    if (name in values) {
      const issue = { in: place, pointer: `/${escapePointer(name)}`, detail: "stands twice" };
      throw apiError("invalid_request", { issues: [issue] });
    }
    values[name] = value;
  }
  return { ...values };
}

/** Sentences of our own: those of the checker may quote what was sent. */
const ISSUE_TEXTS: Readonly<Record<string, string>> = {
  invalid_type: "is missing or of another type",
  too_big: "is too large or too long",
  too_small: "is too small or too short",
  invalid_format: "has another form",
  invalid_value: "is not one of the values that are taken",
  unrecognized_keys: "has a member that is not known",
};

function escapePointer(key: string): string {
  return key.slice(0, 64).replace(/~/g, "~0").replace(/\//g, "~1");
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw apiError("invalid_request", {
      issues: [{ in: "body", pointer: "", detail: "is no JSON in UTF-8" }],
    });
  }
}

function parseForm(bytes: Buffer): unknown {
  return parsePairs(bytes.toString("latin1"), "body");
}

/** All bytes of a body, as long as they are not more than `bytesMax` and come in time. */
function readWhole(
  request: IncomingMessage,
  bytesMax: number,
  { timers, timeoutMs, onRead }: BodyReading,
): Promise<Buffer> {
  const announced = Number(request.headers["content-length"] ?? 0);
  if (announced > bytesMax) return Promise.reject(apiError("body_too_large"));
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    const cancel = timers.after(timeoutMs, () => finish(apiError("request_timeout")));
    const onData = (chunk: Buffer): void => {
      length += chunk.length;
      if (length > bytesMax) finish(apiError("body_too_large"));
      else chunks.push(chunk);
    };
    const onEnd = (): void => finish(null);
    const onClose = (): void => finish(apiError("bad_request"));
    const finish = (error: Error | null): void => {
      cancel();
      request.off("data", onData).off("end", onEnd).off("close", onClose).off("error", onClose);
      // What is still to come is dropped, see `linger`.
      request.on("error", () => {});
      if (error === null) resolve(Buffer.concat(chunks, length));
      else reject(error);
    };
    request.on("data", onData).on("end", onEnd).on("close", onClose).on("error", onClose);
    onRead();
  });
}
