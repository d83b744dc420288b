import assert from "node:assert/strict";
import { queryAuditEvents } from "../../../../src/api/store/index.ts";
import { type CredentialsRig, onEachRig } from "../../../support/api/credentials-rig.ts";
import { OTHER_TENANT, person, TENANT } from "../../../support/api-store/people.ts";

const RATES = { session: 6, key: 4, service: 4, device: 4 };
const NEW = { name: "k", scopes: ["devices:read"] };

async function statuses(rig: CredentialsRig, as: string, count: number): Promise<number[]> {
  const found: number[] = [];
  for (let sent = 0; sent < count; sent++) {
    found.push((await rig.send("GET /api/probe/key", as)).status);
  }
  return found;
}

onEachRig(
  "request limit: beyond it a caller gets 429 with the wait, and others go on",
  async (rig, on) => {
    const ann = await person(rig.store, "ann");
    const eve = await person(rig.store, "eve", OTHER_TENANT);
    const { key, ref } = (await rig.send("POST /api/keys", rig.signIn(ann), NEW)).body;
    const other = (await rig.send("POST /api/keys", rig.signIn(eve), NEW)).body.key;
    const first = await rig.send("GET /api/probe/key", key);
    assert.equal(first.headers.get("ratelimit-limit"), "4");
    assert.equal(first.headers.get("ratelimit-remaining"), "3");
    assert.equal(first.headers.get("ratelimit-reset"), "15");
    assert.deepEqual(await statuses(rig, key, 3), [200, 200, 200]);
    const refused = await rig.send("GET /api/probe/key", key);
    assert.equal(refused.status, 429);
    assert.equal(refused.body.code, "rate_limited");
    assert.equal(refused.body.retriable, true);
    assert.equal(refused.headers.get("retry-after"), "15");
    assert.equal(refused.headers.get("ratelimit-remaining"), "0");
    assert.deepEqual(await statuses(rig, other, 4), [200, 200, 200, 200]);
    await rig.audit.flush();
    const { events } = await queryAuditEvents(rig.store, TENANT, {
      limit: 10,
      event: "excess_rate_limit_exceeded",
    });
    assert.equal(events.length, 1);
    assert.equal(events[0]?.actor, ref);
    assert.deepEqual(events[0]?.detail, { route: "/api/probe/key", reason: "principal" });
    on.clock.advance(15_000);
    assert.deepEqual(await statuses(rig, key, 2), [200, 429]);
  },
  { rates: RATES },
);

onEachRig(
  "request limit: a session has its own, and a key that says so another one",
  async (rig) => {
    const ann = await person(rig.store, "ann");
    const wish = { ...NEW, requests_per_minute: 2 };
    const slow = (await rig.send("POST /api/keys", rig.signIn(ann), wish)).body;
    assert.equal(slow.requests_per_minute, 2);
    assert.deepEqual(await statuses(rig, slow.key, 3), [200, 200, 429]);
    const session = rig.signIn(ann);
    assert.deepEqual(await statuses(rig, session, 7), [200, 200, 200, 200, 200, 200, 429]);
  },
  { rates: RATES },
);

onEachRig(
  "request limit: who has not proven who he is uses up nothing of somebody else's",
  async (rig) => {
    const ann = await person(rig.store, "ann");
    const { key, ref } = (await rig.send("POST /api/keys", rig.signIn(ann), NEW)).body;
    for (let sent = 0; sent < 10; sent++) {
      const wrong = `${ref}_${"0".repeat(49)}`;
      assert.equal((await rig.send("GET /api/probe/key", wrong)).status, 401);
    }
    assert.deepEqual(await statuses(rig, key, 4), [200, 200, 200, 200]);
  },
  { rates: RATES },
);
