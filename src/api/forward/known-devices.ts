import { wireTenant } from "../relay-link/index.ts";
import { getDevice, type Store, type TenantId } from "../store/index.ts";
import { forwardError } from "./errors.ts";

/**
 * How long a device that was found is not looked up again. One that another process removes meanwhile is answered 503 in place
 * of 404.
 */
const KNOWN_MS = 1_000;
const DEVICES_MAX = 10_000;

interface Known {
  readonly tenant: TenantId;
  readonly until: number;
  /** The store's {@link Store.removalEpoch} before it was found. */
  readonly epoch: number;
  /** How the tenant is named to the device. */
  readonly tenantName: string;
}

/** Devices that were found in a tenant a moment ago. What was not found is looked up each time. */
export class KnownDevices {
  readonly #store: Store;
  readonly #now: () => number;
  /** By id: each device is of one tenant. */
  readonly #known = new Map<string, Known>();

  readonly #devicesMax: number;

  /** @param now milliseconds since 1970 */
  constructor(store: Store, now: () => number, devicesMax = DEVICES_MAX) {
    this.#store = store;
    this.#now = now;
    this.#devicesMax = devicesMax;
  }

  get size(): number {
    return this.#known.size;
  }

  /**
   * The name of the tenant for a device of it, null where the tenant has no such device.
   *
   * @throws ApiError `device_unapproved`
   */
  tenantNameFor(tenant: TenantId, id: string): string | null | Promise<string | null> {
    const known = this.#known.get(id);
    if (known === undefined || known.tenant !== tenant) return this.#lookUp(tenant, id);
    const isCurrent = known.epoch === this.#store.removalEpoch && known.until > this.#now();
    return isCurrent ? known.tenantName : this.#lookUp(tenant, id);
  }

  async #lookUp(tenant: TenantId, id: string): Promise<string | null> {
    if (this.#known.get(id)?.tenant === tenant) this.#known.delete(id);
    const epoch = this.#store.removalEpoch;
    const device = await getDevice(this.#store, tenant, id);
    if (device === null) return null;
    if (device.awaitsApproval === 1) throw forwardError("device_unapproved");
    if (this.#known.size >= this.#devicesMax) this.#known.clear();
    const tenantName = wireTenant(tenant);
    this.#known.set(id, { tenant, until: this.#now() + KNOWN_MS, epoch, tenantName });
    return tenantName;
  }
}
