import { sql } from "kysely";
import { assert } from "../../core/assert.ts";
import { insertAuditEvents, type NewAuditEvent } from "./audit-events.ts";
import { oneOf } from "./authorize-batch.ts";
import { type FoundToken, findTokens, opensTunnel } from "./device-tokens.ts";
import { tokensLock } from "./devices.ts";
import type { Queries, Store } from "./store.ts";
import type { TenantId } from "./tenant.ts";

/**
 * What became of a tunnel, by the reference of its token. `at` is milliseconds UTC.
 *
 * - `opened`: it came up; `replaced` where it took the place of one that was up.
 * - `seen`: it is up, and no more is known of it.
 * - `closed`: it is gone; `displaced` where a newer one has taken its place.
 * - `fight`: connections replace each other again and again.
 */
export type TunnelNote =
  | {
      readonly kind: "opened";
      readonly ref: string;
      readonly at: number;
      readonly remoteAddr: string;
      readonly agentVersion: string | null;
      readonly replaced: boolean;
    }
  | { readonly kind: "seen"; readonly ref: string; readonly at: number }
  | {
      readonly kind: "closed";
      readonly ref: string;
      readonly at: number;
      readonly reason: string;
      readonly displaced: boolean;
    }
  | {
      readonly kind: "fight";
      readonly ref: string;
      readonly at: number;
      readonly replacements: number;
    };

/** An event that was stored, for the stream of lines. */
export type TunnelAuditEvent = Required<Pick<NewAuditEvent, "event" | "objectId">> & {
  readonly tenant: TenantId | null;
  readonly actor: string;
  readonly detail: Readonly<Record<string, string | number | null>>;
};

/** What {@link noteTunnels} came to. */
export interface NotedTunnels {
  /** Older tokens of the devices, which ended because a newer one is in use now. */
  readonly endedRefs: readonly string[];
  /** Tokens of tunnels that came up and that are good no longer: the tunnels must be closed. */
  readonly refusedRefs: readonly string[];
  readonly events: readonly TunnelAuditEvent[];
}

/** Notes that one call takes: what SQLite does in a few milliseconds. */
export const TUNNEL_NOTES_MAX = 100;

type Opened = Extract<TunnelNote, { kind: "opened" | "seen" }>;
type Closed = Extract<TunnelNote, { kind: "closed" }>;

/**
 * Notes what became of tunnels, in one transaction with a handful of statements, however many there are: devices whose
 * tunnels came up are active from now on, and their older tokens end; what was seen last, and why it closed, is kept for those
 * whose tunnels are gone. Each is an audit event, but for `seen`. Noting the same again changes nothing but the log.
 *
 * @param notes in the order in which they happened, at most {@link TUNNEL_NOTES_MAX}
 */
export function noteTunnels(store: Store, notes: readonly TunnelNote[]): Promise<NotedTunnels> {
  assert(notes.length <= TUNNEL_NOTES_MAX, "a batch of notes is within its limit");
  return store.transaction(async (queries) => {
    const refs = [...new Set(notes.map(({ ref }) => ref))];
    let tokens = await findTokens(queries, refs);
    if (store.kind === "postgres" && tokens.size > 0) {
      const names = [...tokens.values()].map(({ deviceId }) => tokensLock(deviceId));
      await store.lockAll(queries, names);
      tokens = await findTokens(queries, refs);
    }
    const now = store.now();
    const opened: Opened[] = [];
    const closed: Closed[] = [];
    const refused = new Set<string>();
    /** Connections that a relay let in by mistake. */
    const untold = new Set<TunnelNote>();
    /** Devices that are up in the end. */
    const up = new Set<string>();
    for (const note of notes) {
      if (note.kind === "fight") continue;
      const token = tokens.get(note.ref);
      if (note.kind === "closed") {
        closed.push(note);
        if (token !== undefined && !note.displaced) up.delete(token.deviceId);
      } else if (token !== undefined && openedInTime(token, note, now)) {
        opened.push(note);
        up.add(token.deviceId);
      } else if (note.kind === "opened") {
        if (token !== undefined && wasGood(token, note, now)) opened.push(note);
        else untold.add(note);
        refused.add(note.ref);
      }
    }
    await activate(store, queries, tokens, opened, now);
    await close(store, queries, tokens, closed, { up, now });
    const endedRefs = await endOlder(store, queries, tokens, opened, now);
    const told = notes.filter((note) => !untold.has(note));
    const events = told.flatMap((note) => eventOf(note, tokens.get(note.ref) ?? null));
    const rows = events.map(({ tenant, ...event }) => ({ tenant, time: now, event }));
    await insertAuditEvents(queries, rows);
    return { endedRefs, refusedRefs: [...refused], events };
  });
}

