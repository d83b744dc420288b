import { z } from "zod";
import { isDeviceId, isTokenRef } from "./token.ts";

/**
 * The JSON of `POST /internal/tunnels`, by which a relay tells the API server of tunnels that came up and ended. Both
 * ends read it here. `docs/internal-api.md` describes it.
 */

/** Something that happened to a tunnel. `at` is RFC 3339 in UTC. */
export type TunnelEvent = TunnelOpened | TunnelClosed | TunnelFight;

/** It came up. */
export interface TunnelOpened {
  readonly kind: "opened";
  /** Public reference of the token, `vAc_<id>`. */
  readonly token: string;
  readonly device_id: string;
  /** `ip:port`, an IPv6 address in brackets. */
  readonly remote_addr: string;
  /** What an agent of ours says in its handshake; null for others. */
  readonly agent_version: string | null;
  /** It took the place of a tunnel that was up. */
  readonly replaced: boolean;
  readonly at: string;
}

/** It is gone. */
export interface TunnelClosed {
  readonly kind: "closed";
  readonly token: string;
  readonly device_id: string;
  /** A few words, for people: what ended it. */
  readonly reason: string;
  /** A newer one of the same device had taken its place. */
  readonly displaced: boolean;
  readonly at: string;
}

/** Connections of one device replace each other more often than any reconnect would. */
export interface TunnelFight {
  readonly kind: "fight";
  readonly token: string;
  readonly device_id: string;
  /** Within the last minute. */
  readonly replacements: number;
  readonly at: string;
}

/** Body of `POST /internal/tunnels`: what happened, in its order. */
export interface TunnelReport {
  readonly events: readonly TunnelEvent[];
}

/** Answer of `POST /internal/tunnels`. */
export interface TunnelReportTaken {
  /** So many from the front are noted; the rest is to be sent again. */
  readonly taken: number;
}

/** Events of one report. */
export const TUNNEL_EVENTS_MAX = 500;
/** Bytes of one report: what the limit above comes to, and some room. */
export const TUNNEL_REPORT_BYTES_MAX = 1 << 18;
export const CLOSE_REASON_LENGTH_MAX = 100;

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

/** A reason as a report may carry it: visible ASCII, short, never empty. */
export function reportReason(text: string): string {
  const plain = text.replace(/[^ -~]/g, "?").slice(0, CLOSE_REASON_LENGTH_MAX);
  return plain === "" ? "closed" : plain;
}
