import assert from "node:assert/strict";
import type { IncomingMessage } from "node:http";
import { type TestContext, test } from "node:test";
import { pino } from "pino";
import { mintDeviceId } from "../../../src/core/token.ts";
import { TUNNEL_EVENTS_MAX, type TunnelEvent } from "../../../src/core/tunnel-reports.ts";
import { TunnelReports, type TunnelReportsOptions } from "../../../src/relay/index.ts";
import { ManualTimers } from "../../support/agent/manual-timers.ts";
import { startScriptedServer } from "../../support/api/scripted-server.ts";
import { until } from "../../support/until.ts";

const DEVICE = mintDeviceId();
const AT = "2026-11-22T04:10:49.432Z";

function event(kind: "opened" | "closed", token: string): TunnelEvent {
  const about = { token: `vAc_${token.padStart(8, "0")}`, device_id: DEVICE, at: AT };
  return kind === "opened"
    ? { kind, ...about, remote_addr: "", agent_version: null, replaced: false }
    : { kind, ...about, reason: "gone", displaced: false };
}

async function bodyOf(request: IncomingMessage): Promise<TunnelEvent[]> {
  let text = "";
  for await (const piece of request) text += piece;
  return JSON.parse(text).events;
}

/** Reports to a server that answers with the statuses given, 200 after them. */
async function reportsTo(
  t: TestContext,
  statuses: number[] = [],
  over: Partial<TunnelReportsOptions> = {},
) {
  const received: TunnelEvent[][] = [];
  const lines: string[] = [];
  let take = Number.POSITIVE_INFINITY;
  const server = await startScriptedServer(t, (request, response) => {
    void bodyOf(request).then((events) => {
      received.push(events);
      const status = statuses.shift() ?? 200;
      response.writeHead(status).end(JSON.stringify({ taken: Math.min(take, events.length) }));
      take = Number.POSITIVE_INFINITY;
    });
  });
  const timers = new ManualTimers();
  const reports = new TunnelReports({
    api: { origin: server.url, prefix: "" },
    secret: "s",
    ca: null,
    timeoutMs: 5_000,
    logger: pino({ level: "trace" }, { write: (line: string) => void lines.push(line) }),
    timers,
    random: () => 0.999,
    ...over,
  });
  t.after(() => reports.close());
  const takeOnly = (count: number): void => {
    take = count;
  };
  return { reports, received, timers, lines, takeOnly };
}

const namesOf = (events: readonly TunnelEvent[] | undefined): string[] =>
  (events ?? []).map(({ kind, token }) => `${kind} ${Number(token.slice(4))}`);

test("reports: a lone event waits a second for company, then all go in their order", async (t) => {
  const { reports, received, timers } = await reportsTo(t);
  reports.tunnelOnEvent(event("opened", "1"));
  reports.tunnelOnEvent(event("closed", "1"));
  reports.tunnelOnEvent(event("opened", "1"));
  assert.equal(timers.nextInMs, 1_000);
  timers.advance(1_000);
  await until(() => reports.size === 0, "the report to be taken");
  assert.deepEqual(namesOf(received[0]), ["opened 1", "closed 1", "opened 1"]);
});

test("reports: as many as a call takes go at once, one call at a time", async (t) => {
  const { reports, received, timers } = await reportsTo(t);
  for (let count = 0; count < 2 * TUNNEL_EVENTS_MAX + 1; count++) {
    reports.tunnelOnEvent(event("opened", String(count)));
  }
  await until(() => received.length === 2 && reports.size === 1, "two full reports");
  assert.deepEqual(
    received.map(({ length }) => length),
    [TUNNEL_EVENTS_MAX, TUNNEL_EVENTS_MAX],
  );
  await until(() => timers.pending > 0, "the rest to wait");
  timers.advance(1_000);
  await until(() => reports.size === 0, "the rest to go");
});

test("reports: what is not taken is sent again, what is taken in part from where it stopped", async (t) => {
  const { reports, received, timers, takeOnly } = await reportsTo(t, [503, 200]);
  for (const token of ["1", "2", "3"]) reports.tunnelOnEvent(event("opened", token));
  timers.advance(1_000);
  await until(() => received.length === 1 && timers.pending > 0, "the refusal");
  takeOnly(2);
  timers.advance(250);
  await until(() => reports.size === 1 && timers.pending > 0, "a part to be taken");
  timers.advance(500);
  await until(() => reports.size === 0, "the rest to be taken");
  assert.deepEqual(received.map(namesOf), [
    ["opened 1", "opened 2", "opened 3"],
    ["opened 1", "opened 2", "opened 3"],
    ["opened 3"],
  ]);
});

test("reports: at the limit the last opening and closing of each token are kept", async (t) => {
  const { reports, received, timers, lines } = await reportsTo(t, [503], { eventsMax: 10 });
  reports.tunnelOnEvent(event("opened", "1"));
  timers.advance(1_000);
  await until(() => received.length === 1 && timers.pending > 0, "the refusal");
  for (let count = 0; count < 20; count++) {
    reports.tunnelOnEvent(event("closed", "1"));
    reports.tunnelOnEvent(event("opened", "1"));
    assert.ok(reports.size <= 10);
  }
  reports.tunnelOnEvent(event("opened", "2"));
  timers.advance(250);
  await until(() => reports.size === 0, "all to be taken");
  assert.deepEqual(namesOf(received[1]).slice(-3), ["closed 1", "opened 1", "opened 2"]);
  assert.ok(!lines.some((line) => line.includes("are lost")));
});

test("reports: at the limit with as many tokens the oldest go, and the log says how many", async (t) => {
  const { reports, received, timers, lines } = await reportsTo(t, [503], { eventsMax: 10 });
  reports.tunnelOnEvent(event("opened", "0"));
  timers.advance(1_000);
  await until(() => received.length === 1 && timers.pending > 0, "the refusal");
  for (let count = 1; count <= 15; count++) reports.tunnelOnEvent(event("opened", String(count)));
  assert.ok(reports.size <= 10);
  assert.ok(lines.some((line) => line.includes("the oldest are lost")));
  timers.advance(250);
  await until(() => reports.size === 0, "all to be taken");
  assert.equal(namesOf(received[1]).at(-1), "opened 15");
});

test("reports: one that the API server cannot read is dropped, and does not hold up the others", async (t) => {
  const { reports, received, timers, lines } = await reportsTo(t, [400]);
  reports.tunnelOnEvent(event("opened", "1"));
  timers.advance(1_000);
  await until(() => reports.size === 0 && timers.pending > 0, "the refusal");
  reports.tunnelOnEvent(event("opened", "2"));
  timers.advance(250);
  await until(() => received.length === 2 && reports.size === 0, "the next");
  assert.deepEqual(namesOf(received[1]), ["opened 2"]);
  assert.ok(lines.some((line) => line.includes("it is dropped")));
});

test("reports: close sends what waits; where that cannot be it ends all the same, and says so", async (t) => {
  const good = await reportsTo(t);
  good.reports.tunnelOnEvent(event("opened", "1"));
  await good.reports.close();
  assert.equal(good.received.length, 1);
  const bad = await reportsTo(t, [503, 503]);
  bad.reports.tunnelOnEvent(event("opened", "1"));
  await bad.reports.close();
  assert.equal(bad.received.length, 1);
  assert.ok(bad.lines.some((line) => line.includes("was not told of")));
});
