import assert from "node:assert/strict";
import { test } from "node:test";
import { CompiledQuery } from "kysely";
import { wireTenant } from "../../../../src/api/relay-link/index.ts";
import {
  disableTenant,
  disableUser,
  getApiKey,
  getDevice,
  LAST_USED_WRITE_MS,
  revokeApiKey,
  revokeDeviceTokens,
  rotateDeviceToken,
  SEEN_WRITE_MS,
} from "../../../../src/api/store/index.ts";
import {
  AUTHORIZE_CHECKS_MAX,
  AUTHORIZE_RECHECK_MAX,
  type AuthorizeAnswer,
  type AuthorizeRequest,
} from "../../../../src/core/contract.ts";
import { type MintedToken, mintDeviceId, mintToken } from "../../../../src/core/token.ts";
import { onEachDatabase } from "../../../support/api-store/each-database.ts";
import {
  activeDevice,
  MINUTE_MS,
  OTHER_TENANT,
  pairedDevice,
  person,
  TENANT,
} from "../../../support/api-store/people.ts";
import { ask, SECRET } from "../../../support/relay/start-relay.ts";
import { apiKey } from "../../../support/relay-link/people.ts";
import { type Rig, startRig } from "../../../support/relay-link/rig.ts";

const REFUSED = { ok: false, status: 401 };

