import assert from "node:assert/strict";
import {
  authorizeDeviceTokens,
  listDevices,
  ROTATION_GRACE_MS,
} from "../../../../src/api/store/index.ts";
import { isDeviceId, mintDeviceId, parseToken } from "../../../../src/core/token.ts";
import { codeOf, type Issued, madeDevice, startRig } from "../../../support/api-devices/rig.ts";
import { onEachDatabase } from "../../../support/api-store/each-database.ts";
import { MINUTE_MS, TENANT } from "../../../support/api-store/people.ts";
import { noteClosed, noteConnected } from "../../../support/api-store/tunnels.ts";

interface DeviceJson {
  readonly id: string;
  readonly name: string;
  readonly tags: readonly string[];
  readonly state: string;
  readonly connected: boolean | null;
}
interface Page {
  readonly devices: readonly DeviceJson[];
  readonly next?: string;
}

function parsed(token: string) {
  const read = parseToken(token);
  assert.ok(read.ok);
  return read;
}

onEachDatabase(
  "devices: one that cannot pair is made with its token in one answer",
  async (on, t) => {
    const rig = await startRig(on, t);
    const body = { name: " press ", tags: ["b", "a", "b"], model: "m1" };
    const answer = await rig.ask("POST /api/devices", { as: "bob", body });
    assert.equal(answer.status, 201);
    const made = JSON.parse(answer.text);
    assert.ok(isDeviceId(made.device_id));
    assert.equal(answer.headers.get("location"), `/api/devices/${made.device_id}`);
    assert.deepEqual(made.device, {
      id: made.device_id,
      name: "press",
      tags: ["b", "a"],
      model: "m1",
      serial: null,
      owner_id: rig.bob.id,
      state: "pending",
      approved: true,
      created_at: new Date(on.clock.now()).toISOString(),
      activate_by: null,
      first_connected_at: null,
      connected: false,
      connected_at: null,
      last_seen_at: null,
      last_close_reason: null,
      address: null,
      agent_version: null,
      edge_url: `https://relay.test/d/${made.device_id}/`,
    });
    const [authorized] = await authorizeDeviceTokens(rig.store, [parsed(made.token)]);
    assert.equal(authorized?.deviceId, made.device_id);
    for (const request of ["GET /api/devices", `GET /api/devices/${made.device_id}`]) {
      assert.ok(!(await rig.ask(request)).text.includes(made.token.slice(12)), request);
    }
    assert.deepEqual(
      rig.audit.map(({ event, objectId, actor }) => [event, objectId, actor]),
      [
        ["device_created", made.device_id, "ref-of-bob"],
        ["authn_token_created", made.token_ref, "ref-of-bob"],
      ],
    );
  },
);

onEachDatabase(
  "devices: an offline one is shown with when, from where and why it was last seen",
  async (on, t) => {
    const rig = await startRig(on, t, {
      devices: { edgeDomain: "d.test", edgeUrl: "https://x:8443" },
    });
    const { device_id: id, token } = await madeDevice(rig);
    const { ref } = parsed(token);
    await noteConnected(rig.store, ref, { remoteAddr: "[2001:db8::1]:0", agentVersion: "1.2" });
    on.clock.advance(MINUTE_MS);
    await noteClosed(rig.store, ref, "ping_timeout");
    const { devices } = await rig.json<{ devices: Record<string, unknown>[] }>(
      200,
      "GET /api/devices",
    );
    const [shown] = devices;
    assert.equal(shown?.["state"], "active");
    assert.equal(shown?.["last_seen_at"], new Date(on.clock.now()).toISOString());
    assert.equal(shown?.["last_close_reason"], "ping_timeout");
    assert.equal(shown?.["agent_version"], "1.2");
    assert.equal(shown?.["address"], "2001:db8::1");
    assert.equal(shown?.["edge_url"], `https://${id}.d.test:8443/`);
  },
);

onEachDatabase("devices: are renamed and tagged, and what is left out stays", async (on, t) => {
  const rig = await startRig(on, t);
  const { device_id: id } = await madeDevice(rig, { tags: ["a"] });
  const patch = (body: object) =>
    rig.json<DeviceJson>(200, `PATCH /api/devices/${id}`, { as: "bob", body });
  assert.equal((await patch({ name: "lathe" })).name, "lathe");
  assert.deepEqual((await patch({ tags: ["b"] })).tags, ["b"]);
  const same = await patch({});
  assert.deepEqual([same.name, same.tags], ["lathe", ["b"]]);
  assert.deepEqual(
    rig.events("device_changed").map(({ objectId, actor }) => [objectId, actor]),
    [1, 2, 3].map(() => [id, "ref-of-bob"]),
  );
});

