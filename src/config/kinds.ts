import { isIP } from "node:net";

/**
 * A kind of setting: what operators may write for it, in a flag, a variable or the configuration file, and
 * how it is shown to them.
 */
export interface Kind<T> {
  /** What stands for the value in `--help`: `--listen-port <port>`. Empty for a switch. */
  readonly valueName: string;
  /** What the setting takes, as it is told behind "wanted" to whoever wrote something else. */
  readonly wanted: string;
  /** Reads text from anywhere, and the JSON types that fit from the file; `undefined` for what it does not take. */
  readonly parse: (input: unknown) => T | undefined;
  /** Writes a value as an operator would. */
  show(value: T): string;
}

const KIB = 1_024;
const SIZE_UNITS: ReadonlyMap<string, number> = new Map([
  ["", 1],
  ["B", 1],
  ["KiB", KIB],
  ["MiB", KIB ** 2],
  ["GiB", KIB ** 3],
]);
const DURATION_UNITS: ReadonlyMap<string, number> = new Map([
  ["", 1],
  ["ms", 1],
  ["s", 1_000],
  ["m", 60_000],
  ["h", 3_600_000],
  ["d", 86_400_000],
]);

/** A whole number from a number or from decimal digits. */
function wholeNumber(input: unknown): number | undefined {
  if (typeof input === "number") return Number.isSafeInteger(input) ? input : undefined;
  if (typeof input !== "string" || !/^[0-9]{1,15}$/.test(input)) return undefined;
  return Number(input);
}

/** A number with one of `units` behind it; a plain number counts in the smallest. */
function quantity(input: unknown, units: ReadonlyMap<string, number>): number | undefined {
  if (typeof input === "number") return wholeNumber(input);
  const match = typeof input === "string" ? /^([0-9]{1,15}) ?([A-Za-z]*)$/.exec(input) : null;
  const factor = match === null ? undefined : units.get(match[2] ?? "");
  if (match === null || factor === undefined) return undefined;
  const value = Number(match[1]) * factor;
  return Number.isSafeInteger(value) ? value : undefined;
}

/** Writes `value` with the largest unit that leaves it whole. */
function showQuantity(value: number, units: ReadonlyMap<string, number>): string {
  let shown = String(value);
  for (const [unit, factor] of units) {
    if (value !== 0 && unit !== "" && value % factor === 0) shown = `${value / factor}${unit}`;
  }
  return shown;
}

function within(value: number | undefined, least: number, most: number): number | undefined {
  return value !== undefined && value >= least && value <= most ? value : undefined;
}

/** Printable text, not empty, at most 4,096 characters. */
export function text(valueName: string): Kind<string> {
  return {
    valueName,
    wanted: "printable text",
    parse: (input) =>
      typeof input === "string" && /^[^\p{Cc}]{1,4096}$/u.test(input) ? input : undefined,
    show: (value) => value,
  };
}

/** An IP address to listen on, or `localhost`. */
export function address(): Kind<string> {
  return {
    valueName: "address",
    wanted: "an IP address or localhost",
    parse: (input) =>
      typeof input === "string" && (input === "localhost" || isIP(input) !== 0) ? input : undefined,
    show: (value) => value,
  };
}

/** A DNS name without a port, stored in lower case. */
export function domain(): Kind<string> {
  const label = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?";
  const pattern = new RegExp(`^${label}(\\.${label})*$`);
  return {
    valueName: "domain",
    wanted: "a domain name without scheme, port and path",
    parse: (input) => {
      const name = typeof input === "string" ? input.toLowerCase() : "";
      return name.length <= 253 && pattern.test(name) ? name : undefined;
    },
    show: (value) => value,
  };
}

/** A TCP port; 0 lets the system pick one. */
export function port(): Kind<number> {
  return {
    valueName: "port",
    wanted: "a port, 0 to 65535",
    parse: (input) => within(wholeNumber(input), 0, 65_535),
    show: String,
  };
}

/** A whole number of things. */
export function count(least: number, most: number): Kind<number> {
  return {
    valueName: "count",
    wanted: `a whole number, ${least} to ${most}`,
    parse: (input) => within(wholeNumber(input), least, most),
    show: String,
  };
}

/** A time in milliseconds; written `250ms`, `30s`, `5m`, `2h`, `1d`. */
export function duration(leastMs: number, mostMs: number): Kind<number> {
  const show = (value: number): string => showQuantity(value, DURATION_UNITS);
  return {
    valueName: "time",
    wanted: `a time such as 250ms, 30s or 5m (a plain number is milliseconds), ${show(leastMs)} to ${show(mostMs)}`,
    parse: (input) => within(quantity(input, DURATION_UNITS), leastMs, mostMs),
    show,
  };
}

