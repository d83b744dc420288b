import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import type { Server } from "node:http";
import { ConfigError, type ConfigProblem } from "../core/errors.ts";
import { type MuxOptions, muxOptions, type Role, type Stream } from "../mux/index.ts";
import { type AgentLog, silentLog } from "./log.ts";
import type { RetrySettings } from "./retry-policy.ts";

/** PEM text of one or more certificates. */
export type Pem = string | Buffer;

/** What {@link connect} takes. Exactly one of `token`, `tokenFile`, and exactly one of `to`, `server`, `onStream`. */
export interface AgentOptions {
  /** `ws://` or `wss://` address of the relay; without a path, `/tunnel/connect` is dialled. */
  readonly relay: string | URL;
  /** Device token `vAc_…`. */
  readonly token?: string | undefined;
  /** File that holds the token; read again before every dial, so that it can be rotated. */
  readonly tokenFile?: string | undefined;
  /** Local service: `http://host:port` or `tcp://host:port` (bytes as they are), or `https://host:port` (TLS). */
  readonly to?: string | URL | undefined;
  /** Serves the streams in this process: each is given to the server as a connection. */
  readonly server?: Server | undefined;
  /** Takes the streams as they are. Must call `stream.accept()` or `stream.reset()` within 10 s. */
  readonly onStream?: ((stream: Stream) => void) | undefined;
  /** Certificates that the relay's own is checked against, in place of Node's list. */
  readonly ca?: Pem | undefined;
  /** The same for the local service of an `https://` target. */
  readonly localCa?: Pem | undefined;
  /** Our yamux role; the relay must have the other one. Default `server`. */
  readonly yamuxRole?: Role | undefined;
  /** Streams that one tunnel may have at a time; the next is refused. Default 256. */
  readonly maxStreams?: number | undefined;
  /** For a connection to the local service. Default 8,000; below the 10 s in which a stream must be accepted. */
  readonly localTimeoutMs?: number | undefined;
  /** For the WebSocket handshake. Default 10,000. */
  readonly handshakeTimeoutMs?: number | undefined;
  /** How long running requests may go on when a tunnel is left. Default 30,000. */
  readonly drainMs?: number | undefined;
  readonly backoffBaseMs?: number | undefined;
  readonly backoffCapMs?: number | undefined;
  readonly stableMs?: number | undefined;
  readonly refusedRetryMs?: number | undefined;
  readonly displacedRetryMs?: number | undefined;
  readonly displacedRetryCapMs?: number | undefined;
  readonly retryAfterCapMs?: number | undefined;
  /** Further yamux limits; what is left out has the defaults of the mux. */
  readonly mux?: Partial<MuxOptions> | undefined;
  /** Default: nothing is logged. */
  readonly log?: AgentLog | undefined;
  /** Aborting it stops the agent at once, without draining. */
  readonly signal?: AbortSignal | undefined;
}

/** Where streams go. */
export type TargetSettings =
  | {
      readonly kind: "address";
      readonly host: string;
      readonly port: number;
      readonly tls: boolean;
      readonly ca: Pem | null;
      readonly timeoutMs: number;
      /** As given, for log lines. */
      readonly text: string;
    }
  | { readonly kind: "server"; readonly server: Server }
  | { readonly kind: "callback"; readonly onStream: (stream: Stream) => void };

/** Where the token comes from. */
export type TokenSource =
  | { readonly kind: "text"; readonly token: string }
  | { readonly kind: "file"; readonly path: string };

/** Checked options, complete. */
export interface AgentSettings extends RetrySettings {
  /** Full URL that is dialled. */
  readonly relayUrl: string;
  readonly tokenSource: TokenSource;
  readonly target: TargetSettings;
  readonly ca: Pem | null;
  readonly yamuxRole: Role;
  readonly maxStreams: number;
  readonly handshakeTimeoutMs: number;
  readonly drainMs: number;
  readonly mux: MuxOptions;
  readonly log: AgentLog;
  readonly signal: AbortSignal | null;
}

/** The defaults of every number; times in milliseconds. */
export const AGENT_DEFAULTS = {
  maxStreams: 256,
  localTimeoutMs: 8_000,
  handshakeTimeoutMs: 10_000,
  drainMs: 30_000,
  backoffBaseMs: 500,
  backoffCapMs: 30_000,
  stableMs: 30_000,
  refusedRetryMs: 60_000,
  displacedRetryMs: 60_000,
  displacedRetryCapMs: 600_000,
  retryAfterCapMs: 3_600_000,
} as const;