/**
 * A device that connected in time is in time, however late the word of it comes, and though the relay's clock be ahead. One
 * that is seen to be up connected in time: afterwards no token of it is let in.
 */
function openedInTime(token: FoundToken, { kind, at }: TunnelNote, now: number): boolean {
  const { activateBy } = token;
  const inTime = activateBy === null || kind === "seen" || Math.min(at, now) < activateBy;
  return opensTunnel(inTime ? { ...token, activateBy: null } : token, now);
}

/** Whether a token that has ended was good when its tunnel came up: the device has connected, whatever became of it then. */
function wasGood(token: FoundToken, note: TunnelNote, now: number): boolean {
  const { endedAt } = token;
  return (
    endedAt !== null && note.at < endedAt && openedInTime({ ...token, endedAt: null }, note, now)
  );
}

/** The rows of an update, by device: the last one of each device counts. */
function byDevice<N extends TunnelNote>(
  tokens: ReadonlyMap<string, FoundToken>,
  notes: readonly N[],
): Map<string, N> {
  const found = new Map<string, N>();
  for (const note of notes) {
    const token = tokens.get(note.ref);
    if (token !== undefined) found.set(token.deviceId, note);
  }
  return found;
}

async function activate(
  store: Store,
  queries: Queries,
  tokens: ReadonlyMap<string, FoundToken>,
  notes: readonly Opened[],
  now: number,
): Promise<void> {
  if (notes.length === 0) return;
  const rows = [...byDevice(tokens, notes)].map(([id, note]) => ({
    id,
    at: Math.min(note.at, now),
    addr: note.kind === "opened" ? note.remoteAddr : null,
    version: note.kind === "opened" ? note.agentVersion : null,
  }));
  const json = JSON.stringify(rows);
  const source =
    store.kind === "sqlite"
      ? sql`(select value ->> '$.id' as id, value ->> '$.at' as at, value ->> '$.addr' as addr,
          value ->> '$.version' as version from json_each(${json})) as v`
      : sql`jsonb_to_recordset(${json}::jsonb) as v(id text, at bigint, addr text, version text)`;
  await sql`update devices set state = 'active', activate_by = null,
      first_connected_at = coalesce(first_connected_at, v.at),
      last_seen_at = ${lastSeen(store, now)},
      last_close_reason = case when v.addr is null then last_close_reason else null end,
      last_remote_addr = coalesce(v.addr, last_remote_addr),
      agent_version = case when v.addr is null then agent_version else v.version end
    from ${source} where devices.id = v.id`.execute(queries);
  const refs = notes.map(({ ref }) => ref);
  await queries
    .updateTable("deviceTokens")
    .set({ lastUsedAt: now })
    .where(oneOf(store.kind, "ref", refs))
    .execute();
}

