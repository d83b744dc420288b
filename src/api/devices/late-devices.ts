import { CHANGES_MAX } from "../../core/contract.ts";
import type { ApiContext } from "../context.ts";
import { isReachable, type RemovedDevice, removeUnconnectedDevices } from "../store/index.ts";

/** References and ids together that one announcement may have; a device comes with one token or a few. */
const DEVICES_AT_ONCE = CHANGES_MAX / 20;

/** How long the word of a connection may be on its way. */
const REPORT_GRACE_MS = 30_000;

/**
 * Removes devices that did not connect in time, again and again. A relay that could not tell of a connection, because this
 * server or its database was away, tells it within seconds; so after a start, and after a failure, one round is left out.
 */
export class LateDevices {
  readonly #context: ApiContext;
  #isSettled = false;

  constructor(context: ApiContext) {
    this.#context = context;
  }

  /**
   * One round, to be made about once a minute.
   *
   * @throws what the store throws
   */
  async round(): Promise<void> {
    if (!this.#isSettled) {
      this.#isSettled = await isReachable(this.#context.store);
      return;
    }
    try {
      await removeLateDevices(this.#context, REPORT_GRACE_MS);
    } catch (error) {
      this.#isSettled = false;
      throw error;
    }
  }
}

/**
 * Removes the devices that were paired and did not connect in time, with their tokens. Several processes may do so at
 * once.
 *
 * @param graceMs how long after their time
 * @throws what the store throws; what was removed before has been announced
 */
export async function removeLateDevices(context: ApiContext, graceMs = 0): Promise<void> {
  const removed = await removeUnconnectedDevices(context.store, graceMs);
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
}

async function cut(context: ApiContext, removed: readonly RemovedDevice[]): Promise<void> {
  for (let at = 0; at < removed.length; at += DEVICES_AT_ONCE) {
    const some = removed.slice(at, at + DEVICES_AT_ONCE);
    const revoked = some.flatMap(({ tokenRefs }) => tokenRefs);
    context.endings.end(revoked);
    await context.changes.announce({ revoked, devices: some.map(({ id }) => id) });
  }
}
