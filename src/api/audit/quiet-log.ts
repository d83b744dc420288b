import type { AuditLog } from "../context.ts";
import { EventLimit } from "./event-limit.ts";

/** What whoever may call can cause by each request, whatever it is for. */
const QUIETED: ReadonlySet<string> = new Set(["malicious_direct_reference"]);

/**
 * The same log for those behind the HTTP layer, with an {@link EventLimit} on what a caller can cause as fast as it likes:
 * asking for what is not its own.
 *
 * @param now milliseconds since 1970 in UTC
 */
export function quietLog(log: AuditLog, now: () => number, callersMax?: number): AuditLog {
  const limit = new EventLimit(now, callersMax);
  return {
    record: (entry) => {
      if (!QUIETED.has(entry.event)) {
        log.record(entry);
        return;
      }
      const suppressed = limit.admit(entry.event, `${entry.tenant}\0${entry.actor}`);
      if (suppressed === null) return;
      log.record(suppressed === 0 ? entry : { ...entry, detail: { ...entry.detail, suppressed } });
    },
    tell: (entry) => log.tell(entry),
    flush: async () => (await log.flush?.()) ?? true,
  };
}
