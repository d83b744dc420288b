import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { pino } from "pino";
import { pageOfDevices } from "../../../../src/api/devices/device-listing.ts";
import { DEVICE_DEFAULTS } from "../../../../src/api/devices/index.ts";
import { LiveSessions } from "../../../../src/api/devices/live-sessions.ts";
import { type ApiContext, RelayClient } from "../../../../src/api/index.ts";
import { createDevice } from "../../../../src/api/store/index.ts";
import { ManualClock } from "../../../../src/core/clock.ts";
import type { SessionSummary } from "../../../../src/core/contract.ts";
import { type ScriptedServer, startScriptedServer } from "../../../support/api/scripted-server.ts";
import { onEachDatabase } from "../../../support/api-store/each-database.ts";
import { person, TENANT } from "../../../support/api-store/people.ts";

const OPTIONS = { liveKeptMs: 1_000, liveTimeoutMs: 5_000 };

function summary(deviceId: string, userId: string): SessionSummary {
  const time = new Date(0).toISOString();
  return {
    token: "vAc_00000000",
    user_id: userId,
    device_id: deviceId,
    connected_at: time,
    last_heartbeat: time,
    remote_addr: "192.0.2.1:0",
  };
}

interface Started {
  readonly live: LiveSessions;
  readonly clock: ManualClock;
  readonly server: ScriptedServer;
  readonly context: Pick<ApiContext, "relay" | "logger" | "now">;
  /** What the relay has: by user. */
  readonly sessions: Map<string, SessionSummary[]>;
  /** Answers with this status, 200 for the sessions. */
  status: number;
  /** Holds answers back until the function that it gives is called. */
  hold(): () => void;
}

/** The snapshots, over a relay that says what a test wants. */
async function start(t: TestContext): Promise<Started> {
  const sessions = new Map<string, SessionSummary[]>();
  let gate = Promise.resolve();
  const server = await startScriptedServer(t, async (request, response) => {
    await gate;
    const query = new URL(request.url ?? "", "http://x").searchParams;
    const [userId, devices] = [query.get("user_id"), query.get("devices")?.split(",")];
    const matching = [...sessions.values()]
      .flat()
      .filter(({ user_id }) => userId === null || user_id === userId)
      .filter(({ device_id }) => devices === undefined || devices.includes(device_id));
    const from = Number(query.get("cursor"));
    const page = matching.slice(from, from + Number(query.get("limit") ?? 1_000));
    const end = from + page.length;
    const next = end < matching.length ? { next: String(end) } : {};
    response.writeHead(started.status, { "content-type": "application/json" });
    response.end(JSON.stringify({ sessions: page, total: matching.length, ...next }));
  });
  const logger = pino({ level: "silent" });
  const relay = new RelayClient({ baseUrl: server.url, secret: "s", logger });
  t.after(() => relay.destroy());
  const clock = new ManualClock();
  const context = { relay, logger, now: () => clock.now() };
  const started: Started = {
    live: new LiveSessions(context, OPTIONS),
    clock,
    server,
    context,
    sessions,
    status: 200,
    hold() {
      let release = (): void => {};
      gate = new Promise((resolve) => {
        release = resolve;
      });
      return release;
    },
  };
  return started;
}

test("live sessions: up to eight owners are asked for one by one, more with one listing of all", async (t) => {
  const { live, server, sessions } = await start(t);
  for (let user = 0; user < 9; user++) sessions.set(`u${user}`, [summary(`d${user}`, `u${user}`)]);
  const eight = new Set(Array.from({ length: 8 }, (_, user) => `u${user}`));
  assert.deepEqual(
    [...((await live.of([], eight))?.keys() ?? [])].sort(),
    [...Array(8).keys()].map((n) => `d${n}`),
  );
  assert.equal(server.calls.length, 8);
  assert.equal((await live.of([], new Set([...eight, "u8"])))?.size, 9);
  assert.equal(server.calls.length, 9);
  assert.ok(!server.calls[8]?.includes("user_id"));
  assert.equal((await live.of([], new Set()))?.size, 0);
  assert.equal(server.calls.length, 9);
});

test("live sessions: an answer serves all who wait for it, and for a second after", async (t) => {
  const { live, server, sessions, clock, hold } = await start(t);
  sessions.set("u", [summary("d", "u")]);
  const release = hold();
  const waiting = [1, 2, 3].map(() => live.of([], new Set(["u"])));
  release();
  for (const answer of await Promise.all(waiting)) assert.equal(answer?.size, 1);
  assert.equal(server.calls.length, 1);
  clock.advance(999);
  await live.of([], new Set(["u"]));
  assert.equal(server.calls.length, 1);
  clock.advance(1);
  await live.of([], new Set(["u"]));
  assert.equal(server.calls.length, 2);
  clock.advance(-5_000);
  await live.of([], new Set(["u"]));
  assert.equal(server.calls.length, 3);
});

