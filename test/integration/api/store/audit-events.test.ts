import assert from "node:assert/strict";
import { CompiledQuery } from "kysely";
import {
  AUDIT_BATCH_MAX,
  type AuditFilter,
  appendAuditEvent,
  appendAuditEvents,
  queryAuditEvents,
  type Store,
} from "../../../../src/api/store/index.ts";
import { onEachDatabase } from "../../../support/api-store/each-database.ts";
import { OTHER_TENANT, START_MS, TENANT } from "../../../support/api-store/people.ts";

async function names(store: Store, filter: Partial<AuditFilter> = {}): Promise<string[]> {
  const { events } = await queryAuditEvents(store, TENANT, { limit: 100, ...filter });
  return events.map(({ requestId }) => requestId ?? "");
}

onEachDatabase("audit: an event is kept as it was told", async (on) => {
  const store = await on.open();
  const event = {
    event: "key_created",
    requestId: "r1",
    actor: "u1",
    objectId: "hwk_00000001",
    ip: "192.0.2.1",
    userAgent: "Firefox",
    sessionRef: "0123456789ab",
    detail: { scopes: ["devices:read"], name: "ключ" },
  };
  await appendAuditEvent(store, TENANT, event);
  await appendAuditEvent(store, TENANT, { event: "bare" });
  const { events } = await queryAuditEvents(store, TENANT, { limit: 10 });
  const [bare, full] = events.map(({ id: _, ...rest }) => rest);
  assert.deepEqual(full, { ...event, time: START_MS, tenant: TENANT });
  assert.equal(bare?.detail, null);
  assert.equal(bare?.actor, null);
});

onEachDatabase("audit: control characters are stored escaped", async (on) => {
  const store = await on.open();
  const hostile = "a\r\nb\0\u0085";
  await appendAuditEvent(store, TENANT, { event: "e", userAgent: hostile, detail: { hostile } });
  const { events } = await queryAuditEvents(store, TENANT, { limit: 10 });
  assert.equal(events[0]?.userAgent, "a\\u000d\\u000ab\\u0000\\u0085");
  assert.deepEqual(events[0]?.detail, { hostile });
});

onEachDatabase(
  "audit: a tenant sees its own events, the newest first, page by page",
  async (on) => {
    const store = await on.open();
    for (let count = 0; count < 5; count++) {
      await appendAuditEvent(store, TENANT, { event: "e", requestId: `r${count}` });
      await appendAuditEvent(store, OTHER_TENANT, { event: "e", requestId: "foreign" });
      await appendAuditEvent(store, null, { event: "e", requestId: "nobody's" });
    }
    const pages: (string | null)[][] = [];
    for (let cursor: string | undefined; ; ) {
      const filter = { limit: 2, ...(cursor === undefined ? {} : { cursor }) };
      const { events, next } = await queryAuditEvents(store, TENANT, filter);
      pages.push(events.map(({ requestId }) => requestId));
      if (next === undefined) break;
      cursor = next;
    }
    assert.deepEqual(pages, [["r4", "r3"], ["r2", "r1"], ["r0"]]);
    assert.equal((await queryAuditEvents(store, TENANT, { limit: 5 })).next, undefined);
  },
);

onEachDatabase(
  "audit: a row that was stored late stands where its time is, and a page is not upset by what is new",
  async (on) => {
    const store = await on.open();
    const add = (requestId: string, time: number) =>
      appendAuditEvents(store, [
        { tenant: TENANT, time: START_MS + time, event: { event: "e", requestId } },
      ]);
    await add("r1", 1);
    await add("r3", 3);
    await add("r4", 4);
    await add("late", 2);
    const first = await queryAuditEvents(store, TENANT, { limit: 2 });
    await add("new", 9);
    const cursor = first.next ?? "";
    const second = await queryAuditEvents(store, TENANT, { limit: 9, cursor });
    const shown = [...first.events, ...second.events].map(({ requestId }) => requestId);
    assert.deepEqual(shown, ["r4", "r3", "late", "r1"]);
    for (const wrong of ["", "1", "1.", ".1", "1.1.1", "A.1", "-1.1", "zzzzzzzzzzz.1"]) {
      await assert.rejects(queryAuditEvents(store, TENANT, { limit: 1, cursor: wrong }), {
        code: "ERR_STORE_CURSOR_INVALID",
      });
    }
    const far = await queryAuditEvents(store, TENANT, {
      limit: 1,
      cursor: "zzzzzzzzzz.zzzzzzzzzz",
    });
    assert.equal(far.events[0]?.requestId, "new");
  },
);