type NumberName = keyof typeof AGENT_DEFAULTS;

/** Smallest and largest value of each number. */
const BOUNDS: Record<NumberName, readonly [number, number]> = {
  maxStreams: [1, 65_536],
  localTimeoutMs: [1, 9_000],
  handshakeTimeoutMs: [1, 600_000],
  drainMs: [0, 86_400_000],
  backoffBaseMs: [1, 3_600_000],
  backoffCapMs: [1, 86_400_000],
  stableMs: [0, 86_400_000],
  refusedRetryMs: [1, 86_400_000],
  displacedRetryMs: [1, 86_400_000],
  displacedRetryCapMs: [1, 86_400_000],
  retryAfterCapMs: [0, 86_400_000],
};

/** What a stream may have under way to us at first, and what all streams of a tunnel may draw beyond that. */
const WINDOW_BYTES = 256 * 1024;
const WINDOW_GROWTH_BYTES = 16 * 1024 * 1024;

const TUNNEL_PATH = "/tunnel/connect";

/** Longest token file that is read. */
const TOKEN_BYTES_MAX = 4_096;

/** Whether the text can stand in an `Authorization` field: visible ASCII without spaces. */
export function isTokenText(text: string): boolean {
  return text.length <= TOKEN_BYTES_MAX && /^[\x21-\x7e]+$/.test(text);
}

/**
 * The token that the source holds now.
 *
 * @throws Error the file cannot be read, or holds no token. Its message names the file, never its content.
 */
export function readToken(source: TokenSource): string {
  if (source.kind === "text") return source.token;
  const text = readFileSync(source.path, "utf8").trim();
  if (!isTokenText(text)) throw new Error(`${source.path} holds no usable token`);
  return text;
}

/**
 * Checks the options and fills in the defaults.
 *
 * @throws ConfigError with every problem found
 */
export function agentSettings(options: AgentOptions): AgentSettings {
  const problems: ConfigProblem[] = [];
  const numbers = checkNumbers(options, problems);
  const relayUrl = checkRelay(options.relay, problems);
  const tokenSource = checkToken(options, problems);
  const target = checkTarget(options, numbers.localTimeoutMs, problems);
  const yamuxRole = options.yamuxRole ?? "server";
  if (yamuxRole !== "server" && yamuxRole !== "client") {
    problems.push({ setting: "yamuxRole", problem: "must be server or client" });
  }
  const mux = checkMux(options.mux, numbers.maxStreams, problems);
  checkPem("ca", options.ca, problems);
  checkPem("localCa", options.localCa, problems);
  if (
    problems.length > 0 ||
    relayUrl === null ||
    tokenSource === null ||
    target === null ||
    mux === null
  ) {
    throw new ConfigError(problems);
  }
  return {
    ...numbers,
    relayUrl,
    tokenSource,
    target,
    ca: options.ca ?? null,
    yamuxRole,
    mux,
    log: options.log ?? silentLog,
    signal: options.signal ?? null,
  };
}

function checkNumbers(
  options: AgentOptions,
  problems: ConfigProblem[],
): Record<NumberName, number> {
  const numbers: Record<NumberName, number> = { ...AGENT_DEFAULTS };
  for (const name of Object.keys(AGENT_DEFAULTS) as NumberName[]) {
    const value = options[name];
    if (value === undefined) continue;
    const [smallest, largest] = BOUNDS[name];
    if (!Number.isInteger(value) || value < smallest || value > largest) {
      problems.push({
        setting: name,
        problem: `must be a whole number from ${smallest} to ${largest}`,
      });
      continue;
    }
    numbers[name] = value;
  }
  if (numbers.backoffCapMs < numbers.backoffBaseMs) {
    problems.push({ setting: "backoffCapMs", problem: "must not be below backoffBaseMs" });
  }
  return numbers;
}

function parseUrl(value: string | URL): URL | null {
  if (value instanceof URL) return value;
  return URL.canParse(value) ? new URL(value) : null;
}

function checkRelay(value: string | URL | undefined, problems: ConfigProblem[]): string | null {
  const setting = "relay";
  const refuse = (problem: string): null => {
    problems.push({ setting, problem });
    return null;
  };
  if (value === undefined || value === "") return refuse("is required");
  const given = parseUrl(value);
  if (given === null) return refuse("is not a URL such as ws://relay.example:3800");
  const url = new URL(given);
  if (url.protocol === "http:") url.protocol = "ws:";
  if (url.protocol === "https:") url.protocol = "wss:";
  if (url.protocol !== "ws:" && url.protocol !== "wss:") return refuse("must be ws:// or wss://");
  if (url.username !== "" || url.password !== "") {
    return refuse("must not hold a user or password; the token is sent in its own field");
  }
  if (url.searchParams.has("token")) return refuse("must not hold a token; use tokenFile");
  if (url.hash !== "") return refuse("must not have a fragment");
  if (url.pathname === "/") url.pathname = TUNNEL_PATH;
  return url.href;
}

