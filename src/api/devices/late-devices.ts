import { CHANGES_MAX } from "../../core/contract.ts";
import type { ApiContext } from "../context.ts";
import { type RemovedDevice, removeUnconnectedDevices } from "../store/index.ts";

/** References and ids together that one announcement may have; a device comes with one token or a few. */
const DEVICES_AT_ONCE = CHANGES_MAX / 20;

/**
 * Removes the devices that were paired and did not connect in time, with their tokens. To be called about once a minute;
 * several processes may do so at once.
 *
 * @throws what the store throws; what was removed before has been announced
 */
export async function removeLateDevices(context: ApiContext): Promise<void> {
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
}

async function cut(context: ApiContext, removed: readonly RemovedDevice[]): Promise<void> {
  for (let at = 0; at < removed.length; at += DEVICES_AT_ONCE) {
    const some = removed.slice(at, at + DEVICES_AT_ONCE);
    const revoked = some.flatMap(({ tokenRefs }) => tokenRefs);
    context.endings.end(revoked);
    await context.changes.announce({ revoked, devices: some.map(({ id }) => id) });
  }
}
