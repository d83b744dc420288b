import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { CompiledQuery } from "kysely";
import { findLoginSession, getUser, openDatabase } from "../../../../src/api/store/index.ts";
import { SCHEMA_VERSION } from "../../../../src/api/store/migrations.ts";
import { ConfigError } from "../../../../src/core/errors.ts";
import { onEachDatabase } from "../../../support/api-store/each-database.ts";
import { IDLE_MS, person, session, TENANT } from "../../../support/api-store/people.ts";
import { startProcess } from "../../../support/api-store/processes.ts";
import { lendPort } from "../../../support/ports.ts";

async function refusal(url: string): Promise<string> {
  const error = await openDatabase(url).then(
    () => assert.fail("opened"),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof ConfigError, String(error));
  assert.equal(error.problems[0]?.setting, "database");
  return error.message;
}

for (const url of [
  "",
  "mysql://h/d",
  "hawser.db",
  "/var/lib/hawser.db",
  "sqlite:",
  "sqlite::memory:",
  "sqlite:/tmp/",
  "sqlite:a\0b",
  "postgres://",
  "postgres://host",
  "postgres://host/",
  "postgres://u:p4ss@host:port/d",
  "https://host/d",
]) {
  test(`store: ${JSON.stringify(url)} is no URL of a database`, async () => {
    const message = await refusal(url);
    assert.match(message, /^database: (must be sqlite:<path>|names no file)/);
    assert.doesNotMatch(message, /p4ss/);
  });
}

test("store: a file that cannot be made is told plainly", async () => {
  assert.equal(
    await refusal("sqlite:/nowhere/at/all.db"),
    "database: the file cannot be opened (ENOENT)",
  );
});

test("store: a file that is no database is told plainly, and left alone", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "hawser-store-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "notes.txt");
  writeFileSync(path, "dear diary ".repeat(500));
  assert.equal(await refusal(`sqlite:${path}`), "database: the file is not an SQLite database");
  assert.equal(statSync(path).size, 5_500);
});

test("store: a PostgreSQL server that is not there is told without the password", async () => {
  const message = await refusal(`postgres://u:p4ssw0rd@127.0.0.1:${await lendPort()}/d`);
  assert.equal(message, "database: the server cannot be reached (ECONNREFUSED)");
});

onEachDatabase("store: what was written is there when it is opened again", async (on) => {
  const first = await openDatabase(on.url, { now: () => on.clock.now() });
  const user = await person(first, "ann");
  await first.close();
  const again = await on.open();
  assert.deepEqual(await getUser(again, TENANT, user.id), user);
});

onEachDatabase("store: rows have the columns of the table and nothing else", async (on) => {
  const store = await on.open();
  const user = await person(store, "ann");
  assert.deepEqual(
    Object.keys(user).sort(),
    [
      "createdAt",
      "disabledAt",
      "email",
      "iss",
      "id",
      "lastSignInAt",
      "name",
      "role",
      "sub",
      "tenant",
    ].sort(),
  );
  assert.equal(typeof user.createdAt, "number");
});

onEachDatabase("store: a database of a newer version is refused", async (on) => {
  const store = await on.open();
  await store.query.executeQuery(CompiledQuery.raw("update schema_version set version = 99"));
  assert.match(
    await refusal(on.url),
    /^database: is of version 99, and this Hawser knows \d+: a newer Hawser has used it$/,
  );
});

onEachDatabase("store: four processes that open a new database at once all succeed", async (on) => {
  const processes = await Promise.all([1, 2, 3, 4].map(() => startProcess("open", on.url)));
  assert.deepEqual(await Promise.all(processes.map((one) => one.go())), [
    "opened",
    "opened",
    "opened",
    "opened",
  ]);
  await Promise.all(processes.map((one) => one.ended()));
  const store = await on.open();
  const { rows } = await store.query.executeQuery(
    CompiledQuery.raw("select version from schema_version"),
  );
  assert.deepEqual(
    rows.map((row) => ({ ...(row as object) })),
    [{ version: SCHEMA_VERSION }],
  );
});

onEachDatabase("store: two stores of one process write at once without an error", async (on) => {
  const stores = [await on.open(), await on.open()];
  const people = Array.from({ length: 40 }, (_, index) => {
    const store = stores[index % 2];
    assert.ok(store !== undefined);
    return person(store, `user-${index % 5}`);
  });
  const ids = new Set((await Promise.all(people)).map(({ id }) => id));
  assert.equal(ids.size, 5);
});

onEachDatabase(
  "store: the file of SQLite is its owner's alone; a wrong password is not told",
  async (on) => {
    await on.open();
    if (on.kind === "sqlite") {
      assert.equal(statSync(on.url.slice("sqlite:".length)).mode & 0o777, 0o600);
      return;
    }
    const wrong = new URL(on.url);
    wrong.password = "p4ssw0rd";
    assert.equal(
      await refusal(wrong.href),
      "database: the server refuses the user or its password",
    );
    wrong.password = new URL(on.url).password;
    wrong.pathname = "/none";
    assert.equal(await refusal(wrong.href), "database: the server has no such database");
  },
);

onEachDatabase(
  "store: two transactions that wait for each other both succeed in the end",
  async (on) => {
    const store = await on.open();
    // SQLite's do not begin before the other is over.
    if (on.kind === "sqlite") return;
    const tries: string[] = [];
    const held = new EventEmitter();
    const both = Promise.all([once(held, "a"), once(held, "b")]);
    const crossing = (first: string, second: string) =>
      store.transaction(async (queries) => {
        tries.push(first);
        await store.lock(queries, first);
        held.emit(first);
        await both;
        await store.lock(queries, second);
      });
    await Promise.all([crossing("a", "b"), crossing("b", "a")]);
    assert.ok(tries.length > 2, tries.join());
  },
);

/** What version 4 has over the first one. */
const LATER_INDICES = [
  ...["audit_events_time", "audit_events_event", "audit_events_actor", "audit_events_object"],
  ...["device_tokens_ended", "device_tokens_good_until", "device_tokens_expiry"],
  ...["pairing_codes_expiry", "pairing_codes_listing", "api_keys_tenant"],
];

onEachDatabase(
  "store: a database of the first version is brought up with what is in it",
  async (on) => {
    const before = await on.open();
    const ann = await person(before, "ann");
    const { key, createdAt } = await session(before, ann, "cookie", { issuedAt: 1 });
    for (const statement of [
      "drop table cli_logins",
      ...LATER_INDICES.map((name) => `drop index ${name}`),
      "create index audit_events_tenant on audit_events (tenant, id)",
      "drop table logout_notices",
      "drop table logout_tickets",
      "alter table devices drop column awaits_approval",
      "alter table login_sessions drop column issued_at",
      "create table logout_tombstones (iss text, sid text, expires_at bigint)",
      "update schema_version set version = 1",
    ]) {
      await before.query.executeQuery(CompiledQuery.raw(statement));
    }
    const after = await on.open();
    const options = { idleMs: IDLE_MS, slide: false };
    const found = await findLoginSession(after, key, options);
    assert.equal(found?.userId, ann.id);
    assert.equal(found?.issuedAt, createdAt);
  },
);