onEachDatabase(
  "devices: names, tags and texts have limits, and no say in whose a device is",
  async (on, t) => {
    const rig = await startRig(on, t);
    const { device_id: id } = await madeDevice(rig);
    const most = {
      name: "x".repeat(100),
      tags: Array.from({ length: 32 }, (_, n) => `${n}`.padEnd(64, "x")),
    };
    await rig.json(200, `PATCH /api/devices/${id}`, { body: most });
    const wrong: object[] = [
      { name: "" },
      { name: " " },
      { name: "x".repeat(101) },
      { name: "a\0b" },
      { name: "\udfff" },
      { tags: [""] },
      { tags: ["x".repeat(65)] },
      { tags: Array.from({ length: 33 }, (_, n) => `${n}`) },
      { tags: "a" },
      ...["tenant", "tenant_id", "owner", "owner_id", "user_id", "id", "state"].map((field) => {
        return { [field]: rig.eve.id };
      }),
    ];
    for (const fields of wrong) {
      for (const request of ["POST /api/devices", `PATCH /api/devices/${id}`]) {
        const body = { name: "ok", ...fields };
        const answer = await rig.ask(request, { body });
        assert.equal(answer.status, 400, `${request} ${JSON.stringify(fields)}`);
        assert.equal(codeOf(answer), "invalid_request");
      }
    }
    for (const request of [
      "POST /api/pairing-codes",
      `POST /api/devices/${id}/disconnect`,
      `POST /api/devices/${id}/token:rotate`,
      `POST /api/devices/${id}/token:revoke`,
      `POST /api/devices/${id}/token:revoke-and-rotate`,
    ]) {
      const answer = await rig.ask(request, { body: { tenant_id: rig.eve.tenant } });
      assert.equal(answer.status, 400, request);
    }
    for (const query of [
      "tenant_id=t",
      "owner_id=u",
      "limit=0",
      "limit=1001",
      "limit=x",
      "cursor=x",
      "state=on",
      "name=%00",
      "tag=",
    ]) {
      assert.equal((await rig.ask(`GET /api/devices?${query}`)).status, 400, query);
    }
    assert.equal((await listDevices(rig.store, TENANT, { limit: 10 })).length, 1);
  },
);

onEachDatabase(
  "devices: are listed by pages, and by tag, state, and part of the name",
  async (on, t) => {
    const rig = await startRig(on, t);
    const ids: string[] = [];
    for (const [name, tags] of [
      ["Press 1", ["hall-1"]],
      ["press 2", ["hall-1", "a,b"]],
      ["lathe", ["hall-2"]],
      ["saw", []],
      ["drill", []],
    ] as const) {
      ids.push((await madeDevice(rig, { name, tags })).device_id);
    }
    const active = await madeDevice(rig, { name: "active" }, "bob");
    await noteConnected(rig.store, active.token_ref);
    await madeDevice(rig, { name: "press of another tenant", tags: ["hall-1"] }, "eve");
    const walked: string[] = [];
    for (let path = "/api/devices?limit=2"; ; ) {
      const page = await rig.json<Page>(200, `GET ${path}`);
      assert.ok(page.devices.length <= 2);
      walked.push(...page.devices.map(({ id }) => id));
      if (page.next === undefined) break;
      path = `/api/devices?limit=2&cursor=${page.next}`;
    }
    assert.deepEqual(walked, [...ids, active.device_id].sort());
    const names = async (query: string) =>
      (await rig.json<Page>(200, `GET /api/devices?${query}`)).devices
        .map(({ name }) => name)
        .sort();
    assert.deepEqual(await names("tag=hall-1"), ["Press 1", "press 2"]);
    assert.deepEqual(await names("tag=a,b"), ["press 2"]);
    assert.deepEqual(await names("tag=hall"), []);
    assert.deepEqual(await names("name=PRESS"), ["Press 1", "press 2"]);
    assert.deepEqual(await names("name=s%201"), ["Press 1"]);
    assert.deepEqual(await names("name=%25"), []);
    assert.deepEqual(await names("state=active"), ["active"]);
    assert.deepEqual(await names("state=pending&tag=hall-2"), ["lathe"]);
  },
);

