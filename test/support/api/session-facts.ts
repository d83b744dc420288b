import type { SessionFacts } from "../../../src/api/index.ts";

/** What is known of a login session whose person signed in at that time. */
export function sessionFacts(authTimeMs: number): SessionFacts {
  return {
    key: "0".repeat(64),
    publicId: "0".repeat(24),
    authTimeMs,
    createdAtMs: authTimeMs,
    idleExpiresAtMs: authTimeMs + 1_800_000,
    absoluteExpiresAtMs: authTimeMs + 43_200_000,
  };
}
