import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import {
  ExplainNode,
  type KyselyPlugin,
  RawNode,
  type RootOperationNode,
  type Transaction,
} from "kysely";
import {
  type AuditFilter,
  listPairingCodes,
  openDatabase,
  queryApiKeys,
  queryAuditEvents,
  removeExpired,
} from "../../../../src/api/store/index.ts";
import type { Schema } from "../../../../src/api/store/schema.ts";
import { Store } from "../../../../src/api/store/store.ts";
import { IDLE_MS, TENANT } from "../../../support/api-store/people.ts";

/** How SQLite goes about the statements that `ask` makes. They are explained in place of being run. */
async function plansOf(
  t: TestContext,
  ask: (store: Store) => Promise<unknown>,
): Promise<readonly string[]> {
  const folder = await mkdtemp(join(tmpdir(), "hawser-plans-"));
  const opened = await openDatabase(`sqlite:${join(folder, "hawser.db")}`);
  t.after(async () => {
    await opened.close();
    await rm(folder, { recursive: true, force: true });
  });
  const plans: string[] = [];
  const explaining: KyselyPlugin = {
    transformQuery: ({ node }) => {
      const explain = ExplainNode.create(undefined, RawNode.createWithSql("query plan"));
      return { ...node, explain } as RootOperationNode;
    },
    transformResult: async ({ result }) => {
      plans.push(result.rows.map(({ detail }) => String(detail)).join("\n"));
      return { rows: [] };
    },
  };
  await ask(new ExplainingStore("sqlite", opened.query.withPlugin(explaining), Date.now));
  return plans;
}

/** Nothing is changed, so nothing need be one transaction. */
class ExplainingStore extends Store {
  override transaction<T>(work: (queries: Transaction<Schema>) => Promise<T>): Promise<T> {
    return work(this.query as Transaction<Schema>);
  }
}

const FILTERS: readonly (readonly [Omit<AuditFilter, "limit">, string])[] = [
  [{}, "audit_events_time"],
  [{ since: 1, until: 2 }, "audit_events_time"],
  [{ cursor: "1.1" }, "audit_events_time"],
  [{ event: "e" }, "audit_events_event"],
  [{ event: "e", since: 1, cursor: "2.1" }, "audit_events_event"],
  [{ actor: "a" }, "audit_events_actor"],
  [{ actor: "a", event: "e" }, "audit_events_actor"],
  [{ objectId: "o" }, "audit_events_object"],
  [{ objectId: "o", actor: "a", event: "e", until: 2, cursor: "1.1" }, "audit_events_object"],
];

for (const [filter, index] of FILTERS) {
  const words = Object.keys(filter).join(", ") || "nothing";
  test(`store: the audit log filtered by ${words} is read by an index, and sorted by it`, async (t) => {
    const plans = await plansOf(t, (store) =>
      queryAuditEvents(store, TENANT, { limit: 1, ...filter }),
    );
    assert.equal(plans.length, 1);
    assert.match(plans[0] ?? "", new RegExp(`^SEARCH audit_events USING INDEX ${index} [^\n]*$`));
  });
}

test("store: listings of a tenant are read by an index", async (t) => {
  const plans = await plansOf(t, async (store) => {
    await queryApiKeys(store, TENANT, { limit: 1 });
    await listPairingCodes(store, TENANT, { limit: 1 });
  });
  assert.match(plans[0] ?? "", /^SEARCH api_keys USING INDEX api_keys_tenant /);
  assert.match(plans[1] ?? "", /^SEARCH pairing_codes USING INDEX pairing_codes_listing /);
});

test("store: housekeeping reads no table whole that grows with devices", async (t) => {
  const plans = await plansOf(t, (store) => removeExpired(store, { idleMs: IDLE_MS }));
  const all = plans.join("\n");
  assert.match(all, /SEARCH device_tokens/);
  assert.match(all, /SEARCH pairing_codes/);
  assert.doesNotMatch(all, /SCAN (?:device_tokens|pairing_codes|devices|audit_events)\b/);
});
