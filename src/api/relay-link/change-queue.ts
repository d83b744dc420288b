import type { Logger } from "pino";
import { Backoff } from "../../core/backoff.ts";
import { CHANGES_MAX, type CredentialChanges } from "../../core/contract.ts";
import type { RelayChanges } from "../context.ts";
import type { RelayClient } from "../relay-client.ts";
import { RelayCallError } from "../relay-client-errors.ts";
import { processTimers, type Timers } from "../timers.ts";

/** What a {@link RelayChangeQueue} is made from. Times in milliseconds. */
export interface ChangeQueueOptions {
  readonly relay: Pick<RelayClient, "announce">;
  readonly logger: Logger;
  readonly timers?: Timers;
  /** Uniform in [0, 1). */
  readonly random?: () => number;
  /** Entries that wait at most; what comes on top is left to the relay's own re-check. */
  readonly entriesMax?: number;
  /** Entries of one call; at most what the relay takes. */
  readonly callMax?: number;
  /** How long {@link RelayChangeQueue.announce} waits for a relay that does not answer. */
  readonly settleMs?: number;
  /** For one call; after it the relay is away. */
  readonly callTimeoutMs?: number;
}

type List = keyof CredentialChanges;
const LISTS: readonly List[] = ["revoked", "changed", "devices"];

interface Entry {
  readonly list: List;
  readonly id: string;
  /** Which announcement brought it. */
  readonly serial: number;
}

interface Waiter {
  readonly serial: number;
  readonly settle: () => void;
}

/** Some minutes of a busy server; each costs some 150 bytes. */
const ENTRIES_MAX = 50_000;
const SETTLE_MS = 1_000;
const CALL_TIMEOUT_MS = 5_000;
/** A relay that is back must hear of revocations well within the 2 s that they may take. */
const BACKOFF = { baseMs: 100, capMs: 1_500 };

/**
 * Tells the relay what is good no longer, in order, one call at a time, again and again until it is taken.
 *
 * While the relay is away everything waits here, each thing once. When as much waits as may, what comes on top is
 * dropped and logged: the relay re-checks all live tokens and all keys in use each minute, and as soon as it reaches the
 * API server again.
 */
export class RelayChangeQueue implements RelayChanges {
  readonly #relay: Pick<RelayClient, "announce">;
  readonly #logger: Logger;
  readonly #timers: Timers;
  readonly #backoff: Backoff;
  readonly #limits: { entriesMax: number; callMax: number; settleMs: number; callMs: number };
  /** By list and id, in the order in which they came. */
  readonly #entries = new Map<string, Entry>();
  readonly #waiters = new Set<Waiter>();
  #serial = 0;
  /** The call under way. */
  #call: Promise<void> | null = null;
  /** Of the call under way: its first serial, for those who wait. */
  #callSerial = Number.POSITIVE_INFINITY;
  #cancelRetry: (() => void) | null = null;
  #isAway = false;
  #isClosed = false;
  #dropped = 0;

