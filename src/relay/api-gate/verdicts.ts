import type { SecretRefused } from "../../core/contract.ts";
import type { Caller, CallerLimit, Verdict } from "../ports.ts";

/** A refusal, which fits any verdict. */
export type Refusal = Exclude<Verdict<never>, { ok: true }>;

/** The same for unknown, wrong, revoked, expired and malformed. */
export const UNAUTHORIZED: Refusal = {
  ok: false,
  status: 401,
  code: "ERR_RELAY_UNAUTHORIZED",
  retryAfter: 0,
};

const CODES = {
  401: "ERR_RELAY_UNAUTHORIZED",
  403: "ERR_RELAY_FORBIDDEN",
  429: "ERR_RELAY_LIMITED",
} as const;

/** The API server's refusal as the relay tells it. */
export function refusalOf({ status, retry_after }: SecretRefused): Refusal {
  return { ok: false, status, code: CODES[status], retryAfter: retry_after ?? 0 };
}

/** Nobody can say at present. */
export function unavailable(retryAfter: number): Refusal {
  return { ok: false, status: 503, code: "ERR_RELAY_GATE_UNAVAILABLE", retryAfter };
}

/** `expires_at` in milliseconds since 1970, infinite where there is none. */
export function expiryOf(expiresAt: string | undefined): number {
  return expiresAt === undefined ? Number.POSITIVE_INFINITY : Date.parse(expiresAt);
}

/** A key's holder. It reaches the devices of its tenant whose owner is known at the time of asking. */
export class ApiCaller implements Caller {
  readonly keyId: string;
  readonly userId: string;
  readonly limit: CallerLimit | null;
  readonly #tenantId: string;
  readonly #devices: ReadonlySet<string> | null;
  readonly #tenantOf: (deviceId: string) => string | null;

  constructor(
    keyId: string,
    key: { user_id: string; tenant_id: string; devices?: readonly string[] | undefined },
    tenantOf: (deviceId: string) => string | null,
    limit: CallerLimit | null,
  ) {
    this.limit = limit;
    this.keyId = keyId;
    this.userId = key.user_id;
    this.#tenantId = key.tenant_id;
    this.#devices = key.devices === undefined ? null : new Set(key.devices);
    this.#tenantOf = tenantOf;
  }

  allows(deviceId: string): boolean {
    if (this.#devices !== null && !this.#devices.has(deviceId)) return false;
    return this.#tenantOf(deviceId) === this.#tenantId;
  }
}
