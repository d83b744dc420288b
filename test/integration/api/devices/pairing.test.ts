import assert from "node:assert/strict";
import { DEVICE_DEFAULTS, removeLateDevices } from "../../../../src/api/devices/index.ts";
import {
  ACTIVATION_MS,
  authorizeDeviceTokens,
  getDevice,
  listDevices,
  queryAuditEvents,
  removeExpired,
} from "../../../../src/api/store/index.ts";
import { parseToken } from "../../../../src/core/token.ts";
import {
  codeOf,
  exchange,
  type Issued,
  madeCode,
  madeDevice,
  startRig,
  wholeAnswer,
} from "../../../support/api-devices/rig.ts";
import { ask } from "../../../support/api-devices/server.ts";
import { onEachDatabase } from "../../../support/api-store/each-database.ts";
import { IDLE_MS, MINUTE_MS, OTHER_TENANT, TENANT } from "../../../support/api-store/people.ts";
import { noteConnected } from "../../../support/api-store/tunnels.ts";

interface Code {
  readonly id: string;
  readonly state: string;
  readonly prefix: string;
  readonly device_id: string | null;
}

const FIRST = { limit: 100 };

onEachDatabase(
  "pairing: a code becomes a device of its creator, with a token that is good",
  async (on, t) => {
    const rig = await startRig(on, t);
    const made = await rig.json<{ code: string; id: string; expires_at: string }>(
      201,
      "POST /api/pairing-codes",
      { as: "bob" },
    );
    assert.deepEqual(Object.keys(made).sort(), ["code", "expires_at", "id"]);
    assert.match(made.code, /^hwp_[0-9A-HJKMNP-TV-Z]{26}$/);
    assert.equal(Date.parse(made.expires_at), on.clock.now() + 10 * MINUTE_MS);
    // As a person might type it.
    const typed = made.code.toLowerCase().replace(/(.{8})/g, "$1- ");
    const answer = await exchange(rig, typed, { name: "press", model: "m1", serial: "s1" });
    assert.equal(answer.status, 201);
    const paired = JSON.parse(answer.text);
    assert.deepEqual(Object.keys(paired), ["device_id", "token", "tunnel_url", "expires_at"]);
    assert.equal(paired.tunnel_url, "wss://relay.test");
    assert.equal(paired.expires_at, null);
    const token = parseToken(paired.token);
    assert.ok(token.ok);
    const [authorized] = await authorizeDeviceTokens(rig.store, [token]);
    assert.equal(authorized?.deviceId, paired.device_id);
    assert.equal(authorized?.ownerId, rig.bob.id);
    const device = await getDevice(rig.store, TENANT, paired.device_id);
    assert.deepEqual(
      [device?.name, device?.model, device?.serial, device?.state, device?.ownerId],
      ["press", "m1", "s1", "pending", rig.bob.id],
    );
  },
);

onEachDatabase(
  "pairing: the code is shown once, a listing has its beginning and what became of it",
  async (on, t) => {
    const rig = await startRig(on, t);
    const codes = [await madeCode(rig), await madeCode(rig), await madeCode(rig, "bob")];
    await exchange(rig, codes[0]?.code);
    assert.equal((await rig.ask(`DELETE /api/pairing-codes/${codes[1]?.id}`)).status, 204);
    const listing = await rig.ask("GET /api/pairing-codes");
    for (const { code } of codes) assert.ok(!listing.text.includes(code.slice(4)));
    const { pairing_codes: listed }: { pairing_codes: Code[] } = JSON.parse(listing.text);
    const byId = new Map(listed.map((code) => [code.id, code]));
    assert.deepEqual(
      codes.map(({ id }) => byId.get(id)?.state),
      ["used", "cancelled", "unused"],
    );
    assert.deepEqual(
      codes.map(({ id }) => byId.get(id)?.prefix),
      codes.map(({ code }) => code.slice(0, 8)),
    );
    const [device] = await listDevices(rig.store, TENANT, FIRST);
    assert.equal(byId.get(codes[0]?.id ?? "")?.device_id, device?.id);
    const { pairing_codes: foreign } = await rig.json<{ pairing_codes: Code[] }>(
      200,
      "GET /api/pairing-codes",
      { as: "eve" },
    );
    assert.deepEqual(foreign, []);
  },
);