onEachDatabase(
  "devices: with the relay away they are listed all the same, as unknown",
  async (on, t) => {
    const rig = await startRig(on, t);
    const { device_id: id } = await madeDevice(rig);
    const { devices } = await rig.json<Page>(200, "GET /api/devices");
    assert.deepEqual(
      devices.map(({ connected }) => connected),
      [null],
    );
    assert.equal((await rig.json<DeviceJson>(200, `GET /api/devices/${id}`)).connected, null);
    for (const request of [
      "GET /api/devices?connected=true",
      "GET /api/devices?connected=false",
      `POST /api/devices/${id}/disconnect`,
    ]) {
      const answer = await rig.ask(request);
      assert.equal(answer.status, 503, request);
      assert.equal(codeOf(answer), "relay_unavailable");
      assert.equal(answer.headers.get("retry-after"), "5");
    }
  },
);

onEachDatabase(
  "devices: a deleted one takes its tokens along, and the relay is told after the commit",
  async (on, t) => {
    const rig = await startRig(on, t);
    const { device_id: id, token, token_ref } = await madeDevice(rig);
    assert.equal((await rig.ask(`DELETE /api/devices/${id}`)).status, 204);
    assert.deepEqual(rig.announced, [{ revoked: [token_ref], devices: [id] }]);
    assert.deepEqual(rig.ended, [token_ref]);
    assert.deepEqual(await authorizeDeviceTokens(rig.store, [parsed(token)]), [null]);
    assert.equal((await rig.ask(`DELETE /api/devices/${id}`)).status, 404);
    assert.equal((await rig.ask("GET /api/device", { as: token })).status, 401);
    assert.equal(rig.events("device_deleted").length, 1);
  },
);

onEachDatabase(
  "tokens: the old one is good until the new one is used, and nothing is cut",
  async (on, t) => {
    const rig = await startRig(on, t);
    const { device_id: id, token, token_ref } = await madeDevice(rig);
    const rotated = await rig.json<Issued>(200, `POST /api/devices/${id}/token:rotate`);
    assert.equal(rotated.device_id, id);
    assert.deepEqual(rig.announced, []);
    assert.deepEqual(rig.ended, []);
    assert.equal((await rig.ask("GET /api/device", { as: token })).status, 200);
    assert.equal((await rig.ask("GET /api/device", { as: rotated.token })).status, 200);
    const listed = await rig.json<{ tokens: { ref: string; good_until: string | null }[] }>(
      200,
      `GET /api/devices/${id}/tokens`,
    );
    assert.deepEqual(
      listed.tokens.map(({ ref, good_until }) => [ref, good_until]),
      [
        [rotated.token_ref, null],
        [token_ref, new Date(on.clock.now() + ROTATION_GRACE_MS).toISOString()],
      ],
    );
    await noteConnected(rig.store, rotated.token_ref);
    assert.equal((await rig.ask("GET /api/device", { as: token })).status, 401);
    assert.equal((await rig.ask("GET /api/device", { as: rotated.token })).status, 200);
  },
);

onEachDatabase(
  "tokens: the old one is good for 24 hours where the new one is never used",
  async (on, t) => {
    const rig = await startRig(on, t);
    const { device_id: id, token } = await madeDevice(rig);
    const rotated = await rig.json<Issued>(200, `POST /api/devices/${id}/token:rotate`);
    on.clock.advance(ROTATION_GRACE_MS - 1);
    assert.equal((await rig.ask("GET /api/device", { as: token })).status, 200);
    on.clock.advance(1);
    assert.equal((await rig.ask("GET /api/device", { as: token })).status, 401);
    assert.equal((await rig.ask("GET /api/device", { as: rotated.token })).status, 200);
  },
);

