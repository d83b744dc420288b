import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { runHousekeeping } from "../../../../src/api/devices/index.ts";
import {
  ACTIVATION_MS,
  createPairingCode,
  type Store,
  type User,
} from "../../../../src/api/store/index.ts";
import { mintPairingCode } from "../../../../src/core/pairing-code.ts";
import { parseToken } from "../../../../src/core/token.ts";
import { startApiProcess } from "../../../support/api-devices/processes.ts";
import { codeOf, exchange, madeCode, startRig } from "../../../support/api-devices/rig.ts";
import { ask } from "../../../support/api-devices/server.ts";
import { type DatabaseCase, onEachDatabase } from "../../../support/api-store/each-database.ts";
import { IDLE_MS, MINUTE_MS, TENANT } from "../../../support/api-store/people.ts";

async function codesOf(store: Store, user: User, count: number): Promise<string[]> {
  const limits = { perUserMax: count, perTenantMax: count, ttlMs: 10 * MINUTE_MS };
  const codes: string[] = [];
  for (let made = 0; made < count; made++) {
    const code = mintPairingCode();
    await createPairingCode(store, TENANT, user.id, code, limits);
    codes.push(code.text);
  }
  return codes;
}

/** A code whose exchange came so far when the process that did it was killed. */
async function killedAt(on: DatabaseCase, t: TestContext, step: string) {
  const rig = await startRig(on, t, { devices: { exchange: null } });
  const { code } = await madeCode(rig);
  const victim = await startApiProcess(t, on.url, step);
  const broken = assert.rejects(
    ask(victim.url, "POST /api/pairing/exchange", { body: { code } }),
    TypeError,
  );
  await victim.stopped();
  await victim.kill();
  await broken;
  return { rig, code };
}

onEachDatabase(
  "processes: of 100 exchanges of one code at two API servers exactly one is 201, the others are the 404",
  async (on, t) => {
    const rig = await startRig(on, t);
    const { code } = await madeCode(rig);
    const servers = await Promise.all([1, 2].map(() => startApiProcess(t, on.url)));
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, index) =>
        ask(servers[index % 2]?.url ?? "", "POST /api/pairing/exchange", { body: { code } }),
      ),
    );
    const won = answers.filter(({ status }) => status === 201);
    const lost = answers.filter(
      (answer) => answer.status === 404 && codeOf(answer) === "pairing_code_invalid",
    );
    assert.deepEqual([won.length, lost.length], [1, 99]);
    const devices = await rig.store.query.selectFrom("devices").select("id").execute();
    const tokens = await rig.store.query.selectFrom("deviceTokens").select("ref").execute();
    const { device_id, token } = JSON.parse(won[0]?.text ?? "");
    assert.deepEqual(devices, [{ id: device_id }]);
    assert.deepEqual(tokens, [{ ref: token.slice(0, 12) }]);
    assert.equal((await ask(servers[1]?.url ?? "", "GET /api/device", { as: token })).status, 200);
  },
);

for (const step of ["claimed", "device_created", "token_stored", "audited"] as const) {
  onEachDatabase(
    `processes: an API server killed after "${step}" leaves nothing, and the code good`,
    async (on, t) => {
      const { rig, code } = await killedAt(on, t, step);
      const devices = await rig.store.query.selectFrom("devices").select("id").execute();
      const tokens = await rig.store.query.selectFrom("deviceTokens").select("ref").execute();
      assert.deepEqual([devices, tokens], [[], []]);
      assert.equal((await exchange(rig, code)).status, 201);
    },
  );
}

onEachDatabase(
  "processes: an API server killed before it answered leaves a device that housekeeping removes",
  async (on, t) => {
    const { rig, code } = await killedAt(on, t, "committed");
    assert.equal((await exchange(rig, code)).status, 404);
    on.clock.advance(ACTIVATION_MS - 1);
    await runHousekeeping(rig.context, { idleMs: IDLE_MS });
    const [token] = await rig.store.query.selectFrom("deviceTokens").select("ref").execute();
    on.clock.advance(1);
    await runHousekeeping(rig.context, { idleMs: IDLE_MS });
    assert.deepEqual(
      rig.announced.map(({ revoked }) => revoked),
      [[token?.ref]],
    );
    const left = await rig.store.query.selectFrom("deviceTokens").select("ref").execute();
    assert.deepEqual(left, []);
  },
);

onEachDatabase(
  "processes: an API server killed amid exchanges leaves no token that nobody got, and codes that are used or good",
  async (on, t) => {
    const rig = await startRig(on, t, { devices: { exchange: null } });
    const count = 20;
    const codes = await codesOf(rig.store, rig.ann, count);
    const victim = await startApiProcess(t, on.url);
    // All are sent at once; it is killed when the first answer is here.
    let killed: Promise<void> | null = null;
    const answers = await Promise.all(
      codes.map(async (code) => {
        try {
          const answer = await ask(victim.url, "POST /api/pairing/exchange", { body: { code } });
          killed ??= victim.kill();
          assert.equal(answer.status, 201);
          return JSON.parse(answer.text);
        } catch (error) {
          // The connection broke: `fetch failed`, or the body did.
          assert.ok(error instanceof TypeError, String(error));
          return null;
        }
      }),
    );
    await killed;
    const got = new Set(
      answers.filter((answer) => answer !== null).map(({ token }) => token.slice(0, 12)),
    );
    assert.ok(got.size > 0);
    t.diagnostic(`${got.size} of ${count} were answered`);
    // Those who got no answer try again elsewhere: a code is used up, or as good as before.
    const usedUp: string[] = [];
    for (const [index, answer] of answers.entries()) {
      if (answer !== null) continue;
      const code = codes[index] ?? "";
      const again = await exchange(rig, code);
      if (again.status === 201) got.add(JSON.parse(again.text).token.slice(0, 12));
      else {
        assert.equal(codeOf(again), "pairing_code_invalid");
        usedUp.push(code);
      }
    }
    const states = await rig.store.query.selectFrom("pairingCodes").select("state").execute();
    assert.deepEqual(new Set(states.map(({ state }) => state)), new Set(["used"]));
    // Devices whose token was answered connect; the others are gone after ten minutes.
    const tokens = await rig.store.query
      .selectFrom("deviceTokens")
      .select(["ref", "deviceId"])
      .execute();
    assert.equal(tokens.length, got.size + usedUp.length);
    const orphans = tokens.filter(({ ref }) => !got.has(ref));
    assert.equal(orphans.length, usedUp.length);
    await rig.store.query
      .updateTable("devices")
      .set({ state: "active", activateBy: null })
      .where("id", "not in", [...orphans.map(({ deviceId }) => deviceId), "none"])
      .execute();
    on.clock.advance(ACTIVATION_MS);
    await runHousekeeping(rig.context, { idleMs: IDLE_MS });
    const left = await rig.store.query.selectFrom("deviceTokens").select("ref").execute();
    assert.deepEqual(new Set(left.map(({ ref }) => ref)), got);
    const announced = rig.announced.flatMap(({ revoked }) => revoked ?? []);
    assert.deepEqual(announced.sort(), orphans.map(({ ref }) => ref).sort());
    for (const answer of answers) {
      if (answer !== null) assert.ok(parseToken(answer.token).ok);
    }
  },
);