  constructor(options: ChangeQueueOptions) {
    this.#relay = options.relay;
    this.#logger = options.logger;
    this.#timers = options.timers ?? processTimers;
    const { random } = options;
    this.#backoff = new Backoff({ ...BACKOFF, ...(random === undefined ? {} : { random }) });
    this.#limits = {
      entriesMax: options.entriesMax ?? ENTRIES_MAX,
      callMax: Math.min(options.callMax ?? CHANGES_MAX, CHANGES_MAX),
      settleMs: options.settleMs ?? SETTLE_MS,
      callMs: options.callTimeoutMs ?? CALL_TIMEOUT_MS,
    };
  }

  /** Entries that wait, those of the call under way left out. */
  get size(): number {
    return this.#entries.size;
  }

  announce(changes: Partial<CredentialChanges>): Promise<void> {
    this.#serial += 1;
    const serial = this.#serial;
    let added = 0;
    for (const list of LISTS) {
      for (const id of changes[list] ?? []) if (this.#add({ list, id, serial })) added += 1;
    }
    if (added === 0 || this.#isClosed) return Promise.resolve();
    const taken = new Promise<void>((resolve) => {
      const waiter: Waiter = {
        serial,
        settle: () => {
          cancel();
          this.#waiters.delete(waiter);
          resolve();
        },
      };
      const cancel = this.#timers.after(this.#limits.settleMs, () => waiter.settle());
      this.#waiters.add(waiter);
    });
    if (this.#call === null && this.#cancelRetry === null) this.#send();
    return taken;
  }

  /** Sends what waits once more, then lets everybody go. What could not be sent is left to the relay's re-check. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancelRetry?.();
    this.#cancelRetry = null;
    await this.#call;
    let left = this.#entries.size;
    while (left > 0) {
      this.#send();
      await this.#call;
      if (this.#entries.size >= left) break;
      left = this.#entries.size;
    }
    if (left > 0) this.#logger.warn({ count: left }, "changes that the relay was not told of");
    for (const waiter of this.#waiters) waiter.settle();
  }

  #add(entry: Entry): boolean {
    const name = `${entry.list} ${entry.id}`;
    // It keeps its place: it is sent after both commits, and whoever waits for the first one waits for it.
    if (this.#entries.has(name)) return true;
    if (this.#entries.size >= this.#limits.entriesMax) {
      if (this.#dropped === 0) {
        this.#logger.error("too many changes wait for the relay: its own re-check has to do");
      }
      this.#dropped += 1;
      return false;
    }
    this.#entries.set(name, entry);
    return true;
  }

  #send(): void {
    const batch: Entry[] = [];
    for (const [name, entry] of this.#entries) {
      if (batch.length >= this.#limits.callMax) break;
      batch.push(entry);
      this.#entries.delete(name);
    }
    const [first] = batch;
    if (first === undefined) return;
    this.#callSerial = first.serial;
    this.#call = this.#deliver(batch);
  }

  /** Makes one call. Never rejects. */
  async #deliver(batch: readonly Entry[]): Promise<void> {
    const idsOf = (list: List): string[] =>
      batch.filter((entry) => entry.list === list).map(({ id }) => id);
    const changes: CredentialChanges = {
      revoked: idsOf("revoked"),
      changed: idsOf("changed"),
      devices: idsOf("devices"),
    };
    const signal = AbortSignal.timeout(this.#limits.callMs);
    const error = await this.#relay.announce(changes, { signal }).then(
      () => null,
      (reason: unknown) => reason,
    );
    this.#call = null;
    this.#callSerial = Number.POSITIVE_INFINITY;
    if (error === null) this.#taken();
    else if (error instanceof RelayCallError && error.status === 400) {
      // Told again it would be refused again, and all that waits behind it with it.
      this.#logger.error({ err: error, count: batch.length }, "the relay cannot read changes");
      this.#taken();
    } else this.#failed(batch, error);
  }

  #taken(): void {
    if (this.#isAway) {
      this.#logger.info({ dropped: this.#dropped }, "the relay takes changes again");
      this.#isAway = false;
      this.#dropped = 0;
    }
    this.#backoff.reset();
    if (!this.#isClosed) this.#send();
    // Entries stand in the order of their serials: those that wait are not older than the first.
    const [next] = this.#entries.values();
    const open = Math.min(next?.serial ?? Number.POSITIVE_INFINITY, this.#callSerial);
    for (const waiter of this.#waiters) if (waiter.serial < open) waiter.settle();
  }

  /** Puts the batch back in front of what came meanwhile. */
  #failed(batch: readonly Entry[], error: unknown): void {
    if (!this.#isAway) this.#logger.warn({ err: error }, "the relay takes no changes");
    this.#isAway = true;
    const newer = [...this.#entries];
    this.#entries.clear();
    for (const entry of batch) this.#entries.set(`${entry.list} ${entry.id}`, entry);
    for (const [name, entry] of newer) if (!this.#entries.has(name)) this.#entries.set(name, entry);
    if (this.#isClosed) return;
    this.#cancelRetry = this.#timers.after(this.#backoff.next(), () => {
      this.#cancelRetry = null;
      this.#send();
    });
  }
}
