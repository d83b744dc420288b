import { type AuditLog, actorOf } from "../context.ts";
import type { HttpAudit, Principal } from "../ports.ts";
import { type TenantId, tenantId } from "../store/index.ts";

/** What the HTTP layer tells, in the audit log. */
export function httpAudit(log: AuditLog): HttpAudit {
  return {
    record({ event, asker, principal, route, reason }) {
      log.record({
        event,
        tenant: tenantOf(principal),
        asker,
        actor: principal === null ? null : actorOf(principal),
        sessionRef: principal?.kind === "session" ? principal.ref : null,
        detail: { route, reason },
      });
    },
  };
}

/** Null for the relay, which is of no tenant. */
function tenantOf(principal: Principal | null): TenantId | null {
  return principal === null || principal.tenantId === "" ? null : tenantId(principal.tenantId);
}