onEachDatabase(
  "tokens: revoking ends all of a device's at once, and tells the relay",
  async (on, t) => {
    const rig = await startRig(on, t);
    const { device_id: id, token, token_ref } = await madeDevice(rig);
    const rotated = await rig.json<Issued>(200, `POST /api/devices/${id}/token:rotate`);
    const { revoked } = await rig.json<{ revoked: string[] }>(
      200,
      `POST /api/devices/${id}/token:revoke`,
    );
    const refs = [token_ref, rotated.token_ref].sort();
    assert.deepEqual([...revoked].sort(), refs);
    assert.deepEqual(
      rig.announced.map((each) => [...(each.revoked ?? [])].sort()),
      [refs],
    );
    assert.deepEqual([...rig.ended].sort(), refs);
    for (const ended of [token, rotated.token]) {
      assert.equal((await rig.ask("GET /api/device", { as: ended })).status, 401);
    }
    const again = await rig.json<{ revoked: string[] }>(
      200,
      `POST /api/devices/${id}/token:revoke`,
    );
    assert.deepEqual(again.revoked, []);
    assert.deepEqual(
      rig
        .events("authn_token_revoked")
        .map(({ objectId, detail }) => [objectId, detail?.["device"]])
        .sort(),
      refs.map((ref) => [ref, id]),
    );
    const fresh = await rig.json<Issued>(200, `POST /api/devices/${id}/token:rotate`);
    assert.equal((await rig.ask("GET /api/device", { as: fresh.token })).status, 200);
  },
);

onEachDatabase("tokens: revoke-and-rotate does both in one answer", async (on, t) => {
  const rig = await startRig(on, t);
  const { device_id: id, token, token_ref } = await madeDevice(rig);
  const replaced = await rig.json<Issued & { revoked: string[] }>(
    200,
    `POST /api/devices/${id}/token:revoke-and-rotate`,
  );
  assert.deepEqual(replaced.revoked, [token_ref]);
  assert.deepEqual(
    rig.announced.map(({ revoked }) => revoked),
    [[token_ref]],
  );
  assert.equal((await rig.ask("GET /api/device", { as: token })).status, 401);
  assert.equal((await rig.ask("GET /api/device", { as: replaced.token })).status, 200);
});

onEachDatabase(
  "tokens: one of several is revoked by its reference, again and again",
  async (on, t) => {
    const rig = await startRig(on, t);
    const { device_id: id, token, token_ref } = await madeDevice(rig);
    const other = await madeDevice(rig);
    const rotated = await rig.json<Issued>(200, `POST /api/devices/${id}/token:rotate`);
    for (let count = 0; count < 2; count++) {
      assert.equal((await rig.ask(`DELETE /api/devices/${id}/tokens/${token_ref}`)).status, 204);
    }
    assert.deepEqual(
      rig.announced.map(({ revoked }) => revoked),
      [[token_ref], [token_ref]],
    );
    assert.equal(rig.events("authn_token_revoked").length, 1);
    assert.equal((await rig.ask("GET /api/device", { as: token })).status, 401);
    assert.equal((await rig.ask("GET /api/device", { as: rotated.token })).status, 200);
    // A token of another device is not one of this.
    const wrong = await rig.ask(`DELETE /api/devices/${id}/tokens/${other.token_ref}`);
    assert.equal(wrong.status, 404);
    assert.equal((await rig.ask("GET /api/device", { as: other.token })).status, 200);
  },
);

onEachDatabase("tokens: a device has eight at once", async (on, t) => {
  const rig = await startRig(on, t);
  const { device_id: id, token } = await madeDevice(rig);
  for (let count = 1; count < 8; count++)
    await rig.json(200, `POST /api/devices/${id}/token:rotate`);
  for (const [request, as] of [
    [`POST /api/devices/${id}/token:rotate`, "ann"],
    ["POST /api/device/token:rotate", token],
  ] as const) {
    const answer = await rig.ask(request, { as });
    assert.equal(answer.status, 409);
    assert.equal(codeOf(answer), "too_many_tokens");
  }
  await rig.json(200, `POST /api/devices/${id}/token:revoke-and-rotate`);
  await rig.json(200, `POST /api/devices/${id}/token:rotate`);
});

