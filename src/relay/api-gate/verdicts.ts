import type { SecretRefused } from "../../core/contract.ts";
import type { Verdict } from "../ports.ts";

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
