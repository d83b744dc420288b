import type { Logger } from "pino";
import { CHANGES_MAX } from "../../core/contract.ts";
import type { ApiContext } from "../context.ts";
import { type RemovedDevice, removeExpired, removeUnconnectedDevices } from "../store/index.ts";
import { processTimers, type Timers } from "../timers.ts";

/** How often the API server cleans up. */
export const HOUSEKEEPING_MS = 60_000;

/** References and ids together that one announcement may have; a device comes with one token or a few. */
const DEVICES_AT_ONCE = CHANGES_MAX / 20;

/**
 * Removes the devices that were paired and did not connect in time, with their tokens, and whatever else has run out.
 * To be called about once a minute; several processes may do so at once.
 *
 * @param options.idleMs the idle limit of login sessions
 * @throws what the store throws; what was removed before has been announced
 */
export async function runHousekeeping(
  context: ApiContext,
  options: { readonly idleMs: number },
): Promise<void> {
  const removed = await removeUnconnectedDevices(context.store);
  // The rows were written where the devices were removed.
  for (const { id, tenant, name } of removed) {
    context.audit.tell({
      event: "pairing_failed",
      tenant,
      asker: null,
      actor: null,
      objectId: id,
      detail: { reason: "not_connected", name },
    });
  }
  await cut(context, removed);
  await removeExpired(context.store, options);
}

async function cut(context: ApiContext, removed: readonly RemovedDevice[]): Promise<void> {
  for (let at = 0; at < removed.length; at += DEVICES_AT_ONCE) {
    const some = removed.slice(at, at + DEVICES_AT_ONCE);
    const revoked = some.flatMap(({ tokenRefs }) => tokenRefs);
    context.endings.end(revoked);
    await context.changes.announce({ revoked, devices: some.map(({ id }) => id) });
  }
}

/** Does something again and again, a while after the last time was over: it never runs twice at once. */
export class Housekeeping {
  readonly #run: () => Promise<void>;
  readonly #logger: Logger;
  readonly #timers: Timers;
  readonly #intervalMs: number;
  #running: Promise<void> | null = null;
  #cancel: (() => void) | null = null;
  #isStarted = false;

  constructor(
    run: () => Promise<void>,
    options: { readonly logger: Logger; readonly intervalMs?: number; readonly timers?: Timers },
  ) {
    this.#run = run;
    this.#logger = options.logger;
    this.#intervalMs = options.intervalMs ?? HOUSEKEEPING_MS;
    this.#timers = options.timers ?? processTimers;
  }

  /** Runs now, and from then on after each interval. A second call does nothing. */
  start(): void {
    if (this.#isStarted) return;
    this.#isStarted = true;
    this.#go();
  }

  /** Begins no further run and waits for the one under way. It may be started again. */
  async stop(): Promise<void> {
    this.#isStarted = false;
    this.#cancel?.();
    this.#cancel = null;
    await this.#running;
  }

  #go(): void {
    // One that was stopped and started again may still be under way: it goes on by itself.
    if (this.#running !== null) return;
    this.#running = this.#once().finally(() => {
      this.#running = null;
      if (this.#isStarted) this.#cancel = this.#timers.after(this.#intervalMs, () => this.#go());
    });
  }

  async #once(): Promise<void> {
    try {
      await this.#run();
    } catch (error) {
      this.#logger.error({ err: error }, "housekeeping failed; it is tried again");
    }
  }
}