onEachDatabase("audit: filters by event, actor, object and time", async (on) => {
  const store = await on.open();
  await appendAuditEvent(store, TENANT, { event: "a", requestId: "1", actor: "u", objectId: "d" });
  on.clock.advance(10);
  await appendAuditEvent(store, TENANT, { event: "b", requestId: "2", actor: "u" });
  on.clock.advance(10);
  await appendAuditEvent(store, TENANT, { event: "a", requestId: "3", actor: "v" });
  assert.deepEqual(await names(store), ["3", "2", "1"]);
  assert.deepEqual(await names(store, { event: "a" }), ["3", "1"]);
  assert.deepEqual(await names(store, { actor: "u" }), ["2", "1"]);
  assert.deepEqual(await names(store, { objectId: "d" }), ["1"]);
  assert.deepEqual(await names(store, { since: START_MS + 10 }), ["3", "2"]);
  assert.deepEqual(await names(store, { until: START_MS + 10 }), ["1"]);
  assert.deepEqual(await names(store, { event: "a", actor: "u", since: START_MS + 1 }), []);
});

onEachDatabase("audit: a cursor that no page gave out is refused", async (on) => {
  const store = await on.open();
  for (const cursor of ["", "0", "-1", "A", "1 or 1=1", "z".repeat(11)]) {
    await assert.rejects(names(store, { cursor }), { code: "ERR_STORE_CURSOR_INVALID" }, cursor);
  }
});

onEachDatabase("audit: the database refuses to change or remove an event", async (on) => {
  const store = await on.open();
  await appendAuditEvent(store, TENANT, { event: "e", requestId: "r" });
  for (const statement of ["update audit_events set event = 'x'", "delete from audit_events"]) {
    const run = store.query.executeQuery(CompiledQuery.raw(statement));
    await assert.rejects(run, /append-only/);
  }
  assert.deepEqual(await names(store), ["r"]);
});

onEachDatabase(
  "audit: a batch is added in its order, with its own times and tenants",
  async (on) => {
    const store = await on.open();
    await appendAuditEvents(store, []);
    const rows = Array.from({ length: AUDIT_BATCH_MAX }, (_, index) => ({
      tenant: index % 2 === 0 ? TENANT : OTHER_TENANT,
      time: START_MS + index,
      event: { event: "e", requestId: `r${index}`, detail: { index } },
    }));
    await appendAuditEvents(store, rows);
    const { events } = await queryAuditEvents(store, TENANT, { limit: AUDIT_BATCH_MAX });
    const expected = rows.filter(({ tenant }) => tenant === TENANT).reverse();
    assert.deepEqual(
      events.map(({ time, requestId, detail }) => ({ time, requestId, detail })),
      expected.map(({ time, event: { requestId, detail } }) => ({ time, requestId, detail })),
    );
  },
);

onEachDatabase(
  "audit: a batch beyond its limit breaks an assertion, and adds nothing",
  async (on) => {
    const store = await on.open();
    const row = { tenant: TENANT, time: START_MS, event: { event: "e" } };
    const rows = Array.from({ length: AUDIT_BATCH_MAX + 1 }, () => row);
    await assert.rejects(appendAuditEvents(store, rows), { code: "ERR_ASSERTION" });
    assert.deepEqual(await names(store), []);
  },
);

onEachDatabase("audit: texts that are no Unicode are stored all the same", async (on) => {
  const store = await on.open();
  await appendAuditEvent(store, TENANT, { event: "e", requestId: "r", userAgent: "a\ud800b" });
  const { events } = await queryAuditEvents(store, TENANT, { limit: 1 });
  assert.equal(events[0]?.userAgent, "a\ufffdb");
});
