import assert from "node:assert/strict";
import { DEVICE_DEFAULTS } from "../../../../src/api/devices/index.ts";
import { codeOf, exchange, madeCode, startRig } from "../../../support/api-devices/rig.ts";
import { type Answered, ask } from "../../../support/api-devices/server.ts";
import { onEachDatabase } from "../../../support/api-store/each-database.ts";
import { MINUTE_MS } from "../../../support/api-store/people.ts";

const WRONG = `hwp_${"0".repeat(26)}`;

onEachDatabase(
  "exchange limits: five failures of an address, malformed ones included, and it is refused for fifteen minutes",
  async (on, t) => {
    const rig = await startRig(on, t);
    const good = await madeCode(rig);
    for (const code of [WRONG, "x", 5, undefined, WRONG]) {
      assert.equal((await exchange(rig, code)).status, 404);
    }
    const refused = await exchange(rig, good.code);
    assert.equal(refused.status, 429);
    assert.equal(codeOf(refused), "rate_limited");
    assert.equal(refused.headers.get("retry-after"), "900");
    rig.limitClock.advance(15 * MINUTE_MS - 1);
    assert.equal((await exchange(rig, WRONG)).status, 429);
    // One event for each failure, and one for the block.
    assert.equal(rig.events("pairing_failed").length, 5);
    assert.equal(rig.events("excess_rate_limit_exceeded").length, 1);
    rig.limitClock.advance(1);
    assert.equal((await exchange(rig, good.code)).status, 201);
  },
);

onEachDatabase(
  "exchange limits: a hundred at once from one address are five tries",
  async (on, t) => {
    const rig = await startRig(on, t);
    const answers = await Promise.all(Array.from({ length: 100 }, () => exchange(rig, WRONG)));
    const count = (status: number) => answers.filter((answer) => answer.status === status).length;
    assert.deepEqual([count(404), count(429)], [5, 95]);
  },
);

onEachDatabase(
  "exchange limits: a forwarded address counts where a trusted proxy says so, and nowhere else",
  async (on, t) => {
    const from = (url: string, address: string): Promise<Answered> =>
      ask(url, "POST /api/pairing/exchange", {
        headers: { "x-forwarded-for": address },
        body: { code: WRONG },
      });
    const plain = await startRig(on, t);
    for (let count = 0; count < 5; count++) await from(plain.url, `192.0.2.${count}`);
    assert.equal((await from(plain.url, "192.0.2.9")).status, 429);
    const behind = await startRig(on, t, { trustedProxyCidrs: ["127.0.0.1/32"] });
    for (let count = 0; count < 5; count++) await from(behind.url, "192.0.2.1");
    assert.equal((await from(behind.url, "192.0.2.1")).status, 429);
    assert.equal((await from(behind.url, "192.0.2.2")).status, 404);
  },
);

onEachDatabase(
  "exchange limits: too many failures of all addresses pause codes for a minute, and no enrolment keys",
  async (on, t) => {
    const { exchange: limits } = DEVICE_DEFAULTS;
    assert.ok(limits !== null);
    const rig = await startRig(on, t, {
      devices: { exchange: { ...limits, globalFailuresMax: 10 } },
      trustedProxyCidrs: ["127.0.0.1/32"],
    });
    const { code } = await madeCode(rig);
    const { key } = await rig.json<{ key: string }>(201, "POST /api/enrolment-keys", {
      body: { name: "k", uses_max: 10 },
    });
    const from = (address: string, presented: string): Promise<Answered> =>
      ask(rig.url, "POST /api/pairing/exchange", {
        headers: { "x-forwarded-for": address },
        body: { code: presented },
      });
    for (let count = 0; count < 10; count++) {
      assert.equal((await from(`192.0.2.${count}`, WRONG)).status, 404);
    }
    const paused = await from("198.51.100.1", code);
    assert.equal(paused.status, 429);
    assert.equal(codeOf(paused), "pairing_paused");
    assert.equal(paused.headers.get("retry-after"), "60");
    assert.equal((await from("198.51.100.1", key)).status, 201);
    const [alarm, ...others] = rig.events("excess_rate_limit_exceeded");
    assert.deepEqual(others, []);
    assert.equal(alarm?.detail?.["limit"], "all_addresses");
    assert.match(rig.logText(), /pairing codes are not taken for a moment/);
    rig.limitClock.advance(MINUTE_MS);
    assert.equal((await from("198.51.100.1", code)).status, 201);
  },
);