onEachDatabase(
  "pairing: a user has so many codes at once, five by default, and a tenant so many more, fifty",
  async (on, t) => {
    const standard = { perUserMax: 5, perTenantMax: 50, ttlMs: 10 * MINUTE_MS };
    assert.deepEqual(DEVICE_DEFAULTS.pairing, standard);
    const pairing = { ...standard, perTenantMax: 7 };
    const rig = await startRig(on, t, { devices: { pairing } });
    for (let count = 0; count < 4; count++) await madeCode(rig);
    const last = await madeCode(rig);
    const refused = await rig.ask("POST /api/pairing-codes");
    assert.equal(refused.status, 409);
    assert.equal(codeOf(refused), "too_many_pairing_codes");
    await madeCode(rig, "bob");
    await madeCode(rig, "bob");
    assert.equal((await rig.ask("POST /api/pairing-codes", { as: "bob" })).status, 409);
    // The other tenant has codes of its own.
    await madeCode(rig, "eve");
    assert.equal((await rig.ask(`DELETE /api/pairing-codes/${last.id}`)).status, 204);
    await madeCode(rig);
    on.clock.advance(10 * MINUTE_MS);
    await madeCode(rig);
  },
);

onEachDatabase(
  "pairing: unknown, malformed, used, cancelled, expired, of the other form: one answer, byte by byte",
  async (on, t) => {
    const rig = await startRig(on, t, { devices: { exchange: null } });
    const used = await madeCode(rig);
    assert.equal((await exchange(rig, used.code)).status, 201);
    const cancelled = await madeCode(rig);
    await rig.json(204, `DELETE /api/pairing-codes/${cancelled.id}`);
    const expired = await madeCode(rig);
    on.clock.advance(10 * MINUTE_MS);
    const device = await madeDevice(rig);
    const key = await rig.json<{ key: string; ref: string }>(201, "POST /api/enrolment-keys", {
      body: { name: "k", uses_max: 1 },
    });
    await rig.json(204, `DELETE /api/enrolment-keys/${key.ref}`);
    const presented: Record<string, unknown> = {
      unknown: `hwp_${"0".repeat(26)}`,
      used: used.code,
      cancelled: cancelled.code,
      expired: expired.code,
      "used, in another spelling": used.code.toLowerCase(),
      "too short": used.code.slice(0, -1),
      empty: "",
      missing: undefined,
      number: 5,
      list: [used.code],
      object: { code: used.code },
      null: null,
      "device token": device.token,
      "revoked enrolment key": key.key,
      "enrolment key with a wrong checksum": `${key.key.slice(0, -1)}0`,
      "another form": "BCDF-GHJK-LMNP",
      "NUL and quotes": "hwp_\0'\"--",
      long: "h".repeat(4_000),
    };
    const headers = { "x-request-id": "the-same-for-all" };
    const answers = new Map<string, unknown>();
    for (const [name, code] of Object.entries(presented)) {
      const body = { code, device: { name: "x" } };
      const answer = await ask(rig.url, "POST /api/pairing/exchange", { body, headers });
      assert.equal(answer.status, 404, name);
      assert.equal(codeOf(answer), "pairing_code_invalid", name);
      answers.set(name, wholeAnswer(answer));
    }
    for (const [name, answer] of answers) assert.deepEqual(answer, answers.get("unknown"), name);
    // Each failure is one event, without the code.
    const failures = rig.events("pairing_failed");
    assert.equal(failures.length, answers.size);
    for (const { tenant, asker, detail } of failures) {
      assert.equal(tenant, null);
      assert.equal(asker?.address, "127.0.0.1");
      assert.deepEqual(Object.keys(detail ?? {}), ["reason"]);
    }
  },
);

