import { hash } from "node:crypto";
import type { Accounts } from "./accounts.ts";

/** What a session was granted for. */
export interface SessionScope {
  readonly selfId: string;
  /** Name of the authenticated caller; empty where there is a single trusted one. */
  readonly callerScope: string;
  readonly toTaId: string;
  readonly targetOrigin: string;
  readonly accounts: Accounts;
}

/**
 * The name under which a session is kept: SHA-256 in hex over everything that it was granted for.
 *
 * @see TA cooperation, section 9.1
 */
export function sessionKey(scope: SessionScope): string {
  const { selfId, callerScope, toTaId, targetOrigin, accounts } = scope;
  const { principal, related } = accounts;
  const entries: string[][] = [[principal.tag, "at", principal.atTag]];
  for (const { tag, iss, sub } of related) entries.push([tag, "id", iss, sub]);
  entries.sort(([a = ""], [b = ""]) => (a < b ? -1 : 1));
  return hash("sha256", JSON.stringify([selfId, callerScope, toTaId, targetOrigin, entries]));
}
