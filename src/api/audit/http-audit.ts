import { type AuditLog, actorOf } from "../context.ts";
import type { HttpAudit, HttpAuditEvent, Principal } from "../ports.ts";
import { type TenantId, tenantId } from "../store/index.ts";

const WINDOW_MS = 60_000;
/** Events of one name that one caller causes in a minute and that are told one by one. */
const TOLD_MAX = 60;
/** Callers that are remembered; those whose window began first are forgotten first. */
const CALLERS_MAX = 10_000;

interface Window {
  readonly startedAt: number;
  told: number;
  suppressed: number;
}

/**
 * What the HTTP layer tells, in the audit log. A log that is never cleared must not be filled by whoever sends bad
 * requests fast: of one caller, or one address without a caller, 60 events of a name are told in a minute, of
 * `excess_rate_limit_exceeded` one. The next one that is told says how many were not, as `suppressed`.
 *
 * @param now milliseconds since 1970 in UTC
 */
export function httpAudit(log: AuditLog, now: () => number, callersMax = CALLERS_MAX): HttpAudit {
  const windows = new Map<string, Window>();
  return {
    record(told) {
      const suppressed = admit(windows, told, now(), callersMax);
      if (suppressed === null) return;
      const { event, asker, principal, route, reason } = told;
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

/** How many like it were not told since the last one that was; null where this one is not either. */
function admit(
  windows: Map<string, Window>,
  { event, asker, principal }: HttpAuditEvent,
  now: number,
  callersMax: number,
): number | null {
  const who = principal === null ? asker.address : `${principal.tenantId}\0${principal.ref}`;
  const name = `${event}\0${who}`;
  const known = windows.get(name);
  const isOver = known === undefined || now < known.startedAt || now - known.startedAt >= WINDOW_MS;
  if (isOver) {
    windows.delete(name);
    windows.set(name, { startedAt: now, told: 1, suppressed: 0 });
    if (windows.size > callersMax) forgetFirst(windows);
    return known?.suppressed ?? 0;
  }
  if (known.told < (event === "excess_rate_limit_exceeded" ? 1 : TOLD_MAX)) {
    known.told += 1;
    return 0;
  }
  known.suppressed += 1;
  return null;
}

function forgetFirst(windows: Map<string, Window>): void {
  for (const name of windows.keys()) {
    windows.delete(name);
    return;
  }
}

/** Null for the relay, which is of no tenant. */
function tenantOf(principal: Principal | null): TenantId | null {
  return principal === null || principal.tenantId === "" ? null : tenantId(principal.tenantId);
}
