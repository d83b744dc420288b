/** What a PostgreSQL server that goes away does to a store that is open. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { CompiledQuery } from "kysely";
import { isStoreAway, openDatabase } from "../../../../src/api/store/index.ts";
import { lendPort } from "../../../support/ports.ts";
import { skipWithoutPostgres, startPostgres } from "../../../support/postgres.ts";
import { startTap } from "../../../support/product/tap.ts";

const skip = skipWithoutPostgres();

async function serverUrl(t: TestContext): Promise<string> {
  const postgres = await startPostgres();
  t.after(() => postgres.stop());
  return await postgres.createSpace();
}

const away = (error: unknown): boolean => isStoreAway(error);

test("postgres: a connection that is lost in the middle of a transaction fails it, and ends nothing else", {
  skip,
}, async (t) => {
  const url = await serverUrl(t);
  const [store, other] = [await openDatabase(url), await openDatabase(url)];
  t.after(() => Promise.all([store.close(), other.close()]));
  const lost = store.transaction(async (queries) => {
    const { rows } = await queries.executeQuery<{ pid: number }>(
      CompiledQuery.raw("select pg_backend_pid() as pid"),
    );
    const pid = rows[0]?.pid ?? 0;
    // Waits for it to be gone; its last word is here before the answer.
    const ending = CompiledQuery.raw(`select pg_terminate_backend(${pid}, 10000)`);
    await other.query.executeQuery(ending);
    await queries.executeQuery(CompiledQuery.raw("select 1"));
  });
  await assert.rejects(lost, away);
  assert.equal((await store.query.selectFrom("tenants").selectAll().execute()).length, 0);
});

test("postgres: a server that says nothing counts as away after a while, and is found again", {
  skip,
}, async (t) => {
  const url = new URL(await serverUrl(t));
  const port = await lendPort();
  const line = await startTap(t, port, Number(url.port));
  url.port = String(port);
  const store = await openDatabase(url.href, { silenceMs: 1_000 });
  t.after(() => store.close());
  const ask = () => store.query.selectFrom("tenants").selectAll().execute();
  assert.equal((await ask()).length, 0);
  line.silence();
  await assert.rejects(ask(), away);
  assert.equal((await ask()).length, 0);
});