onEachDatabase(
  "pairing: a code that was used or ran out stays so, also when its device is deleted and the clock set back",
  async (on, t) => {
    const rig = await startRig(on, t);
    const { code } = await madeCode(rig);
    const unseen = await madeCode(rig);
    const paired = JSON.parse((await exchange(rig, code)).text);
    await rig.json(204, `DELETE /api/devices/${paired.device_id}`);
    assert.equal((await exchange(rig, code)).status, 404);
    on.clock.advance(11 * MINUTE_MS);
    await removeExpired(rig.store, { idleMs: IDLE_MS });
    on.clock.advance(-11 * MINUTE_MS);
    for (const over of [code, unseen.code]) assert.equal((await exchange(rig, over)).status, 404);
    // Another process on the same database.
    const again = await startRig(on, t);
    assert.equal((await exchange(again, code)).status, 404);
  },
);

onEachDatabase(
  "pairing: whose a device is comes from the code alone, whatever the device says",
  async (on, t) => {
    const rig = await startRig(on, t);
    const claims = { name: "press", model: "m1", serial: "s1" };
    const theirs = JSON.parse(
      (await exchange(rig, (await madeCode(rig, "eve")).code, claims)).text,
    );
    const before = await getDevice(rig.store, OTHER_TENANT, theirs.device_id);
    const { code } = await madeCode(rig, "bob");
    const answer = await ask(rig.url, "POST /api/pairing/exchange", {
      headers: { "x-tenant-id": OTHER_TENANT, "x-hawser-device": theirs.device_id },
      body: {
        code,
        public_key: "later",
        tenant_id: OTHER_TENANT,
        device: {
          ...claims,
          id: theirs.device_id,
          device_id: theirs.device_id,
          tenant: OTHER_TENANT,
          tenant_id: OTHER_TENANT,
          owner_id: rig.eve.id,
          user_id: rig.eve.id,
          tags: ["trusted"],
          state: "active",
        },
      },
    });
    assert.equal(answer.status, 201);
    const ours = JSON.parse(answer.text);
    assert.notEqual(ours.device_id, theirs.device_id);
    const device = await getDevice(rig.store, TENANT, ours.device_id);
    assert.deepEqual([device?.ownerId, device?.tags, device?.state], [rig.bob.id, [], "pending"]);
    assert.deepEqual(await getDevice(rig.store, OTHER_TENANT, theirs.device_id), before);
    assert.equal((await listDevices(rig.store, OTHER_TENANT, FIRST)).length, 1);
  },
);

onEachDatabase(
  "pairing: a device that does not connect in ten minutes is gone, and everybody is told",
  async (on, t) => {
    const rig = await startRig(on, t);
    const { code } = await madeCode(rig);
    const lost = JSON.parse((await exchange(rig, code, { name: "lost" })).text);
    const kept = JSON.parse((await exchange(rig, (await madeCode(rig)).code)).text);
    const by = await madeDevice(rig);
    const lostToken = parseToken(lost.token);
    const keptToken = parseToken(kept.token);
    assert.ok(lostToken.ok && keptToken.ok);
    on.clock.advance(ACTIVATION_MS - 1);
    await noteConnected(rig.store, keptToken.ref);
    await removeLateDevices(rig.context);
    assert.deepEqual(rig.announced, []);
    on.clock.advance(1);
    assert.deepEqual(await authorizeDeviceTokens(rig.store, [lostToken]), [null]);
    await removeLateDevices(rig.context);
    assert.deepEqual(rig.announced, [{ revoked: [lostToken.ref], devices: [lost.device_id] }]);
    assert.deepEqual(rig.ended, [lostToken.ref]);
    const ids = (await listDevices(rig.store, TENANT, FIRST)).map(({ id }) => id);
    assert.deepEqual(ids.sort(), [kept.device_id, by.device_id].sort());
    const [told, ...others] = rig.events("pairing_failed");
    assert.deepEqual(others, []);
    assert.equal(told?.via, "tell");
    assert.equal(told?.objectId, lost.device_id);
    assert.deepEqual(told?.detail, { reason: "not_connected", name: "lost" });
    // A lost answer means that one pairs again: the code is used up.
    assert.equal((await exchange(rig, code)).status, 404);
    await removeLateDevices(rig.context);
    assert.equal(rig.announced.length, 1);
  },
);

