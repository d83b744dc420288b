import { z } from "zod";
import { isDeviceId, isTokenRef } from "./token.ts";
import { TUNNEL_EVENTS_MAX, type TunnelReportTaken } from "./tunnel-reports.ts";

/** Reading both ends of `POST /internal/tunnels`; apart from its shapes, which are known before anything is read. */

const AGENT_VERSION = /^[0-9A-Za-z.+-]{1,32}$/;

const common = {
  token: z.string().refine((text) => isTokenRef(text, "device")),
  device_id: z.string().refine(isDeviceId),
  at: z.iso.datetime(),
};

/** The body of a report, for a router that parses JSON itself. */
export const tunnelReportSchema = z.strictObject({
  events: z
    .array(
      z.discriminatedUnion("kind", [
        z.strictObject({
          kind: z.literal("opened"),
          ...common,
          remote_addr: z.string().regex(/^[0-9A-Fa-f.:[\]]{0,64}$/),
          agent_version: z.string().regex(AGENT_VERSION).nullable(),
          replaced: z.boolean(),
        }),
        z.strictObject({
          kind: z.literal("closed"),
          ...common,
          reason: z.string().regex(/^[ -~]{1,100}$/),
          displaced: z.boolean(),
        }),
        z.strictObject({
          kind: z.literal("fight"),
          ...common,
          replacements: z.number().int().min(1).max(10_000),
        }),
      ]),
    )
    .max(TUNNEL_EVENTS_MAX),
});

/** Reads the answer to a report of so many events. Null where it is not one. */
export function parseTunnelReportTaken(text: string, sent: number): TunnelReportTaken | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  const result = z.object({ taken: z.number().int().min(0).max(sent) }).safeParse(value);
  return result.success ? result.data : null;
}
