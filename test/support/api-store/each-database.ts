import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { after, type TestContext } from "node:test";
import { type DatabaseKind, openDatabase, type Store } from "../../../src/api/store/index.ts";
import { ManualClock } from "../../../src/core/clock.ts";
import { type PostgresServer, skipWithoutPostgres, startPostgres } from "../postgres.ts";
import { START_MS } from "./people.ts";

/** What a case is given. */
export interface DatabaseCase {
  readonly kind: DatabaseKind;
  /** Of an empty database of the case's own. */
  readonly url: string;
  /** The clock of all stores that `open` opens; milliseconds UTC. */
  readonly clock: ManualClock;
  /** Opens the database; it is closed after the case. */
  open(): Promise<Store>;
}

let server: Promise<PostgresServer> | null = null;
after(async () => (await server)?.stop());

/** Runs a case on SQLite and on PostgreSQL, each time with an empty database. */
export function onEachDatabase(
  name: string,
  run: (on: DatabaseCase, t: TestContext) => Promise<void>,
): void {
  test(`${name} (sqlite)`, async (t) => {
    const folder = await mkdtemp(join(tmpdir(), "hawser-store-"));
    const closing: Store[] = [];
    t.after(async () => {
      for (const store of closing) await store.close();
      await rm(folder, { recursive: true, force: true });
    });
    await run(databaseCase("sqlite", `sqlite:${join(folder, "hawser.db")}`, closing), t);
  });
  test(`${name} (postgres)`, { skip: skipWithoutPostgres() }, async (t) => {
    server ??= startPostgres();
    const url = await (await server).createSpace();
    const closing: Store[] = [];
    t.after(async () => {
      for (const store of closing) await store.close();
    });
    await run(databaseCase("postgres", url, closing), t);
  });
}

function databaseCase(kind: DatabaseKind, url: string, closing: Store[]): DatabaseCase {
  const clock = new ManualClock(START_MS);
  return {
    kind,
    url,
    clock,
    async open() {
      const store = await openDatabase(url, { now: () => clock.now() });
      closing.push(store);
      return store;
    },
  };
}
