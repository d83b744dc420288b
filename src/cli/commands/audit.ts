import { setTimeout as delay } from "node:timers/promises";
import { Command } from "commander";
import { ConfigError } from "../../core/errors.ts";
import { type ApiClient, isPassing } from "../api-client.ts";
import {
  addClientFlags,
  type ClientFlags,
  numberOf,
  secondsOf,
  withClient,
} from "../client-command.ts";
import { cell, type Output, printable } from "../print.ts";
import { onStopSignals } from "../stop-signals.ts";

const EXAMPLES = `
Examples:
  $ hawser audit --since 2h
  $ hawser audit --event pairing_exchanged --since 2026-01-01T00:00:00Z --limit 500 --json
  $ hawser audit --follow

The oldest of the events comes first; with --json each is one line. For administrators; scope: audit:read.
`;

interface AuditFlags extends ClientFlags {
  readonly event?: string;
  readonly actor?: string;
  readonly object?: string;
  readonly since?: string;
  readonly until?: string;
  readonly limit?: string;
  readonly follow?: boolean;
  readonly every?: string;
}

type Event = Readonly<Record<string, unknown>>;

const LIMIT_MAX = 100_000;
const PAGE_MAX = 1_000;
/** Ids that `--follow` remembers, so that no event is printed twice: more than come between two looks. */
const SEEN_MAX = 10_000;
/** How long after it happened an event may come to the log. */
const LATE_MS = 10_000;
const UNITS: Readonly<Record<string, number>> = {
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** `hawser audit`: the tenant's audit log. */
export function auditCommand(output: Output = process.stdout): Command {
  return addClientFlags(new Command("audit"))
    .description("Read the audit log of your tenant")
    .option("--event <name>", "only events of this name")
    .option("--actor <id>", "only what this user, key or client did")
    .option("--object <id>", "only what was done to this device, key or user")
    .option("--since <time>", "from then on: RFC 3339, or 30m, 12h, 7d for so long ago")
    .option("--until <time>", "before then, written likewise")
    .option("--limit <count>", "the newest so many (default: 100)")
    .option("--follow", "go on with new events until it is stopped")
    .option("--every <seconds>", "how often --follow looks (default: 2)")
    .addHelpText("after", EXAMPLES)
    .action(async (flags: AuditFlags) => {
      const limit = numberOf("--limit", flags.limit ?? "100", 1, LIMIT_MAX);
      const everyMs = secondsOf("--every", flags.every ?? "2", 3_600) * 1_000;
      const filter = {
        event: flags.event,
        actor: flags.actor,
        object_id: flags.object,
        since: timeOf("--since", flags.since),
        until: timeOf("--until", flags.until),
      };
      if (flags.follow === true && flags.until !== undefined) {
        throw new ConfigError([{ setting: "--until", problem: "contradicts --follow" }]);
      }
      await withClient(flags, async (client) => {
        const found = await client.list("/api/audit", "events", limit, {
          ...filter,
          limit: Math.min(limit, PAGE_MAX),
        });
        const show = (event: Event): void => {
          output.write(flags.json === true ? `${JSON.stringify(event)}\n` : line(event));
        };
        for (const event of found.reverse()) show(event);
        if (flags.follow === true) await follow(client, filter, found, everyMs, show);
      });
    });
}

/** Prints what is new, look after look, until a signal comes. */
async function follow(
  client: ApiClient,
  filter: Readonly<Record<string, string | undefined>>,
  shown: readonly Event[],
  everyMs: number,
  show: (event: Event) => void,
): Promise<void> {
  const stopping = new AbortController();
  const forget = onStopSignals(() => stopping.abort());
  const seen = new Set(shown.map(({ id }) => id));
  // A time of the server's, where there is one: its clock may differ from ours.
  const first = lastTime(shown) ?? filter["since"] ?? new Date().toISOString();
  let since = first;
  try {
    for (;;) {
      await delay(everyMs, undefined, { signal: stopping.signal });
      const query = { ...filter, since, limit: PAGE_MAX };
      const events = await listed(client, query);
      const fresh = events.reverse().filter(({ id }) => !seen.has(id));
      for (const event of fresh) {
        show(event);
        seen.add(event["id"]);
      }
      // Servers write events in the background: one that happened earlier may be there later.
      const last = lastTime(fresh);
      if (last !== null) since = later(first, new Date(Date.parse(last) - LATE_MS).toISOString());
      for (const id of seen) {
        if (seen.size <= SEEN_MAX) break;
        seen.delete(id);
      }
    }
  } catch (error) {
    if (!stopping.signal.aborted) throw error;
  } finally {
    forget();
  }
}

/** Both are RFC 3339 in UTC. */
function later(one: string, other: string): string {
  return Date.parse(one) > Date.parse(other) ? one : other;
}

/** None while the server is away for a moment: the next look has them. */
async function listed(
  client: ApiClient,
  query: Readonly<Record<string, string | number | undefined>>,
): Promise<Event[]> {
  try {
    return await client.list("/api/audit", "events", LIMIT_MAX, query);
  } catch (error) {
    if (!isPassing(error)) throw error;
    process.stderr.write("The API server is away; going on.\n");
    return [];
  }
}

function lastTime(events: readonly Event[]): string | null {
  const time = events.at(-1)?.["time"];
  return typeof time === "string" ? time : null;
}

/** One line for people: time, event, who, to what, from where, and the rest. */
function line(event: Event): string {
  const detail = event["detail"];
  const more =
    typeof detail === "object" && detail !== null
      ? Object.entries(detail).map(([name, value]) => `${name}=${cell(value)}`)
      : [];
  const named = [
    ["by", event["actor"]],
    ["on", event["object_id"]],
    ["from", event["ip"]],
  ].flatMap(([word, value]) =>
    value === null || value === undefined ? [] : `${word} ${cell(value)}`,
  );
  return `${printable([cell(event["time"]), cell(event["event"]), ...named, ...more].join("  "))}\n`;
}

/** A time as the API takes it. @throws ConfigError */
function timeOf(flag: string, text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const ago = /^([0-9]{1,6})([smhd])$/.exec(text);
  if (ago !== null) {
    return new Date(Date.now() - Number(ago[1]) * (UNITS[ago[2] ?? ""] ?? 0)).toISOString();
  }
  const isTime = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/.test(text);
  if (isTime && !Number.isNaN(Date.parse(text))) return new Date(text).toISOString();
  const problem = "wanted a time such as 2026-01-31T12:00:00Z, or 30m, 12h, 7d";
  throw new ConfigError([{ setting: flag, problem }]);
}
