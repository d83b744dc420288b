import { networkOf } from "../auth-failures.ts";
import { type AuditLog, actorOf } from "../context.ts";
import type { HttpAudit, Principal } from "../ports.ts";
import { type TenantId, tenantId } from "../store/index.ts";
import { EventLimit } from "./event-limit.ts";

/**
 * What the HTTP layer tells, in the audit log, within an {@link EventLimit} for each caller, or for each address (IPv6 by
 * /64) without a caller. The next one that is told says how many were not, as `suppressed`.
 *
 * @param now milliseconds since 1970 in UTC
 */
export function httpAudit(log: AuditLog, now: () => number, callersMax?: number): HttpAudit {
  const limit = new EventLimit(now, callersMax);
  return {
    record({ event, asker, principal, route, reason }) {
      const suppressed = limit.admit(
        event,
        principal === null ? networkOf(asker.address) : `${principal.tenantId}\0${principal.ref}`,
      );
      if (suppressed === null) return;
      log.record({
        event,
        tenant: tenantOf(principal),
        asker,
        actor: principal === null ? null : actorOf(principal),
        sessionRef: principal?.kind === "session" ? principal.ref : null,
        detail: { route, reason, ...(suppressed === 0 ? {} : { suppressed }) },
      });
    },
  };
}

/** Null for the relay, which is of no tenant. */
function tenantOf(principal: Principal | null): TenantId | null {
  return principal === null || principal.tenantId === "" ? null : tenantId(principal.tenantId);
}