function checkToken(options: AgentOptions, problems: ConfigProblem[]): TokenSource | null {
  const { token, tokenFile } = options;
  if ((token === undefined) === (tokenFile === undefined)) {
    problems.push({ setting: "token", problem: "give exactly one of token and tokenFile" });
    return null;
  }
  if (token !== undefined) {
    if (isTokenText(token)) return { kind: "text", token };
    problems.push({ setting: "token", problem: "must be visible ASCII without spaces" });
    return null;
  }
  if (tokenFile !== undefined && tokenFile !== "") return { kind: "file", path: tokenFile };
  problems.push({ setting: "tokenFile", problem: "must name a file" });
  return null;
}

function checkTarget(
  options: AgentOptions,
  timeoutMs: number,
  problems: ConfigProblem[],
): TargetSettings | null {
  const { to, server, onStream } = options;
  const given = [to, server, onStream].filter((each) => each !== undefined).length;
  if (given !== 1) {
    problems.push({ setting: "to", problem: "give exactly one of to, server and onStream" });
    return null;
  }
  if (server !== undefined) return { kind: "server", server };
  if (onStream !== undefined) return { kind: "callback", onStream };
  return to === undefined ? null : checkAddress(to, options.localCa ?? null, timeoutMs, problems);
}

function checkAddress(
  to: string | URL,
  ca: Pem | null,
  timeoutMs: number,
  problems: ConfigProblem[],
): TargetSettings | null {
  const refuse = (problem: string): null => {
    problems.push({ setting: "to", problem });
    return null;
  };
  const url = parseUrl(to);
  if (url === null) return refuse("is not a URL such as http://127.0.0.1:8080");
  if (!["http:", "https:", "tcp:"].includes(url.protocol)) {
    return refuse("must be http://, https:// or tcp://");
  }
  if (url.hostname === "") return refuse("names no host");
  const path = url.pathname === "/" ? "" : url.pathname;
  const user = url.username + url.password;
  if (path !== "" || url.search !== "" || url.hash !== "" || user !== "") {
    return refuse("must be a host and port alone: bytes are passed on as they are");
  }
  const tls = url.protocol === "https:";
  const fallback = url.protocol === "tcp:" ? 0 : tls ? 443 : 80;
  const port = url.port === "" ? fallback : Number(url.port);
  if (port === 0) return refuse("names no port");
  // Node's net wants an IPv6 address without the brackets of a URL.
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  return { kind: "address", host, port, tls, ca, timeoutMs, text: `${url.protocol}//${url.host}` };
}

/** Node passes over what is no certificate, and then trusts nobody. */
function checkPem(setting: string, pem: Pem | undefined, problems: ConfigProblem[]): void {
  if (pem === undefined) return;
  try {
    new X509Certificate(pem.toString());
  } catch {
    problems.push({ setting, problem: "holds no certificate in PEM" });
  }
}

function checkMux(
  given: Partial<MuxOptions> | undefined,
  maxStreams: number,
  problems: ConfigProblem[],
): MuxOptions | null {
  try {
    // The agent refuses streams over its limit itself, and logs it; the session's own limit lies above. A relay that
    // serves many callers opens and resets as fast as they do: the guards against a hostile opener stay off. A slow
    // local service may let every stream fill its initial window, and none of them is to be reset for that.
    const maxInboundStreams = maxStreams + 64;
    const growthBytes = given?.maxSessionWindowGrowthBytes ?? WINDOW_GROWTH_BYTES;
    const windowBytes = given?.initialWindowBytes ?? WINDOW_BYTES;
    return muxOptions({
      guardPeer: false,
      maxInboundStreams,
      acceptBacklog: Math.max(256, maxInboundStreams),
      maxSessionWindowGrowthBytes: growthBytes,
      maxSessionRecvBufferBytes: 2 * (maxInboundStreams * windowBytes + growthBytes),
      ...given,
    });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    for (const { setting, problem } of error.problems) {
      problems.push({ setting: `mux.${setting}`, problem });
    }
    return null;
  }
}
