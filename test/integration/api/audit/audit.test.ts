import assert from "node:assert/strict";
import { pino } from "pino";
import { type AuditStream, DatabaseAuditLog, httpAudit } from "../../../../src/api/audit/index.ts";
import type { AuditEntry, Principal } from "../../../../src/api/index.ts";
import { appendAuditEvent, queryAuditEvents, type Store } from "../../../../src/api/store/index.ts";
import { mintToken } from "../../../../src/core/token.ts";
import { onEachRig } from "../../../support/api/credentials-rig.ts";
import { ManualTimers } from "../../../support/api/manual-timers.ts";
import { onEachDatabase } from "../../../support/api-store/each-database.ts";
import { OTHER_TENANT, person, START_MS, TENANT } from "../../../support/api-store/people.ts";
import { until } from "../../../support/until.ts";

const ASKER = { requestId: "r1", address: "192.0.2.1", userAgent: "Firefox" };

function entry(over: Partial<AuditEntry> = {}): AuditEntry {
  return { event: "key_created", tenant: TENANT, asker: ASKER, actor: "u1", ...over };
}

/** A log with its lines and its own log in lists. */
function logOver(store: Store, waitingMax?: number, now = () => store.now()) {
  const lines: string[] = [];
  const logged: Record<string, unknown>[] = [];
  const timers = new ManualTimers();
  const stream: AuditStream = {
    write: (line) => lines.push(line),
    reopen() {},
    close: async () => {},
  };
  const log = new DatabaseAuditLog({
    store,
    stream,
    logger: pino({}, { write: (line: string) => logged.push(JSON.parse(line)) }),
    now,
    timers,
    ...(waitingMax === undefined ? {} : { limits: { waitingMax } }),
  });
  return { log, lines, logged, timers };
}

async function stored(store: Store) {
  const { events } = await queryAuditEvents(store, TENANT, { limit: 1_000 });
  return [...events].reverse();
}

onEachDatabase(
  "audit log: an event is a line at once and a row soon, with the same fields",
  async (on) => {
    const store = await on.open();
    const { log, lines } = logOver(store);
    log.record(entry({ sessionRef: "0123456789ab", objectId: "hwk_00000001", detail: { a: 1 } }));
    assert.deepEqual(
      lines.map((line) => JSON.parse(line)),
      [
        {
          time: new Date(START_MS).toISOString(),
          event: "key_created",
          tenant: TENANT,
          actor: "u1",
          object_id: "hwk_00000001",
          request_id: "r1",
          ip: "192.0.2.1",
          user_agent: "Firefox",
          session_ref: "0123456789ab",
          detail: { a: 1 },
        },
      ],
    );
    assert.equal(await log.flush(), true);
    const [row] = await stored(store);
    assert.ok(row !== undefined);
    const { id: _, ...rest } = row;
    assert.deepEqual(rest, {
      time: START_MS,
      tenant: TENANT,
      event: "key_created",
      requestId: "r1",
      actor: "u1",
      objectId: "hwk_00000001",
      ip: "192.0.2.1",
      userAgent: "Firefox",
      sessionRef: "0123456789ab",
      detail: { a: 1 },
    });
    await log.close();
  },
);

onEachDatabase(
  "audit log: rows are stored in order, with the time at which they happened",
  async (on) => {
    const store = await on.open();
    const { log } = logOver(store);
    for (let count = 0; count < 1_200; count++) {
      log.record(entry({ objectId: `o${count}` }));
      on.clock.advance(1);
    }
    await log.flush();
    const { events } = await queryAuditEvents(store, TENANT, { limit: 2_000 });
    assert.deepEqual(
      events.map(({ objectId, time }) => [objectId, time]).reverse(),
      Array.from({ length: 1_200 }, (_, count) => [`o${count}`, START_MS + count]),
    );
    assert.equal(log.waiting, 0);
    await log.close();
  },
);

onEachDatabase(
  "audit log: events of one moment are stored together, a moment later",
  async (on) => {
    const store = await on.open();
    const { log, timers } = logOver(store);
    for (let count = 0; count < 3; count++) log.record(entry());
    assert.deepEqual(timers.delays, [20]);
    assert.deepEqual(await stored(store), []);
    timers.fire(20);
    await until(() => log.waiting === 0, "the rows");
    assert.equal((await stored(store)).length, 3);
    await log.close();
  },
);

onEachDatabase("audit log: what is told alone is a line and no row", async (on) => {
  const store = await on.open();
  const { log, lines } = logOver(store);
  log.tell(entry());
  await log.flush();
  assert.equal(lines.length, 1);
  assert.deepEqual(await stored(store), []);
  await log.close();
});

