/** What the reference makes of a response whose stream ends behind it. */
export interface ReferenceOutcome {
  readonly valid: boolean;
  readonly status: number;
  readonly head: string;
  readonly body: string;
  readonly endedAt: number;
  /** Whether the head alone is valid. */
  readonly headValid: boolean;
}

const TEXT = "[\\t\\x20-\\x7e\\x80-\\xff]";
const NAME = "[!#$%&'*+\\-.^_`|~0-9A-Za-z]+";
const HEAD = new RegExp(
  `^HTTP/1\\.([01]) ([1-5][0-9][0-9])( ${TEXT}*)?\\r\\n((?:${NAME}:${TEXT}*\\r\\n)*)\\r\\n`,
);
const CHUNK = new RegExp(`^([0-9a-fA-F]{1,16})(?:[ \\t]*;${TEXT}*)?\\r\\n`);
const TRAILER = new RegExp(`^(?:${NAME}:${TEXT}*\\r\\n)*\\r\\n`);
const DROPPED =
  /^(?:te|date|trailer|upgrade|connection|keep-alive|content-length|proxy-connection|transfer-encoding|proxy-authenticate|proxy-authentication-info)$/;

interface Field {
  readonly name: string;
  readonly value: string;
  readonly line: string;
}

function fieldsOf(lines: string): Field[] {
  return lines
    .split("\r\n")
    .slice(0, -1)
    .map((line) => {
      const colon = line.indexOf(":");
      const value = line.slice(colon + 1).replace(/^[ \t]+|[ \t]+$/g, "");
      return { name: line.slice(0, colon).toLowerCase(), value, line };
    });
}

function chunkedBody(text: string): { body: string; used: number } | null {
  let at = 0;
  let body = "";
  for (;;) {
    const match = CHUNK.exec(text.slice(at));
    if (match === null) return null;
    const size = Number.parseInt(match[1] ?? "", 16);
    at += match[0].length;
    if (size === 0) break;
    body += text.slice(at, at + size);
    at += size;
    if (text.slice(at, at + 2) !== "\r\n") return null;
    at += 2;
  }
  const trailer = TRAILER.exec(text.slice(at));
  return trailer === null ? null : { body, used: at + trailer[0].length };
}

/** Reads a whole response the plain way: expressions over a text, a piece after the other. */
export function referenceResponse(text: string, isHead: boolean): ReferenceOutcome {
  const invalid = { valid: false, status: 0, head: "", body: "", endedAt: -1, headValid: false };
  let at = 0;
  for (;;) {
    const match = HEAD.exec(text.slice(at));
    if (match === null) return invalid;
    const [whole, minor, code = "", reason = " ", lines = ""] = match;
    at += whole.length;
    const status = Number(code);
    const fields = fieldsOf(lines);
    const values = (name: string): string[] =>
      fields.filter((field) => field.name === name).map(({ value }) => value);
    const lengths = values("content-length");
    const codings = values("transfer-encoding");
    if (lengths.length + codings.length > 1) return invalid;
    if (lengths.some((value) => !/^[0-9]{1,15}$/.test(value))) return invalid;
    if (codings.some((value) => minor === "0" || value.toLowerCase() !== "chunked")) return invalid;
    if (status === 101) return invalid;
    if (status < 200) continue;
    const nominated = values("connection")
      .flatMap((value) => value.toLowerCase().split(","))
      .map((option) => option.trim())
      .filter((option) => !["close", "keep-alive", "upgrade"].includes(option));
    const kept = fields.filter(({ name }) => !DROPPED.test(name) && !nominated.includes(name));
    const head = [`${code}${reason}`, ...kept.map(({ line }) => line), "via: 1.1 hawser"].join(
      "\r\n",
    );
    const done = (body: string, used: number): ReferenceOutcome => {
      return { valid: true, status, head, body, endedAt: at + used, headValid: true };
    };
    if (isHead || status === 204 || status === 304) return done("", 0);
    const rest = text.slice(at);
    if (codings.length > 0) {
      const chunked = chunkedBody(rest);
      return chunked === null ? { ...invalid, headValid: true } : done(chunked.body, chunked.used);
    }
    const [length] = lengths;
    if (length === undefined) return done(rest, rest.length);
    if (rest.length < Number(length)) return { ...invalid, headValid: true };
    return done(rest.slice(0, Number(length)), Number(length));
  }
}