onEachDatabase(
  "pairing: the creator's log has which device was paired, from where and by whose code",
  async (on, t) => {
    const rig = await startRig(on, t, { trustedProxyCidrs: ["127.0.0.1/32"] });
    const { code, id } = await madeCode(rig, "bob");
    const answer = await ask(rig.url, "POST /api/pairing/exchange", {
      headers: {
        "x-forwarded-for": "198.51.100.7",
        "x-request-id": "request-of-the-device",
        "user-agent": "hawser-agent/9",
      },
      body: { code, device: { name: "press\u202e", model: "m1" } },
    });
    const paired = JSON.parse(answer.text);
    const { events } = await queryAuditEvents(rig.store, TENANT, { limit: 10 });
    assert.deepEqual(
      events.map(({ event, actor, objectId, ip, userAgent, requestId, detail }) => {
        return { event, actor, objectId, ip, userAgent, requestId, detail };
      }),
      [
        {
          event: "pairing_exchanged",
          actor: rig.bob.id,
          objectId: paired.device_id,
          ip: "198.51.100.7",
          userAgent: "hawser-agent/9",
          requestId: "request-of-the-device",
          detail: {
            token: paired.token.slice(0, 12),
            by: "code",
            name: "press\u202e",
            model: "m1",
          },
        },
      ],
    );
    const [told, ...others] = rig.events("pairing_exchanged");
    assert.deepEqual(others, []);
    assert.equal(told?.via, "tell");
    assert.equal(told?.tenant, TENANT);
    assert.equal(told?.actor, rig.bob.id);
    assert.equal(told?.asker?.address, "198.51.100.7");
    assert.deepEqual(told?.detail, events[0]?.detail);
    assert.deepEqual(
      rig.audit.map(({ event, objectId }) => [event, objectId]),
      [
        ["pairing_created", id],
        ["pairing_exchanged", paired.device_id],
      ],
    );
  },
);

onEachDatabase(
  "pairing: a device without a name is called by its model and serial number",
  async (on, t) => {
    const rig = await startRig(on, t);
    const nameOf = async (device: unknown): Promise<string | undefined> => {
      const answer = await exchange(rig, (await madeCode(rig)).code, device);
      assert.equal(answer.status, 201, answer.text);
      const { device_id } = JSON.parse(answer.text);
      return (await getDevice(rig.store, TENANT, device_id))?.name;
    };
    assert.equal(await nameOf({ name: "  press ", model: "m1" }), "press");
    assert.equal(await nameOf({ model: "m1", serial: "s1" }), "m1 s1");
    assert.equal(await nameOf({ serial: "s1" }), "s1");
    assert.equal(await nameOf({}), "device");
    assert.equal(await nameOf(undefined), "device");
    assert.equal((await nameOf({ model: "m".repeat(200) }))?.length, 100);
  },
);

onEachDatabase(
  "pairing: what a device says of itself has limits, and does not use the code up",
  async (on, t) => {
    const rig = await startRig(on, t, { devices: { exchange: null } });
    const { code } = await madeCode(rig);
    for (const device of [
      { name: "" },
      { name: "x".repeat(101) },
      { name: "a\nb" },
      { name: "a\0b" },
      { name: "\ud800" },
      { name: 5 },
      { model: "x".repeat(201) },
      { serial: null },
      "press",
      null,
      [],
    ]) {
      const answer = await exchange(rig, code, device);
      assert.equal(answer.status, 400, JSON.stringify(device));
      assert.equal(codeOf(answer), "invalid_request");
    }
    const url = `${rig.url}/api/pairing/exchange`;
    const send = async (body: string, type: string): Promise<number> => {
      const headers = { "content-type": type };
      return (await fetch(url, { method: "POST", headers, body })).status;
    };
    const json = JSON.stringify({ code });
    assert.equal(await send(json, "text/plain"), 415);
    assert.equal(await send(`code=${code}`, "application/x-www-form-urlencoded"), 415);
    assert.equal(await send(json.padEnd(8_193), "application/json"), 413);
    assert.equal(await send("{", "application/json"), 400);
    assert.equal(await send(json.padEnd(8_192), "application/json"), 201);
  },
);