onEachDatabase("audit log: a line is one line, whatever somebody sends", async (on) => {
  const store = await on.open();
  const { log, lines } = logOver(store);
  const hostile = 'a\r\n{"event":"forged"}\u0000\u001b[2J\u007f\u0085\u2028\u2029\ud800"';
  log.record(entry({ asker: { ...ASKER, userAgent: hostile }, detail: { reason: hostile } }));
  assert.equal(lines.length, 1);
  assert.match(lines[0] ?? "", /^[^\p{Cc}\u2028\u2029]*\n$/u);
  assert.equal(JSON.parse(lines[0] ?? "").user_agent, hostile);
  assert.equal(await log.flush(), true);
  assert.ok(!/\p{Cc}/u.test((await stored(store))[0]?.userAgent ?? "\n"));
  await log.close();
});

onEachDatabase(
  "audit log: a token that is sent where none belongs is cut, and texts are short",
  async (on) => {
    const store = await on.open();
    const { log, lines } = logOver(store);
    const { text, ref } = mintToken("key");
    const asker = { ...ASKER, userAgent: `curl ${text}` };
    log.record(entry({ asker, objectId: text, detail: { reason: text, long: "x".repeat(5_000) } }));
    await log.flush();
    const [row] = await stored(store);
    assert.equal(row?.userAgent, `curl ${ref}`);
    assert.equal(String(row?.detail?.["long"]).length, 512);
    assert.ok(!(lines.join() + JSON.stringify(row)).includes(text.slice(13)));
    await log.close();
  },
);

onEachDatabase(
  "audit log: rows wait while the database is away, and nobody is troubled",
  async (on) => {
    const store = await on.open();
    const away = await on.open();
    await away.close();
    // A store whose database goes away and comes back.
    let current = away;
    const flaky = new Proxy(store, {
      get: (_target, name) => Reflect.get(current, name, current),
    });
    const { log, lines, logged, timers } = logOver(flaky, 100, () => store.now());
    log.record(entry({ objectId: "o1" }));
    assert.equal(await log.flush(), false);
    log.record(entry({ objectId: "o2" }));
    assert.equal(log.waiting, 2);
    assert.equal(lines.length, 2);
    assert.match(String(logged.at(-1)?.["msg"]), /cannot be stored/);
    current = store;
    // The next try comes by itself.
    const [delayMs = 0, ...others] = timers.delays;
    assert.deepEqual(others, []);
    assert.ok(delayMs >= 500 && delayMs <= 15_500, String(delayMs));
    timers.fire(delayMs);
    await until(() => log.waiting === 0, "the rows");
    assert.equal(await log.flush(), true);
    assert.deepEqual(
      (await stored(store)).map(({ objectId }) => objectId),
      ["o1", "o2"],
    );
    await log.close();
  },
);

onEachDatabase(
  "audit log: what does not fit the queue is counted, logged and still a line",
  async (on) => {
    const away = await on.open();
    await away.close();
    const { log, lines, logged } = logOver(away, 4);
    for (let count = 0; count < 4; count++) log.record(entry());
    assert.equal(log.dropped, 0);
    log.record(entry({ objectId: "fifth" }));
    assert.deepEqual([log.waiting, log.dropped, lines.length], [4, 1, 5]);
    const last = logged.at(-1);
    assert.deepEqual([last?.["level"], last?.["event"], last?.["dropped"]], [50, "key_created", 1]);
    await log.close();
    assert.equal(log.dropped, 5);
  },
);

onEachDatabase(
  "audit log: events of nobody's tenant leave room for those of tenants",
  async (on) => {
    const store = await on.open();
    const { log } = logOver(store, 4);
    for (let count = 0; count < 10; count++) log.record(entry({ tenant: null }));
    assert.deepEqual([log.waiting, log.dropped], [2, 8]);
    log.record(entry());
    log.record(entry());
    assert.deepEqual([log.waiting, log.dropped], [4, 8]);
    await log.close();
    assert.equal((await stored(store)).length, 2);
  },
);

onEachDatabase(
  "audit log: closing stores what waits, and later events are lines alone",
  async (on) => {
    const store = await on.open();
    const { log, lines } = logOver(store);
    log.record(entry());
    await log.close();
    log.record(entry());
    assert.equal((await stored(store)).length, 1);
    assert.deepEqual([lines.length, log.dropped], [2, 1]);
  },
);