async function close(
  store: Store,
  queries: Queries,
  tokens: ReadonlyMap<string, FoundToken>,
  notes: readonly Closed[],
  { up, now }: { readonly up: ReadonlySet<string>; readonly now: number },
): Promise<void> {
  // A tunnel that was displaced says nothing of its device: another one is up.
  const lasting = notes.filter(({ displaced }) => !displaced);
  if (lasting.length === 0) return;
  const rows = [...byDevice(tokens, lasting)].map(([id, { at, reason }]) => ({
    id,
    at: Math.min(at, now),
    reason: up.has(id) ? null : reason,
  }));
  const json = JSON.stringify(rows);
  const source =
    store.kind === "sqlite"
      ? sql`(select value ->> '$.id' as id, value ->> '$.at' as at, value ->> '$.reason' as reason
          from json_each(${json})) as v`
      : sql`jsonb_to_recordset(${json}::jsonb) as v(id text, at bigint, reason text)`;
  await sql`update devices set last_seen_at = ${lastSeen(store, now)},
      last_close_reason = v.reason from ${source} where devices.id = v.id`.execute(queries);
}

/** The later one of two times, `v.at` the new one. What was written by a clock that was ahead does not stand for ever. */
function lastSeen(store: Store, now: number) {
  return store.kind === "sqlite"
    ? sql`max(min(coalesce(last_seen_at, 0), ${now}), v.at)`
    : sql`greatest(least(coalesce(last_seen_at, 0), ${now}::bigint), v.at)`;
}

/**
 * Notes that the devices of these tokens are connected at this moment. One statement.
 *
 * @param refs of live tunnels
 */
export async function noteDevicesSeen(store: Store, refs: readonly string[]): Promise<void> {
  if (refs.length === 0) return;
  await store.transaction(async (queries) => {
    await queries
      .updateTable("devices")
      .set({ lastSeenAt: store.now() })
      .where("id", "in", (from) =>
        from
          .selectFrom("deviceTokens")
          .select("deviceId")
          .where(oneOf(store.kind, "ref", refs)),
      )
      .execute();
  });
}

/** Ends the older tokens of devices that use a newer one now. */
async function endOlder(
  store: Store,
  queries: Queries,
  tokens: ReadonlyMap<string, FoundToken>,
  notes: readonly Opened[],
  now: number,
): Promise<string[]> {
  if (notes.length === 0) return [];
  const refs = notes.map(({ ref }) => ref);
  const devices = [...byDevice(tokens, notes).keys()];
  const ended = await queries
    .updateTable("deviceTokens")
    .set({ endedAt: now })
    .where("endedAt", "is", null)
    .where(oneOf(store.kind, "deviceId", devices))
    .where(({ exists, selectFrom }) =>
      exists(
        selectFrom("deviceTokens as newer")
          .select("newer.ref")
          .whereRef("newer.deviceId", "=", "deviceTokens.deviceId")
          .whereRef("newer.generation", ">", "deviceTokens.generation")
          .where(oneOf(store.kind, "newer.ref", refs)),
      ),
    )
    .returning("ref")
    .execute();
  return ended.map(({ ref }) => ref);
}

function eventOf(
  note: TunnelNote,
  token: FoundToken | null,
): (TunnelAuditEvent & { readonly ip: string | null })[] {
  if (note.kind === "seen") return [];
  const tenant: TenantId | null = token?.tenant ?? null;
  const about = { tenant, actor: note.ref, objectId: token?.deviceId ?? null };
  switch (note.kind) {
    case "opened": {
      const detail = { agent_version: note.agentVersion };
      const event = note.replaced ? "tunnel_replaced" : "tunnel_connected";
      return [{ ...about, event, detail, ip: addressOf(note.remoteAddr) }];
    }
    case "closed":
      return [{ ...about, event: "tunnel_closed", detail: { reason: note.reason }, ip: null }];
    case "fight": {
      const detail = { replacements: note.replacements };
      return [{ ...about, event: "authn_token_reuse", detail, ip: null }];
    }
  }
}

/** `ip:port` without the port. */
function addressOf(remoteAddr: string): string {
  return remoteAddr.replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1");
}
