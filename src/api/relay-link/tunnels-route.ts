import { setImmediate as turn } from "node:timers/promises";
import { z } from "zod";
import { type Clock, monotonicClock } from "../../core/clock.ts";
import { tunnelReportSchema } from "../../core/tunnel-report-schema.ts";
import type { TunnelEvent, TunnelReportTaken } from "../../core/tunnel-reports.ts";
import { TUNNEL_REPORT_BYTES_MAX } from "../../core/tunnel-reports.ts";
import type { ApiContext } from "../context.ts";
import { apiError } from "../errors.ts";
import { json } from "../reply.ts";
import { type Route, route } from "../route.ts";
import { noteTunnels, STORE_RETRY_S, TUNNEL_NOTES_MAX, type TunnelNote } from "../store/index.ts";

/** A relay waits five seconds for an answer; what it is not told of by then it would tell again. */
const NOTING_MS = 2_000;

/**
 * `POST /internal/tunnels`: a relay's report of tunnels that came up and ended. It is noted in pieces, each in one
 * transaction, between which others are served. Where a piece fails, or it takes long, the answer says how many were noted, or is 503
 * where there were none; the relay sends the rest again.
 *
 * @param clock by which it takes long
 * @see docs/internal-api.md
 */
export function tunnelsRoute(context: ApiContext, clock: Clock = monotonicClock): Route {
  return route({
    method: "POST",
    path: "/internal/tunnels",
    class: "internal",
    summary: "Takes a relay's report of tunnels that came up and ended.",
    body: { kind: "json", schema: tunnelReportSchema, bytesMax: TUNNEL_REPORT_BYTES_MAX },
    responses: {
      200: { description: "So many are noted.", schema: z.object({ taken: z.number().int() }) },
    },
    handler: async ({ body }) => {
      let taken = 0;
      const endsAt = clock.now() + NOTING_MS;
      while (taken < body.events.length) {
        if (clock.now() >= endsAt) break;
        if (taken > 0) await turn();
        const piece = body.events.slice(taken, taken + TUNNEL_NOTES_MAX);
        try {
          await note(context, piece);
        } catch (error) {
          context.logger.error({ err: error }, "a report of tunnels cannot be noted");
          if (taken === 0) throw apiError("unavailable", { retryAfter: STORE_RETRY_S });
          break;
        }
        taken += piece.length;
      }
      const answer: TunnelReportTaken = { taken };
      return json(200, answer);
    },
  });
}

async function note(context: ApiContext, events: readonly TunnelEvent[]): Promise<void> {
  const {
    endedRefs,
    refusedRefs,
    events: noted,
  } = await noteTunnels(context.store, events.map(noteOf));
  for (const event of noted) context.audit.tell({ ...event, asker: null });
  const revoked = [...endedRefs, ...refusedRefs];
  if (revoked.length === 0) return;
  // The relay must not wait for itself: it is told while it gets this answer.
  void context.changes.announce({ revoked });
  context.endings.end(revoked);
}

function noteOf(event: TunnelEvent): TunnelNote {
  const { token: ref } = event;
  const at = Date.parse(event.at);
  switch (event.kind) {
    case "opened": {
      const { remote_addr: remoteAddr, agent_version: agentVersion, replaced } = event;
      return { kind: "opened", ref, at, remoteAddr, agentVersion, replaced };
    }
    case "closed":
      return { kind: "closed", ref, at, reason: event.reason, displaced: event.displaced };
    case "fight":
      return { kind: "fight", ref, at, replacements: event.replacements };
  }
}
