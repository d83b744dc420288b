import { forwardError } from "./errors.ts";

/** Tenants without a request that are remembered before they are all forgotten. */
const SILENT_MAX = 1_024;

/** Where a request was counted. */
export interface Entered {
  readonly running: number;
}

interface Tenant extends Entered {
  running: number;
}

/** Requests to devices that are under way: in all, and of each tenant, so that none takes the place of the others. */
export class ForwardLimits {
  readonly #max: number;
  readonly #perTenantMax: number;
  readonly #byTenant = new Map<string, Tenant>();
  #running = 0;

  constructor(max: number, perTenantMax: number) {
    this.#max = max;
    this.#perTenantMax = perTenantMax;
  }

  get running(): number {
    return this.#running;
  }

  /** Tenants that are remembered: those with requests, and some of those that had any. */
  get tenants(): number {
    return this.#byTenant.size;
  }

  /** Counts one more; what it returns is for {@link leave}. @throws ApiError `forward_overloaded`, `forward_limited` */
  enter(tenant: string): Entered {
    const ofTenant = this.#byTenant.get(tenant) ?? this.#remember(tenant);
    if (ofTenant.running >= this.#perTenantMax) {
      throw forwardError("forward_limited", { retryAfter: 1 });
    }
    if (this.#running >= this.#max) throw forwardError("forward_overloaded", { retryAfter: 1 });
    ofTenant.running += 1;
    this.#running += 1;
    return ofTenant;
  }

  leave(entered: Entered): void {
    (entered as Tenant).running -= 1;
    this.#running -= 1;
  }

  #remember(tenant: string): Tenant {
    if (this.#byTenant.size >= this.#max + SILENT_MAX) {
      for (const [name, { running }] of this.#byTenant) {
        if (running === 0) this.#byTenant.delete(name);
      }
    }
    const made = { running: 0 };
    this.#byTenant.set(tenant, made);
    return made;
  }
}