onEachDatabase(
  "audit log: what the HTTP layer tells is whose it is, and the relay's nobody's",
  async (on) => {
    const store = await on.open();
    const { log, lines } = logOver(store);
    const http = httpAudit(log, () => store.now());
    const principal: Principal = {
      kind: "session",
      ref: "0123456789ab",
      tenantId: TENANT,
      userId: "u1",
      role: "member",
      scopes: new Set(),
    };
    const event = { event: "authz_fail", asker: ASKER, route: "/api/x", reason: "role" } as const;
    http.record({ ...event, principal });
    http.record({ ...event, principal: { ...principal, kind: "internal", tenantId: "" } });
    http.record({ ...event, principal: null });
    const told = lines.map((line) => JSON.parse(line));
    assert.deepEqual(
      told.map(({ tenant, actor, session_ref }) => [tenant, actor, session_ref]),
      [
        [TENANT, "u1", "0123456789ab"],
        [null, "0123456789ab", null],
        [null, null, null],
      ],
    );
    assert.deepEqual(told[0]?.detail, { route: "/api/x", reason: "role" });
    await log.close();
  },
);

onEachRig(
  "audit log: administrators read their tenant's, filtered and page by page",
  async (rig, on) => {
    const root = await person(rig.store, "root", TENANT, { role: "admin" });
    const session = rig.signIn(root);
    for (let count = 0; count < 5; count++) {
      await appendAuditEvent(rig.store, TENANT, {
        event: count % 2 === 0 ? "a" : "b",
        actor: "u1",
        objectId: `o${count}`,
      });
      await appendAuditEvent(rig.store, OTHER_TENANT, { event: "a", objectId: "foreign" });
      on.clock.advance(1_000);
    }
    const objects = async (query: string): Promise<string[]> => {
      const { status, body, text } = await rig.send(`GET /api/audit${query}`, session);
      assert.equal(status, 200, text);
      return body.events.map((event: { object_id: string }) => event.object_id);
    };
    assert.deepEqual(await objects(""), ["o4", "o3", "o2", "o1", "o0"]);
    assert.deepEqual(await objects("?event=b"), ["o3", "o1"]);
    assert.deepEqual(await objects("?actor=u2"), []);
    assert.deepEqual(await objects("?object_id=o2"), ["o2"]);
    const at = (seconds: number) => new Date(START_MS + seconds * 1_000).toISOString();
    assert.deepEqual(await objects(`?since=${at(1)}&until=${at(3)}`), ["o2", "o1"]);
    const first = await rig.send("GET /api/audit?limit=2", session);
    assert.equal(first.body.events.length, 2);
    assert.deepEqual(await objects(`?limit=2&cursor=${first.body.next}`), ["o2", "o1"]);
    for (const wrong of [
      ...["limit=0", "limit=1001", "since=yesterday", "cursor=~", "cursor=1", "tenant=x"],
      // PostgreSQL takes no NUL, and no event has one.
      ...["event=%00", "actor=a%00", "object_id=%0a"],
    ]) {
      assert.equal((await rig.send(`GET /api/audit?${wrong}`, session)).status, 400, wrong);
    }
  },
);

onEachRig(
  "audit log: it is an administrator's, by role and by scope, and a refusal is one event",
  async (rig) => {
    const ann = await person(rig.store, "ann");
    const root = await person(rig.store, "root", TENANT, { role: "admin" });
    const refused = await rig.send("GET /api/audit", rig.signIn(ann));
    assert.deepEqual([refused.status, refused.body.code], [403, "insufficient_role"]);
    const make = async (scopes: readonly string[]) =>
      (await rig.send("POST /api/keys", rig.signIn(root), { name: "k", scopes })).body.key;
    const without = await rig.send("GET /api/audit", await make(["devices:read"]));
    assert.deepEqual([without.status, without.body.code], [403, "insufficient_scope"]);
    const key = await make(["audit:read"]);
    const { events } = (await rig.send("GET /api/audit?event=authz_fail", key)).body;
    assert.deepEqual(
      events.map((event: { detail: { reason: string } }) => event.detail.reason),
      ["scope", "role"],
    );
  },
);

onEachRig("audit log: what somebody has just done is there when it is read", async (rig) => {
  const session = rig.signIn(await person(rig.store, "root", TENANT, { role: "admin" }));
  const wish = { name: "k", scopes: ["devices:read"] };
  const { ref } = (await rig.send("POST /api/keys", session, wish)).body;
  const { events } = (await rig.send(`GET /api/audit?object_id=${ref}`, session)).body;
  assert.deepEqual(
    events.map(({ event }: { event: string }) => event),
    ["key_created"],
  );
});