onEachDatabase(
  "a device's own token: says what the device is, rotates itself, and opens no other route",
  async (on, t) => {
    const rig = await startRig(on, t);
    const { device_id: id, token, token_ref } = await madeDevice(rig, { tags: ["a"] });
    const other = await madeDevice(rig);
    const own = await rig.json<Record<string, unknown> & { token: { ref: string } }>(
      200,
      "GET /api/device",
      { as: token },
    );
    assert.deepEqual([own["id"], own["tags"], own.token.ref], [id, ["a"], token_ref]);
    const rotated = await rig.json<Issued>(200, "POST /api/device/token:rotate", { as: token });
    assert.equal(rotated.device_id, id);
    const [created] = rig
      .events("authn_token_created")
      .filter(({ objectId }) => objectId === rotated.token_ref);
    assert.equal(created?.actor, token_ref);
    assert.equal((await rig.ask("GET /api/device", { as: rotated.token })).status, 200);
    assert.equal((await rig.ask("GET /api/device", { as: other.token })).status, 200);
    for (const each of rig.router.routes.filter((route) => route.class === "key")) {
      const path = each.path.replace(":id", id).replace(":ref", token_ref);
      const answer = await rig.ask(`${each.method} ${path}`, { as: token });
      assert.equal(answer.status, 401, `${each.method} ${each.path}`);
    }
    await rig.json(200, `POST /api/devices/${id}/token:revoke`);
    for (const ended of [token, rotated.token]) {
      assert.equal((await rig.ask("POST /api/device/token:rotate", { as: ended })).status, 401);
    }
  },
);

onEachDatabase(
  "keys: one that is held to some devices knows no others, and makes none",
  async (on, t) => {
    const rig = await startRig(on, t);
    const mine = await madeDevice(rig);
    const hidden = await madeDevice(rig);
    rig.people.add("held", rig.ann, { devices: new Set([mine.device_id, mintDeviceId()]) });
    const { devices } = await rig.json<Page>(200, "GET /api/devices", { as: "held" });
    assert.deepEqual(
      devices.map(({ id }) => id),
      [mine.device_id],
    );
    await rig.json(200, `GET /api/devices/${mine.device_id}`, { as: "held" });
    for (const each of rig.router.routes.filter((route) =>
      route.path.startsWith("/api/devices/:id"),
    )) {
      const path = each.path.replace(":id", hidden.device_id).replace(":ref", hidden.token_ref);
      const body = each.method === "PATCH" ? { body: {} } : {};
      const answer = await rig.ask(`${each.method} ${path}`, { as: "held", ...body });
      assert.equal(answer.status, 404, `${each.method} ${each.path}`);
    }
    for (const [request, body] of [
      ["POST /api/devices", { name: "x" }],
      ["POST /api/pairing-codes", {}],
      ["GET /api/pairing-codes", undefined],
      ["POST /api/enrolment-keys", { name: "x", uses_max: 1 }],
      ["GET /api/enrolment-keys", undefined],
    ] as const) {
      const answer = await rig.ask(request, {
        as: "held",
        ...(body === undefined ? {} : { body }),
      });
      assert.equal(answer.status, 403, request);
      assert.equal(codeOf(answer), "confined_key");
    }
    assert.equal((await rig.ask("GET /api/device", { as: hidden.token })).status, 200);
  },
);

onEachDatabase(
  "machine clients: read and manage devices, and make none, since they own nothing",
  async (on, t) => {
    const rig = await startRig(on, t);
    const { device_id: id } = await madeDevice(rig);
    rig.people.add("ci", rig.ann, { kind: "service", ref: "client:ci", userId: "client:ci" });
    await rig.json(200, `GET /api/devices/${id}`, { as: "ci" });
    await rig.json(200, "GET /api/pairing-codes", { as: "ci" });
    await rig.json(200, `POST /api/devices/${id}/token:rotate`, { as: "ci" });
    for (const [request, body] of [
      ["POST /api/devices", { name: "x" }],
      ["POST /api/pairing-codes", {}],
      ["POST /api/enrolment-keys", { name: "x", uses_max: 1 }],
    ] as const) {
      const answer = await rig.ask(request, { as: "ci", body });
      assert.equal(answer.status, 403, request);
      assert.equal(codeOf(answer), "owner_needed");
    }
  },
);

onEachDatabase(
  "a device's own token: one that ended while its rotation was under way gets no new one",
  async (on, t) => {
    const rig = await startRig(on, t);
    const { device_id: id, token_ref } = await madeDevice(rig);
    // As the credential was when it was looked at.
    const own = {
      kind: "device",
      ref: token_ref,
      deviceId: id,
      scopes: new Set<string>(),
    } as const;
    rig.people.add("just-looked-at", rig.ann, own);
    await rig.json(200, `POST /api/devices/${id}/token:revoke`);
    const answer = await rig.ask("POST /api/device/token:rotate", { as: "just-looked-at" });
    assert.equal(answer.status, 404);
    const { tokens } = await rig.json<{ tokens: unknown[] }>(200, `GET /api/devices/${id}/tokens`);
    assert.deepEqual(tokens, []);
  },
);
