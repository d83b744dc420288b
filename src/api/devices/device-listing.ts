import { type Device, type DeviceFilter, listDevices, type TenantId } from "../store/index.ts";
import { deviceError } from "./errors.ts";
import type { SessionsByDevice } from "./live-sessions.ts";
import type { DeviceParts } from "./parts.ts";
import type { LiveState } from "./shapes.ts";

/** How much is read for one page where the relay's word decides what is on it. */
export interface ReadingBounds {
  /** Rows at a time. */
  readonly rows: number;
  readonly batchesMax: number;
}

const BOUNDS: ReadingBounds = { rows: 1_000, batchesMax: 10 };

/** A device and what the relay says of it. */
export interface ListedDevice {
  readonly device: Device;
  readonly live: LiveState;
}

/** One page of a listing. It may be short, even empty, and have a `next` all the same. */
export interface DevicePage {
  readonly devices: readonly ListedDevice[];
  readonly next?: string;
}

/**
 * Lists the devices of a tenant.
 *
 * @param connected only those that are, or are not, connected
 * @throws ApiError `relay_unavailable` where `connected` is given and the relay cannot be asked
 */
export async function pageOfDevices(
  { context, live }: DeviceParts,
  tenant: TenantId,
  filter: DeviceFilter,
  connected: boolean | undefined,
  bounds: ReadingBounds = BOUNDS,
): Promise<DevicePage> {
  const { limit } = filter;
  const found: ListedDevice[] = [];
  const batch = connected === undefined ? limit + 1 : bounds.rows;
  let after = filter.after ?? "";
  for (let count = 0; count < bounds.batchesMax; count++) {
    const rows = await listDevices(context.store, tenant, { ...filter, limit: batch, after });
    const owners = new Set(rows.map(({ ownerId }) => ownerId));
    const sessions = await live.of(
      rows.map(({ id }) => id),
      owners,
    );
    if (sessions === null && connected !== undefined) {
      throw deviceError("relay_unavailable", { retryAfter: 5 });
    }
    for (const device of rows) {
      const state = stateOf(device, sessions);
      if (connected === undefined || connected === (state !== false)) {
        found.push({ device, live: state });
      }
    }
    if (found.length > limit) {
      const devices = found.slice(0, limit);
      return { devices, next: devices.at(-1)?.device.id ?? "" };
    }
    if (rows.length < batch) return { devices: found };
    after = rows.at(-1)?.id ?? "";
  }
  return { devices: found, next: after };
}

function stateOf({ id }: Device, sessions: SessionsByDevice | null): LiveState {
  return sessions === null ? null : (sessions.get(id) ?? false);
}
