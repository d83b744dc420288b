import type { ApiContext } from "../context.ts";
import type { LiveSessions } from "./live-sessions.ts";
import type { DeviceOptions } from "./options.ts";

/** What the routes of this folder share. */
export interface DeviceParts {
  readonly context: ApiContext;
  readonly options: DeviceOptions;
  readonly live: LiveSessions;
}

/** When a token that is made now expires, in milliseconds since 1970, or null. */
export function tokenExpiry({ context, options }: DeviceParts): number | null {
  return options.deviceTokenTtlMs === null ? null : context.store.now() + options.deviceTokenTtlMs;
}

/** Tokens are good no longer, and that is committed: cuts what runs with them, here and at the relay. */
export async function cutTokens(
  { context, live }: DeviceParts,
  refs: readonly string[],
  devices: readonly string[] = [],
): Promise<void> {
  context.endings.end(refs);
  if (refs.length > 0 || devices.length > 0) {
    await context.changes.announce({ revoked: refs, devices });
  }
  live.forget();
}