async function post(rig: Rig, body: unknown, secret = SECRET) {
  return await ask(rig.apiPort, "/internal/authorize", {
    method: "POST",
    headers: { authorization: `Bearer ${secret}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
}

async function authorize(rig: Rig, asked: Partial<AuthorizeRequest>): Promise<AuthorizeAnswer> {
  const none = { tokens: [], keys: [], devices: [], recheck: [] };
  const { status, text } = await post(rig, { ...none, ...asked });
  assert.equal(status, 200, text);
  return JSON.parse(text);
}

const check = ({ ref, secretDigest: digest }: MintedToken) => ({ ref, digest });

onEachDatabase("authorize: answers every list in the order of its questions", async (on, t) => {
  const store = await on.open();
  const rig = await startRig(t, { store });
  const ann = await person(store, "ann");
  const bob = await person(store, "bob", OTHER_TENANT);
  const mine = await activeDevice(store, ann);
  const foreign = await activeDevice(store, bob);
  const key = await apiKey(store, ann, { devices: [mine.id], requestsPerMinute: 90 });
  const narrow = await apiKey(store, ann, { scopes: ["devices:read"] });
  const unknown = mintToken("device");
  const unknownKey = mintToken("key");
  const answer = await authorize(rig, {
    tokens: [
      check(unknown),
      check(foreign.token),
      check(mine.token),
      { ref: mine.token.ref, digest: unknown.secretDigest },
    ],
    keys: [
      check(unknownKey),
      check(narrow),
      check(key),
      { ref: key.ref, digest: unknownKey.secretDigest },
    ],
    devices: [mine.id, mintDeviceId(), foreign.id],
    recheck: [mine.token.ref, unknown.ref, foreign.token.ref],
  });
  const tenant = wireTenant(TENANT);
  const other = wireTenant(OTHER_TENANT);
  const ownKey = await getApiKey(store, TENANT, key.ref);
  assert.deepEqual(answer, {
    tokens: [
      REFUSED,
      { ok: true, device_id: foreign.id, user_id: bob.id, tenant_id: other },
      { ok: true, device_id: mine.id, user_id: ann.id, tenant_id: tenant },
      REFUSED,
    ],
    keys: [
      REFUSED,
      { ok: false, status: 403 },
      {
        ok: true,
        user_id: ann.id,
        tenant_id: tenant,
        devices: [mine.id],
        requests_per_minute: 90,
        expires_at: new Date(ownKey?.expiresAt ?? 0).toISOString(),
      },
      REFUSED,
    ],
    devices: [{ tenant_id: tenant }, null, { tenant_id: other }],
    revoked: [unknown.ref],
  });
  assert.match(tenant, /^[0-9A-Za-z_-]{22}$/);
});

onEachDatabase("authorize: what ended, expired or is disabled is refused", async (on, t) => {
  const store = await on.open();
  const rig = await startRig(t, { store });
  const [ann, eve, tom] = await Promise.all([
    person(store, "ann"),
    person(store, "eve"),
    person(store, "tom", OTHER_TENANT),
  ]);
  const things = await Promise.all(
    [ann, eve, tom].map(async (user) => ({
      device: await activeDevice(store, user),
      key: await apiKey(store, user),
    })),
  );
  const asked = {
    tokens: things.map(({ device }) => check(device.token)),
    keys: things.map(({ key }) => check(key)),
    recheck: things.flatMap(({ device, key }) => [key.ref, device.token.ref]),
  };
  const before = await authorize(rig, asked);
  assert.ok([...before.tokens, ...before.keys].every(({ ok }) => ok));
  assert.deepEqual(before.revoked, []);
  const [first, second, third] = things as [Thing, Thing, Thing];
  await revokeDeviceTokens(store, TENANT, first.device.id);
  await revokeApiKey(store, TENANT, first.key.ref);
  await disableUser(store, TENANT, eve.id);
  await disableTenant(store, OTHER_TENANT);
  const after = await authorize(rig, asked);
  assert.deepEqual(after.tokens, [REFUSED, REFUSED, REFUSED]);
  assert.deepEqual(after.keys, [REFUSED, REFUSED, REFUSED]);
  assert.deepEqual(
    [...after.revoked].sort(),
    [first, second, third].flatMap(({ device, key }) => [key.ref, device.token.ref]).sort(),
  );
  const late = await apiKey(store, ann, { expiresAt: store.now() + MINUTE_MS });
  assert.deepEqual((await authorize(rig, { recheck: [late.ref] })).revoked, []);
  on.clock.advance(MINUTE_MS);
  assert.deepEqual((await authorize(rig, { keys: [check(late)] })).keys, [REFUSED]);
  assert.deepEqual((await authorize(rig, { recheck: [late.ref] })).revoked, [late.ref]);
});

type Thing = Record<"device", Awaited<ReturnType<typeof activeDevice>>> & { key: MintedToken };

onEachDatabase(
  "authorize: a rotated token is good until a time that the relay is told",
  async (on, t) => {
    const store = await on.open();
    const rig = await startRig(t, { store });
    const { id, token } = await activeDevice(store, await person(store, "ann"));
    const newer = mintToken("device");
    await rotateDeviceToken(store, TENANT, id, newer, { expiresAt: null });
    const { tokens } = await authorize(rig, { tokens: [check(token), check(newer)] });
    const until = new Date(store.now() + 24 * 60 * MINUTE_MS).toISOString();
    assert.equal(tokens[0]?.ok && tokens[0].expires_at, until);
    assert.equal(tokens[1]?.ok && tokens[1].expires_at, undefined);
  },
);

onEachDatabase("authorize: the use of a key is noted, once a minute at most", async (on, t) => {
  const store = await on.open();
  const rig = await startRig(t, { store });
  const key = await apiKey(store, await person(store, "ann"));
  const usedAt = async () => (await getApiKey(store, TENANT, key.ref))?.lastUsedAt;
  const first = store.now();
  await authorize(rig, { keys: [check(key)] });
  assert.equal(await usedAt(), first);
  on.clock.advance(LAST_USED_WRITE_MS - 1);
  await authorize(rig, { keys: [check(key)] });
  assert.equal(await usedAt(), first);
  on.clock.advance(1);
  await authorize(rig, { keys: [check(key)] });
  assert.equal(await usedAt(), first + LAST_USED_WRITE_MS);
});

onEachDatabase(
  "authorize: a live tunnel activates its device, should the report be lost",
  async (on, t) => {
    const store = await on.open();
    const rig = await startRig(t, { store });
    const { id, token } = await pairedDevice(store, await person(store, "ann"));
    assert.equal((await getDevice(store, TENANT, id))?.state, "pending");
    assert.deepEqual((await authorize(rig, { recheck: [token.ref] })).revoked, []);
    const device = await getDevice(store, TENANT, id);
    assert.equal(device?.state, "active");
    assert.equal(device?.activateBy, null);
  },
);

onEachDatabase(
  "authorize: a live tunnel keeps its device, should the time to connect be over before anybody is told",
  async (on, t) => {
    const store = await on.open();
    const rig = await startRig(t, { store });
    const { id, token } = await pairedDevice(store, await person(store, "ann"));
    on.clock.advance(11 * MINUTE_MS);
    assert.deepEqual((await authorize(rig, { recheck: [token.ref] })).revoked, []);
    assert.equal((await getDevice(store, TENANT, id))?.state, "active");
    const { tokens } = await authorize(rig, { tokens: [check(token)] });
    assert.equal(tokens[0]?.ok, true);
  },
);

onEachDatabase(
  "authorize: a device that is up was seen, which is written every five minutes",
  async (on, t) => {
    const store = await on.open();
    const rig = await startRig(t, { store });
    const { id, token } = await activeDevice(store, await person(store, "ann"));
    const other = await activeDevice(store, await person(store, "ann"));
    const start = store.now();
    const seenAfter = async (ms: number): Promise<number> => {
      on.clock.advance(ms);
      await authorize(rig, { recheck: [token.ref] });
      return ((await getDevice(store, TENANT, id))?.lastSeenAt ?? 0) - start;
    };
    assert.equal(await seenAfter(SEEN_WRITE_MS - 1), 0);
    assert.equal(await seenAfter(1), SEEN_WRITE_MS);
    assert.equal(await seenAfter(MINUTE_MS), SEEN_WRITE_MS);
    assert.equal(await seenAfter(SEEN_WRITE_MS), 2 * SEEN_WRITE_MS + MINUTE_MS);
    assert.equal((await getDevice(store, TENANT, other.id))?.lastSeenAt, start);
  },
);

test("authorize: a key held to more devices than the relay takes does not spoil the whole answer", async (t) => {
  const rig = await startRig(t);
  const devices = Array.from({ length: 1_001 }, mintDeviceId);
  const key = await apiKey(rig.store, await person(rig.store, "ann"), { devices });
  const { keys } = await authorize(rig, { keys: [check(key)] });
  assert.equal(keys[0]?.ok && keys[0].devices?.length, 1_000);
});

test("authorize: another secret is 401, another body 400, and neither tells why", async (t) => {
  const rig = await startRig(t);
  const none = { tokens: [], keys: [], devices: [], recheck: [] };
  assert.equal((await post(rig, none, `${SECRET}x`)).status, 401);
  assert.equal((await post(rig, { ...none, tokens: [{ ref: "x", digest: "y" }] })).status, 400);
  const many = Array.from({ length: AUTHORIZE_CHECKS_MAX + 1 }, mintDeviceId);
  assert.equal((await post(rig, { ...none, devices: many })).status, 400);
  assert.equal((await post(rig, { ...none, devices: many.slice(1) })).status, 200);
});

test("authorize: a use that cannot be written is no reason to let nobody in", async (t) => {
  const rig = await startRig(t);
  const { store } = rig;
  const ann = await person(store, "ann");
  const key = await apiKey(store, ann);
  const device = await activeDevice(store, ann);
  await store.query.updateTable("devices").set({ lastSeenAt: 0 }).execute();
  // As it is when the disk is full.
  await store.query.executeQuery(CompiledQuery.raw("pragma query_only = on"));
  const answer = await authorize(rig, { keys: [check(key)], recheck: [device.token.ref] });
  assert.deepEqual([answer.keys[0]?.ok, answer.revoked], [true, []]);
  assert.equal(rig.logText.match(/a use cannot be noted/g)?.length, 2);
});

test("authorize: the database away is 503, so that the relay goes by what it knows", async (t) => {
  const rig = await startRig(t);
  await rig.store.close();
  const { status, headers } = await post(rig, {
    tokens: [check(mintToken("device"))],
    keys: [],
    devices: [],
    recheck: [],
  });
  assert.deepEqual([status, headers["retry-after"]], [503, "2"]);
});

test("authorize: a full batch lets others be served meanwhile", async (t) => {
  const rig = await startRig(t);
  const { store } = rig;
  await activeDevice(store, await person(store, "ann"));
  const refs = Array.from({ length: AUTHORIZE_RECHECK_MAX }, () => mintToken("device").ref);
  let turns = 0;
  let isOver = false;
  const count = (): void => {
    turns += 1;
    if (!isOver) setImmediate(count);
  };
  setImmediate(count);
  const tokens = Array.from({ length: AUTHORIZE_CHECKS_MAX }, () => check(mintToken("device")));
  const { revoked } = await authorize(rig, { tokens, recheck: refs });
  isOver = true;
  assert.equal(revoked.length, AUTHORIZE_RECHECK_MAX);
  assert.ok(turns >= AUTHORIZE_RECHECK_MAX / 1_000, `${turns} turns`);
});
