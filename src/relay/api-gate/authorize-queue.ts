import type { Logger } from "pino";
import { Backoff } from "../../core/backoff.ts";
import type { Clock } from "../../core/clock.ts";
import {
  AUTHORIZE_CHECKS_MAX,
  AUTHORIZE_RECHECK_MAX,
  type AuthorizeAnswer,
  type AuthorizeRequest,
  type DeviceOwner,
  type KeyAccepted,
  type SecretRefused,
  type TokenAccepted,
} from "../../core/contract.ts";
import type { GateTimers } from "./timers.ts";

/** The answers to each kind of check. */
export interface Replies {
  tokens: TokenAccepted | SecretRefused;
  keys: KeyAccepted | SecretRefused;
  devices: DeviceOwner | null;
}

/** What a check comes to; `reply` is undefined where the API server is away or too much waits already. */
export type Outcome<K extends keyof Replies> =
  | { readonly answered: true; readonly reply: Replies[K] }
  | { readonly answered: false };

/** Who hears what the queue finds out by itself. */
export interface QueueListener {
  /** A re-check came back: these are good, those are not. */
  queueOnRechecked(good: readonly string[], revoked: readonly string[]): void;
  /** The API server answers again after it was away. */
  queueOnBack(): void;
}

/** What an {@link AuthorizeQueue} is made from. */
export interface QueueOptions {
  /** Makes one call. Whatever it rejects with counts as "the API server is away". */
  readonly send: (request: AuthorizeRequest) => Promise<AuthorizeAnswer>;
  readonly listener: QueueListener;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly timers: GateTimers;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** Checks that wait or are under way; what comes on top is not answered. */
  readonly waitingMax: number;
}

/** How long the first check waits for company. */
export const WAIT_MS = 50;
/**
 * The same after a call with so many checks: a fleet comes back over seconds, as fast as handshakes are taken in, and
 * 50 ms of it would be many calls of few checks. The longest wait is mostly cut short by the 500th check.
 */
export const STORM_WAITS: readonly { readonly checksMin: number; readonly waitMs: number }[] = [
  { checksMin: 100, waitMs: 500 },
  { checksMin: 25, waitMs: 250 },
];
/** Between tries while the API server is away, with jitter below. */
const PROBE_BASE_MS = 500;
const PROBE_CAP_MS = 5_000;
const PROBE_LEAST_MS = 100;

interface Check {
  readonly kind: keyof Replies;
  /** Reference, or device id. */
  readonly name: string;
  readonly digest: string;
  readonly id: string;
  readonly promise: Promise<Outcome<keyof Replies>>;
  readonly settle: (outcome: Outcome<keyof Replies>) => void;
  /** What it asks about changed while it was under way: the answer may be from before. */
  again: boolean;
}

/**
 * Gathers checks into authorize calls: one is sent when 500 wait or 50 ms after the first, and only one is under way.
 * The same question is asked once, however many wait for its answer. Re-checks go along and never wait.
 *
 * When a call fails the API server is away: everything is answered at once as not answered, and only the queue's own
 * probe goes out, until one succeeds.
 */
export class AuthorizeQueue {
  readonly #options: QueueOptions;
  /** Waiting and under way, by what they ask. */
  readonly #checks = new Map<string, Check>();
  #waiting: Check[] = [];
  #flying: Check[] = [];
  readonly #recheck = new Set<string>();
  #busy = false;
  #firstAt = 0;
  #waitMs = WAIT_MS;
  #timer: unknown = null;
  readonly #backoff: Backoff;
  /** When a call failed first in a row; -1 while the API server answers. */
  #awaySince = -1;
  #probeAt = 0;
  #closed = false;

