import {
  type LogoutNotice,
  type LogoutSink,
  type MachineClient,
  type MachineClients,
  noticeCovers,
  type OidcClock,
  type OidcLog,
  type OidcTimers,
  type PendingSignIn,
  type PendingSignIns,
  type SignInRef,
} from "../../../src/api/oidc/index.ts";

/** 2030-01-01: far from the process's time, so that a test notices who reads the wrong clock. */
const START_EPOCH_MS = 1_893_456_000_000;

/** Clock and timers that move by {@link advance} alone. */
export class TestTime implements OidcClock, OidcTimers {
  #now = 0;
  #next = 1;
  readonly #timers = new Map<number, { readonly atMs: number; readonly callback: () => void }>();

  now(): number {
    return this.#now;
  }

  epochMs(): number {
    return START_EPOCH_MS + this.#now;
  }

  /** Epoch seconds, as tokens have them. */
  epochSec(): number {
    return Math.floor(this.epochMs() / 1_000);
  }

  set(callback: () => void, delayMs: number): number {
    const handle = this.#next++;
    this.#timers.set(handle, { atMs: this.#now + delayMs, callback });
    return handle;
  }

  clear(handle: unknown): void {
    this.#timers.delete(handle as number);
  }

  /** How long until the next timer; null without one. */
  get nextDelayMs(): number | null {
    const times = [...this.#timers.values()].map(({ atMs }) => atMs - this.#now);
    return times.length === 0 ? null : Math.min(...times);
  }

  /** Moves the time and runs what is due. */
  advance(ms: number): void {
    this.#now += ms;
    for (const [handle, { atMs, callback }] of [...this.#timers]) {
      if (atMs > this.#now || !this.#timers.delete(handle)) continue;
      callback();
    }
  }
}

/** The process's clock and timers, for tests against a provider that has its own. */
export const realTime: OidcClock & OidcTimers = {
  now: () => performance.now(),
  epochMs: () => Date.now(),
  set: (callback, delayMs) => setTimeout(callback, delayMs).unref(),
  clear: (handle) => clearTimeout(handle as NodeJS.Timeout | undefined),
};

/** Keeps lines as they would be written. */
export class RecordingLog implements OidcLog {
  readonly lines: string[] = [];

  info(fields: object, message: string): void {
    this.#write("info", fields, message);
  }

  warn(fields: object, message: string): void {
    this.#write("warn", fields, message);
  }

  error(fields: object, message: string): void {
    this.#write("error", fields, message);
  }

  #write(level: string, fields: object, message: string): void {
    this.lines.push(JSON.stringify({ level, ...fields, message }));
  }
}

/** The pending sign-ins of one browser, eight at most. */
export class MemoryPending implements PendingSignIns {
  readonly #pending = new Map<string, PendingSignIn>();

  get size(): number {
    return this.#pending.size;
  }

  async put(pending: PendingSignIn): Promise<void> {
    this.#pending.set(pending.state, pending);
    const [oldest] = this.#pending.keys();
    if (this.#pending.size > 8 && oldest !== undefined) this.#pending.delete(oldest);
  }

  async take(state: string): Promise<PendingSignIn | null> {
    const pending = this.#pending.get(state) ?? null;
    this.#pending.delete(state);
    return pending;
  }

  /** What is kept for a state, left in place. */
  peek(state: string): PendingSignIn | null {
    return this.#pending.get(state) ?? null;
  }
}

/** A session as the store of the server would have it. */
export interface TestSession extends SignInRef {
  readonly id: string;
}

/** Logouts take effect on a list of sessions. */
export class MemoryLogouts implements LogoutSink {
  readonly sessions = new Map<string, TestSession>();
  readonly notices: LogoutNotice[] = [];

  async apply(notice: LogoutNotice): Promise<"applied" | "replayed"> {
    const known = this.notices.some(
      ({ issuer, tokenId }) => issuer === notice.issuer && tokenId === notice.tokenId,
    );
    if (known) return "replayed";
    this.notices.push(notice);
    for (const session of this.sessions.values()) {
      if (noticeCovers(notice, session)) this.sessions.delete(session.id);
    }
    return "applied";
  }

  async isEnded(signIn: SignInRef): Promise<boolean> {
    return this.notices.some((notice) => noticeCovers(notice, signIn));
  }
}

/** Machine clients by issuer and id. */
export class MemoryClients implements MachineClients {
  readonly clients = new Map<string, MachineClient>();

  async find(issuer: string, clientId: string): Promise<MachineClient | null> {
    return this.clients.get(`${issuer} ${clientId}`) ?? null;
  }
}
