/** Connections to PostgreSQL that end, or fall silent, while they are in use. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { sql } from "kysely";
import { isReachable, isStoreAway, openDatabase } from "../../../../src/api/store/index.ts";
import { lendPort } from "../../../support/ports.ts";
import {
  type PostgresServer,
  skipWithoutPostgres,
  startPostgres,
} from "../../../support/postgres.ts";
import { startTap } from "../../../support/product/tap.ts";

const skip = skipWithoutPostgres();
let postgres: PostgresServer | null = null;

before(async () => {
  if (skip === false) postgres = await startPostgres();
});
after(() => postgres?.stop());

async function space(): Promise<URL> {
  assert.ok(postgres !== null);
  return new URL(await postgres.createSpace());
}

test("connections that are cut in use end neither the process nor what comes after", {
  skip,
}, async (t) => {
  const url = await space();
  const port = await lendPort();
  const line = await startTap(t, port, Number(url.port));
  url.port = String(port);
  const store = await openDatabase(url.href);
  t.after(() => store.close());
  let isOver = false;
  let answered = 0;
  let failed = 0;
  const load = Array.from({ length: 20 }, async () => {
    while (!isOver) {
      if (await isReachable(store)) answered += 1;
      else failed += 1;
      if (answered === 200) line.setOpen(false);
      if (failed >= 20) isOver = true;
    }
  });
  await Promise.all(load);
  line.setOpen(true);
  assert.equal(await isReachable(store), true);

  // Between two statements of a transaction nothing is asked that could fail.
  const cut = store.transaction(async (queries) => {
    await sql`select 1`.execute(queries);
    line.setOpen(false);
    while (await isReachable(store));
    await sql`select 1`.execute(queries);
  });
  await assert.rejects(cut, isStoreAway);
  line.setOpen(true);
  assert.equal(await isReachable(store), true);
});

test("a database that gives no answer is away after a while, and holds nobody up for longer", {
  skip,
}, async (t) => {
  const store = await openDatabase((await space()).href, { silenceMs: 1_000, connectionsMax: 2 });
  t.after(() => store.close());
  const silence = () => sql`select pg_sleep(60)`.execute(store.query);
  const asked = [silence(), silence(), silence()];
  for (const each of asked) await assert.rejects(each, isStoreAway);
  assert.equal(await isReachable(store), true);
});