test("live sessions: what was on its way when a tunnel was closed is not kept", async (t) => {
  const { live, server, sessions, hold } = await start(t);
  sessions.set("u", [summary("d", "u")]);
  const release = hold();
  const before = live.of([], new Set(["u"]));
  live.forget();
  release();
  await before;
  sessions.set("u", []);
  assert.equal((await live.of([], new Set(["u"])))?.size, 0);
  assert.equal(server.calls.length, 2);
});

test("live sessions: a relay that fails is unknown, and not asked again for each page", async (t) => {
  const started = await start(t);
  const { live, server, clock } = started;
  started.status = 500;
  assert.equal(await live.of([], new Set(["u"])), null);
  assert.equal(await live.of([], new Set(["u"])), null);
  assert.equal(server.calls.length, 1);
  assert.equal(await live.ofTokens(["vAc_00000000"]), null);
  started.status = 200;
  clock.advance(1_000);
  assert.equal((await live.of([], new Set(["u"])))?.size, 0);
});

function many(started: Started, user: string, count: number): void {
  started.sessions.set(
    user,
    Array.from({ length: count }, (_, n) => summary(`${user}-${n}`, user)),
  );
}

test("live sessions: keeps 20,000 sessions at most, the newest", async (t) => {
  const started = await start(t);
  const { live, server } = started;
  many(started, "a", 12_000);
  many(started, "b", 8_000);
  many(started, "c", 1);
  for (const user of ["a", "b"]) await live.of([], new Set([user]));
  assert.equal(live.sessionsKept, 20_000);
  // The first one has two pages.
  assert.equal(server.calls.length, 3);
  await live.of([], new Set(["c"]));
  assert.equal(live.sessionsKept, 8_001);
  assert.equal(server.calls.length, 4);
  live.forget();
  assert.equal(live.sessionsKept, 0);
});

test("live sessions: where an owner has more than 20,000, the devices of the page are asked for by their ids", async (t) => {
  const started = await start(t);
  const { live, server, clock } = started;
  many(started, "d", 20_001);
  const ids = ["d-3", ...Array.from({ length: 400 }, (_, n) => `absent-${n}`), "d-20000"];
  const page = async () => [...((await live.of(ids, new Set(["d"])))?.keys() ?? [])].sort();
  assert.deepEqual(await page(), ["d-20000", "d-3"]);
  // One that tells how many there are, and one for each 200 devices.
  assert.equal(server.calls.length, 1 + 3);
  assert.equal(live.sessionsKept, 0);
  assert.deepEqual(await page(), ["d-20000", "d-3"]);
  assert.equal(server.calls.length, 1 + 3 + 3);
  started.status = 500;
  assert.equal(await live.of(ids, new Set(["d"])), null);
  started.status = 200;
  many(started, "d", 5);
  clock.advance(60_000);
  assert.deepEqual(await page(), ["d-0", "d-1", "d-2", "d-3", "d-4"]);
  assert.equal(live.sessionsKept, 5);
});

onEachDatabase(
  "listing: a page by connection reads so many rows and no more, and goes on where it ended",
  async (on, t) => {
    const store = await on.open();
    const ann = await person(store, "ann");
    const ids: string[] = [];
    for (let count = 0; count < 9; count++) {
      const device = { name: "press", tags: [], model: null, serial: null };
      ids.push((await createDevice(store, TENANT, ann.id, device)).id);
    }
    ids.sort();
    const { context: around, live, sessions } = await start(t);
    const last = ids.at(-1) ?? "";
    sessions.set(ann.id, [summary(last, ann.id)]);
    const context = { ...around, store } as ApiContext;
    const options = { ...DEVICE_DEFAULTS, tunnelUrl: "wss://r.test", edgeUrl: "https://r.test" };
    const page = (after: string) =>
      pageOfDevices({ context, options, live }, TENANT, { limit: 5, after }, true, {
        rows: 2,
        batchesMax: 2,
      });
    assert.deepEqual(await page(""), { devices: [], next: ids[3] });
    assert.deepEqual(await page(ids[3] ?? ""), { devices: [], next: ids[7] });
    const end = await page(ids[7] ?? "");
    assert.deepEqual(
      end.devices.map(({ device }) => device.id),
      [last],
    );
    assert.equal(end.next, undefined);
  },
);
