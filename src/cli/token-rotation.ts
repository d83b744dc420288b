import { readFileSync } from "node:fs";
import type { AgentLog } from "../agent/index.ts";
import { parseToken } from "../core/token.ts";
import {
  type AgentFiles,
  type AgentState,
  storeAgentState,
  withAgentFiles,
} from "./agent-state.ts";
import { ApiClient, ApiRefusal, record, textOf } from "./api-client.ts";
import { type CliErrorCode, CommandError } from "./errors.ts";

/** What a {@link TokenRotation} needs of the process; a test brings its own. */
export interface RotationParts {
  /** Milliseconds since 1970 in UTC. */
  readonly now: () => number;
  /** Calls back once after a time that timers can hold; the function returned takes that back. */
  readonly after: (ms: number, callback: () => void) => () => void;
}

const PROCESS_PARTS: RotationParts = {
  now: Date.now,
  after: (ms, callback) => {
    const timer = setTimeout(callback, ms).unref();
    return () => clearTimeout(timer);
  },
};

/** The part of a token's life after which it is replaced. */
const ROTATE_AT = 0.8;
/** Longer times do not fit into a timer. */
const TIMER_MAX_MS = 24 * 60 * 60_000;
/** Between two replacements, also where the clocks of device and server disagree about what a token has left. */
const INTERVAL_MIN_MS = 10 * 60_000;
const RETRY_FIRST_MS = 60_000;
const RETRY_MAX_MS = 60 * 60_000;

/** When a token is to be replaced: milliseconds since 1970; null for one that never ends. */
export function rotationTime({ issued_at, expires_at }: AgentState): number | null {
  if (expires_at === null) return null;
  const issued = Date.parse(issued_at);
  return issued + Math.max(0, Date.parse(expires_at) - issued) * ROTATE_AT;
}

/**
 * Replaces the token of a paired device when four fifths of its life are over. The new one is in its file before
 * anything uses it; the agent reads the file before each dial, and the server ends the old token when the new one is
 * used, or after a day.
 */
export class TokenRotation {
  readonly #files: AgentFiles;
  readonly #log: AgentLog;
  readonly #parts: RotationParts;
  #state: AgentState;
  #cancel: () => void = () => {};
  #failures = 0;
  #isStopped = false;

  constructor(
    files: AgentFiles,
    state: AgentState,
    log: AgentLog,
    parts: RotationParts = PROCESS_PARTS,
  ) {
    this.#files = files;
    this.#state = state;
    this.#log = log;
    this.#parts = parts;
    this.#plan(rotationTime(state));
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancel();
  }

  #plan(at: number | null): void {
    if (at === null || this.#isStopped) return;
    const waitMs = Math.max(0, at - this.#parts.now());
    this.#cancel = this.#parts.after(Math.min(waitMs, TIMER_MAX_MS), () => {
      if (this.#parts.now() < at) this.#plan(at);
      else void this.#rotate();
    });
  }

  /** Never rejects. */
  async #rotate(): Promise<void> {
    try {
      this.#state = await withAgentFiles(this.#files, () =>
        rotate(this.#files, this.#state, this.#parts.now),
      );
      this.#failures = 0;
      const until = this.#state.expires_at ?? "";
      this.#log.info(
        { state: "rotated" },
        `the device's token was replaced${until && `; the new one ends ${until}`}`,
      );
      const next = rotationTime(this.#state);
      this.#plan(next === null ? null : Math.max(next, this.#parts.now() + INTERVAL_MIN_MS));
    } catch (error) {
      this.#failures += 1;
      const waitMs = Math.min(RETRY_FIRST_MS * 2 ** (this.#failures - 1), RETRY_MAX_MS);
      const reason = error instanceof Error ? error.message : "no reason";
      const seconds = Math.round(waitMs / 1_000);
      this.#log.warn(
        { state: "rotation_failed" },
        `the device's token could not be replaced: ${reason} Trying again in ${seconds} s.`,
      );
      this.#plan(this.#parts.now() + waitMs);
    }
  }
}

/** Asks for a new token with the one in the file, and stores it. */
async function rotate(
  files: AgentFiles,
  state: AgentState,
  now: () => number,
): Promise<AgentState> {
  const token = readFileSync(files.token, "utf8").trim();
  const client = new ApiClient({ api: state.api, key: token, ca: state.ca });
  try {
    const issued = record(await client.post("/api/device/token:rotate"));
    const next = textOf(issued, "token");
    const parsed = parseToken(next);
    if (!parsed.ok || parsed.kind !== "device") {
      throw new CommandError(
        "ERR_CLI_API_ANSWER" satisfies CliErrorCode,
        "The answer has no device token.",
        "",
      );
    }
    const expires = issued["expires_at"];
    const rotated: AgentState = {
      ...state,
      issued_at: new Date(now()).toISOString(),
      expires_at: typeof expires === "string" ? new Date(expires).toISOString() : null,
    };
    await storeAgentState(files, rotated, next);
    return rotated;
  } catch (error) {
    if (error instanceof ApiRefusal && error.status === 401) {
      throw new CommandError(
        error.code,
        "The server does not know this token any more; pair the device anew.",
        "",
      );
    }
    throw error;
  } finally {
    await client.close();
  }
}