onEachDatabase(
  "pairing: a token of a fleet that rotates has an end, which the answer names",
  async (on, t) => {
    const rig = await startRig(on, t, { devices: { deviceTokenTtlMs: MINUTE_MS } });
    const { token, expires_at } = JSON.parse(
      (await exchange(rig, (await madeCode(rig)).code)).text,
    );
    assert.equal(Date.parse(expires_at), on.clock.now() + MINUTE_MS);
    assert.equal((await rig.ask("GET /api/device", { as: token })).status, 200);
    on.clock.advance(MINUTE_MS);
    assert.equal((await rig.ask("GET /api/device", { as: token })).status, 401);
  },
);

onEachDatabase(
  "pairing: an enrolment key takes devices in with its tags until its uses are gone",
  async (on, t) => {
    const rig = await startRig(on, t);
    const made = await rig.json<{ key: string; ref: string; expires_at: string }>(
      201,
      "POST /api/enrolment-keys",
      { body: { name: "hall 1", uses_max: 2, expires_in_days: 3, tags: ["hall-1", "hall-1"] } },
    );
    assert.match(made.key, /^hwe_/);
    assert.equal(Date.parse(made.expires_at), on.clock.now() + 3 * 24 * 60 * MINUTE_MS);
    const first: Issued = JSON.parse((await exchange(rig, made.key, { serial: "s1" })).text);
    const device = await getDevice(rig.store, TENANT, first.device_id);
    assert.deepEqual([device?.tags, device?.ownerId], [["hall-1"], rig.ann.id]);
    assert.equal((await exchange(rig, made.key, { serial: "s1" })).status, 201);
    const over = await exchange(rig, made.key);
    assert.equal(codeOf(over), "pairing_code_invalid");
    const listing = await rig.ask("GET /api/enrolment-keys");
    assert.ok(!listing.text.includes(made.key.slice(12)));
    const [listed] = JSON.parse(listing.text).enrolment_keys;
    assert.deepEqual([listed.ref, listed.uses, listed.uses_max], [made.ref, 2, 2]);
    assert.deepEqual(
      rig.events("key_created").map(({ objectId }) => objectId),
      [made.ref],
    );
  },
);

onEachDatabase(
  "pairing: an enrolment key ends by its time and by revocation; its devices stay",
  async (on, t) => {
    const rig = await startRig(on, t);
    const make = () =>
      rig.json<{ key: string; ref: string }>(201, "POST /api/enrolment-keys", {
        body: { name: "k", uses_max: 10, expires_in_days: 1 },
      });
    const [late, revoked] = [await make(), await make()];
    const { token } = JSON.parse((await exchange(rig, revoked.key)).text);
    await rig.json(204, `DELETE /api/enrolment-keys/${revoked.ref}`);
    assert.equal((await exchange(rig, revoked.key)).status, 404);
    assert.equal((await rig.ask(`DELETE /api/enrolment-keys/${revoked.ref}`)).status, 404);
    assert.equal((await rig.ask("GET /api/device", { as: token })).status, 200);
    on.clock.advance(24 * 60 * MINUTE_MS);
    assert.equal((await exchange(rig, late.key)).status, 404);
  },
);

onEachDatabase(
  "pairing: enrolment keys are an administrator's, and as many as are allowed",
  async (on, t) => {
    const rig = await startRig(on, t, { devices: { enrolmentKeysPerTenantMax: 1 } });
    const body = { name: "k", uses_max: 1 };
    for (const request of [
      "POST /api/enrolment-keys",
      "GET /api/enrolment-keys",
      "DELETE /api/enrolment-keys/hwe_00000000",
    ]) {
      const given = request.startsWith("POST") ? { body } : {};
      const answer = await rig.ask(request, { as: "bob", ...given });
      assert.equal(answer.status, 403, request);
      assert.equal(codeOf(answer), "insufficient_role");
    }
    await rig.json(201, "POST /api/enrolment-keys", { body });
    const over = await rig.ask("POST /api/enrolment-keys", { body });
    assert.equal(codeOf(over), "too_many_enrolment_keys");
    await rig.json(201, "POST /api/enrolment-keys", { as: "eve", body });
  },
);
