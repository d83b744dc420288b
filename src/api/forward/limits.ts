import { forwardError } from "./errors.ts";

/** Requests to devices that are under way: in all, and of each tenant, so that none takes the place of the others. */
export class ForwardLimits {
  readonly #max: number;
  readonly #perTenantMax: number;
  readonly #byTenant = new Map<string, number>();
  #running = 0;

  constructor(max: number, perTenantMax: number) {
    this.#max = max;
    this.#perTenantMax = perTenantMax;
  }

  get running(): number {
    return this.#running;
  }

  /** Counts one more. @throws ApiError `forward_overloaded`, `forward_limited` */
  enter(tenant: string): void {
    const ofTenant = this.#byTenant.get(tenant) ?? 0;
    if (ofTenant >= this.#perTenantMax) throw forwardError("forward_limited", { retryAfter: 1 });
    if (this.#running >= this.#max) throw forwardError("forward_overloaded", { retryAfter: 1 });
    this.#byTenant.set(tenant, ofTenant + 1);
    this.#running += 1;
  }

  leave(tenant: string): void {
    const ofTenant = this.#byTenant.get(tenant) ?? 0;
    if (ofTenant <= 1) this.#byTenant.delete(tenant);
    else this.#byTenant.set(tenant, ofTenant - 1);
    this.#running -= 1;
  }
}
