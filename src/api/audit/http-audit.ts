import { type AuditLog, actorOf } from "../context.ts";
import type { HttpAudit, Principal } from "../ports.ts";
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
      const { event, asker, principal, route, reason } = told;
      const who = principal === null ? asker.address : `${principal.tenantId}\0${principal.ref}`;
      const suppressed = admit(windows, `${event}\0${who}`, toldMax(event), {
        now: now(),
        callersMax,
      });
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

function toldMax(event: string): number {
  return event === "excess_rate_limit_exceeded" ? 1 : TOLD_MAX;
}

/** How many like it were not told since the last one that was; null where this one is not either. */
function admit(
  windows: Map<string, Window>,
  name: string,
  max: number,
  { now, callersMax }: { readonly now: number; readonly callersMax: number },
): number | null {
  const known = windows.get(name);
  const isOver = known === undefined || now < known.startedAt || now - known.startedAt >= WINDOW_MS;
  if (isOver) {
    windows.delete(name);
    windows.set(name, { startedAt: now, told: 1, suppressed: 0 });
    if (windows.size > callersMax) forgetFirst(windows);
    return known?.suppressed ?? 0;
  }
  if (known.told < max) {
    known.told += 1;
    return 0;
  }
  known.suppressed += 1;
  return null;
}

/** What whoever may call can cause by each request, whatever it is for. */
const QUIETED: ReadonlySet<string> = new Set(["malicious_direct_reference"]);

/**
 * The same log for those behind the HTTP layer, with the same limit on what a caller can cause as fast as it likes: asking
 * for what is not its own.
 *
 * @param now milliseconds since 1970 in UTC
 */
export function quietLog(log: AuditLog, now: () => number, callersMax = CALLERS_MAX): AuditLog {
  const windows = new Map<string, Window>();
  return {
    record: (entry) => {
      if (!QUIETED.has(entry.event)) {
        log.record(entry);
        return;
      }
      const name = `${entry.event}\0${entry.tenant}\0${entry.actor}`;
      const suppressed = admit(windows, name, TOLD_MAX, { now: now(), callersMax });
      if (suppressed === null) return;
      log.record(suppressed === 0 ? entry : { ...entry, detail: { ...entry.detail, suppressed } });
    },
    tell: (entry) => log.tell(entry),
    flush: async () => (await log.flush?.()) ?? true,
  };
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