  constructor(options: QueueOptions) {
    this.#options = options;
    this.#backoff = new Backoff({
      baseMs: PROBE_BASE_MS,
      capMs: PROBE_CAP_MS,
      random: options.random,
    });
  }

  get away(): boolean {
    return this.#awaySince >= 0;
  }

  /** Milliseconds since the first of the calls that failed; 0 while the API server answers. */
  get awayMs(): number {
    return this.away ? this.#options.clock.now() - this.#awaySince : 0;
  }

  /** When it is worth while to ask again, in seconds, at least 1. */
  get retryAfterS(): number {
    const leftMs = this.away ? this.#probeAt - this.#options.clock.now() : 0;
    return Math.max(1, Math.ceil(leftMs / 1_000));
  }

  /** Checks that wait or are under way. */
  get size(): number {
    return this.#checks.size;
  }

  /** Asks one question. Never rejects. `digest` is "" for devices. */
  ask<K extends keyof Replies>(kind: K, name: string, digest: string): Promise<Outcome<K>> {
    const id = `${name}.${digest}`;
    const known = this.#checks.get(id);
    if (known !== undefined) return known.promise as Promise<Outcome<K>>;
    if (this.#closed || this.away || this.#checks.size >= this.#options.waitingMax) {
      return Promise.resolve({ answered: false });
    }
    let settle: Check["settle"] = () => {};
    const promise = new Promise<Outcome<keyof Replies>>((resolve) => {
      settle = resolve;
    });
    const check: Check = { kind, name, digest, id, promise, settle, again: false };
    this.#checks.set(id, check);
    if (this.#waiting.length === 0) this.#firstAt = this.#options.clock.now();
    this.#waiting.push(check);
    this.#pump();
    return promise as Promise<Outcome<K>>;
  }

  /** Re-checks live tunnels by the references of their tokens; those that wait already are not doubled. */
  recheck(refs: Iterable<string>): void {
    for (const ref of refs) this.#recheck.add(ref);
    this.#pump();
  }

  /** Sends a call although nothing may be asked: to learn whether the API server is there. */
  ping(): void {
    if (!this.#busy && !this.#closed && !this.away) this.#send();
  }

  /** What is under way about these names is asked again before it is answered. */
  forget(names: ReadonlySet<string>): void {
    for (const check of this.#flying) if (names.has(check.name)) check.again = true;
  }

  /** Answers all that wait, and asks nothing more. */
  close(): void {
    this.#closed = true;
    this.#options.timers.clear(this.#timer);
    this.#dropAll();
  }

  #pump(): void {
    if (this.#busy || this.#closed) return;
    const { clock } = this.#options;
    let dueInMs = Number.POSITIVE_INFINITY;
    if (this.away) dueInMs = this.#probeAt - clock.now();
    else if (this.#recheck.size > 0 || this.#waiting.length >= AUTHORIZE_CHECKS_MAX) dueInMs = 0;
    else if (this.#waiting.length > 0) dueInMs = this.#firstAt + this.#waitMs - clock.now();
    if (dueInMs <= 0) {
      this.#send();
      return;
    }
    if (this.#timer !== null || dueInMs === Number.POSITIVE_INFINITY) return;
    this.#timer = this.#options.timers.set(() => {
      this.#timer = null;
      this.#pump();
    }, Math.ceil(dueInMs));
  }

  #send(): void {
    this.#options.timers.clear(this.#timer);
    this.#timer = null;
    this.#busy = true;
    const flying = this.#waiting.splice(0, AUTHORIZE_CHECKS_MAX);
    const recheck: string[] = [];
    for (const ref of this.#recheck) {
      if (recheck.length === AUTHORIZE_RECHECK_MAX) break;
      recheck.push(ref);
      this.#recheck.delete(ref);
    }
    this.#flying = flying;
    const secrets = (kind: keyof Replies): { ref: string; digest: string }[] =>
      of(flying, kind).map(({ name, digest }) => ({ ref: name, digest }));
    const request: AuthorizeRequest = {
      tokens: secrets("tokens"),
      keys: secrets("keys"),
      devices: of(flying, "devices").map(({ name }) => name),
      recheck,
    };
    this.#options.send(request).then(
      (answer) => this.#answered(flying, recheck, answer),
      (error: unknown) => this.#failed(error),
    );
  }

  #answered(flying: readonly Check[], recheck: readonly string[], answer: AuthorizeAnswer): void {
    this.#flying = [];
    this.#busy = false;
    if (this.#closed) return;
    this.#waitMs = waitAfter(flying.length, this.#waitMs);
    const wasAway = this.away;
    this.#awaySince = -1;
    this.#backoff.reset();
    for (const kind of ["tokens", "keys", "devices"] as const) {
      for (const [index, check] of of(flying, kind).entries()) {
        if (check.again) {
          check.again = false;
          this.#waiting.unshift(check);
        } else {
          this.#checks.delete(check.id);
          const reply = answer[kind][index] as Replies[keyof Replies];
          check.settle({ answered: true, reply });
        }
      }
    }
    if (recheck.length > 0) {
      const revoked = new Set(answer.revoked);
      const good = recheck.filter((ref) => !revoked.has(ref));
      this.#options.listener.queueOnRechecked(good, answer.revoked);
    }
    if (wasAway) {
      this.#options.logger.info("the API server is back");
      this.#options.listener.queueOnBack();
    }
    this.#pump();
  }

  #failed(error: unknown): void {
    this.#flying = [];
    this.#busy = false;
    if (this.#closed) return;
    const now = this.#options.clock.now();
    if (!this.away) {
      this.#awaySince = now;
      this.#options.logger.error(
        { err: error },
        "the API server is away: known tokens and keys stay good, unknown ones are answered 503",
      );
    }
    this.#probeAt = now + PROBE_LEAST_MS + this.#backoff.next();
    // Everything that lives is re-checked when it is back.
    this.#recheck.clear();
    this.#dropAll();
    this.#pump();
  }

  #dropAll(): void {
    const checks = [...this.#checks.values()];
    this.#checks.clear();
    this.#waiting = [];
    for (const check of checks) check.settle({ answered: false });
  }
}

/** Where few come after many the wait is halved, call by call: the last of a fleet come a few at a time for a second or two. */
function waitAfter(checks: number, beforeMs: number): number {
  const waitMs = STORM_WAITS.find(({ checksMin }) => checks >= checksMin)?.waitMs ?? WAIT_MS;
  return Math.max(waitMs, Math.floor(beforeMs / 2));
}

function of(checks: readonly Check[], kind: keyof Replies): Check[] {
  return checks.filter((check) => check.kind === kind);
}