/** A size in bytes; written `512B`, `64KiB`, `4MiB`, `1GiB`. */
export function size(leastBytes: number, mostBytes: number): Kind<number> {
  const show = (value: number): string => showQuantity(value, SIZE_UNITS);
  return {
    valueName: "size",
    wanted: `a size such as 64KiB or 4MiB (a plain number is bytes), ${show(leastBytes)} to ${show(mostBytes)}`,
    parse: (input) => within(quantity(input, SIZE_UNITS), leastBytes, mostBytes),
    show,
  };
}

const SWITCH_WORDS: ReadonlyMap<unknown, boolean> = new Map<unknown, boolean>([
  [true, true],
  ["true", true],
  ["1", true],
  ["yes", true],
  ["on", true],
  [false, false],
  ["false", false],
  ["0", false],
  ["no", false],
  ["off", false],
]);

/** On or off. As a flag it may stand alone. */
export function toggle(): Kind<boolean> {
  return {
    valueName: "",
    wanted: "true or false",
    parse: (input) => SWITCH_WORDS.get(input),
    show: String,
  };
}

/** One word of a few. */
export function choice<const W extends string>(words: readonly W[]): Kind<W> {
  return {
    valueName: words.join("|"),
    wanted: `one of ${words.join(", ")}`,
    parse: (input) => words.find((word) => word === input),
    show: (value) => value,
  };
}

function isCidr(block: string): boolean {
  const match = /^(.+)\/([0-9]{1,3})$/.exec(block);
  if (match === null) return false;
  const family = isIP(match[1] ?? "");
  return family !== 0 && Number(match[2]) <= (family === 4 ? 32 : 128);
}

/** Several texts: an array in the file, separated by commas elsewhere. */
export function list(
  valueName: string,
  wanted: string,
  isItem: (item: string) => boolean,
): Kind<readonly string[]> {
  return {
    valueName,
    wanted,
    parse: (input) => {
      const items: unknown = typeof input === "string" ? input.split(",") : input;
      if (!Array.isArray(items)) return undefined;
      const trimmed = items.map((item: unknown) => (typeof item === "string" ? item.trim() : ""));
      return trimmed.every(isItem) ? trimmed : undefined;
    },
    show: (value) => value.join(","),
  };
}

/** Address blocks. */
export function cidrs(): Kind<readonly string[]> {
  return list("cidr,…", "address blocks such as 10.0.0.0/8,fd00::/8", isCidr);
}

/** Text that may have line breaks, for keys: at most 65,536 characters. */
export function multiline(valueName: string): Kind<string> {
  return {
    valueName,
    wanted: "text",
    parse: (input) =>
      typeof input === "string" && /^[^\0]{1,65536}$/.test(input) ? input : undefined,
    show: (value) => value,
  };
}

/** A path that does not begin with ":", as names of SQLite's own do, and that does not end with "/". */
const SQLITE_URL = /^sqlite:(?!:)[^\p{Cc}]{0,4095}[^\p{Cc}/]$/u;

function isDatabaseUrl(text: string): boolean {
  if (SQLITE_URL.test(text)) return true;
  if (!/^postgres(?:ql)?:\/\/[^\p{Cc}]{1,4096}$/u.test(text) || !URL.canParse(text)) return false;
  return new URL(text).pathname.length > 1;
}

/** Where a database is. {@link holdsPassword} tells which ones are secret; their password is not shown. */
export function databaseUrl(): Kind<string> {
  return {
    valueName: "url",
    wanted: "sqlite:<path> or postgres://<user>@<host>/<database>",
    parse: (input) => (typeof input === "string" && isDatabaseUrl(input) ? input : undefined),
    show: (value) => {
      if (!holdsPassword(value)) return value;
      const url = URL.canParse(value) ? new URL(value) : null;
      if (url === null) return "(secret)";
      return `${url.protocol}//${url.username}:***@${url.host}${url.pathname}`;
    },
  };
}

/** Whether a database's URL, or what was meant to be one, has a password in it. A scheme may be missing or misspelt. */
export function holdsPassword(value: unknown): boolean {
  if (typeof value !== "string") return false;
  const rest = value.replace(/^(?:[a-z]+:\/\/|sqlite:)/i, "");
  return /:.*@/s.test(rest) || /[?&](?:ssl)?password=/i.test(value);
}

/** The path of a file that must be there and readable; `load` checks that. */
export function file(): Kind<string> {
  return { ...text("file"), valueName: "file" };
}
