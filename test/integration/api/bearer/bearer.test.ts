import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import {
  createApiKey,
  deleteDevice,
  disableUser,
  type NewApiKey,
  revokeDeviceTokens,
  rotateDeviceToken,
  type User,
} from "../../../../src/api/store/index.ts";
import { formatToken, type MintedToken, mintToken } from "../../../../src/core/token.ts";
import {
  type Answer,
  type CredentialsRig,
  INTERNAL_SECRET,
  onEachRig,
} from "../../../support/api/credentials-rig.ts";
import { activeDevice, OTHER_TENANT, person, TENANT } from "../../../support/api-store/people.ts";
import { noteConnected } from "../../../support/api-store/tunnels.ts";

const UNAUTHENTICATED = 'Bearer realm="hawser", error="invalid_token"';

async function keyOf(rig: CredentialsRig, user: User, more: Partial<NewApiKey> = {}) {
  const token = mintToken("key");
  await createApiKey(rig.store, user.tenant, user.id, {
    ...token,
    name: "harness",
    scopes: ["devices:read", "keys:read"],
    devices: null,
    requestsPerMinute: null,
    expiresAt: rig.store.now() + 90 * 86_400_000,
    ...more,
  });
  return token;
}

function assertUnauthenticated(answer: Answer, what: string): void {
  assert.equal(answer.status, 401, what);
  assert.equal(answer.body.code, "unauthenticated", what);
  assert.equal(answer.headers.get("www-authenticate"), UNAUTHENTICATED, what);
}

onEachRig(
  "bearer: a device token opens what is the device's own, and no route of users",
  async (rig) => {
    const ann = await person(rig.store, "ann", TENANT, { role: "admin" });
    const { id, token } = await activeDevice(rig.store, ann);
    const own = await rig.send("GET /api/probe/device", token.text);
    assert.equal(own.status, 200);
    assert.deepEqual(
      [own.body.kind, own.body.ref, own.body.deviceId, own.body.tenantId, own.body.userId],
      ["device", token.ref, id, TENANT, ann.id],
    );
    assert.deepEqual(own.body.scopes, []);
    for (const path of [
      "keys",
      "audit",
      "probe/key",
      "probe/session",
      "probe/scope/devices-read",
    ]) {
      assertUnauthenticated(await rig.send(`GET /api/${path}`, token.text), path);
    }
  },
);

onEachRig("bearer: what is not a device token opens nothing of a device's", async (rig) => {
  const ann = await person(rig.store, "ann");
  const key = await keyOf(rig, ann);
  const cookie = rig.signIn(ann);
  const secrets = [key.text, cookie, INTERNAL_SECRET, mintToken("device").text, "garbage"];
  for (const secret of secrets) {
    assertUnauthenticated(await rig.send("GET /api/probe/device", secret), secret);
  }
});

onEachRig(
  "bearer: a device token is dead when it is revoked, its device gone, its owner disabled",
  async (rig) => {
    const ann = await person(rig.store, "ann");
    const bob = await person(rig.store, "bob");
    const status = async (token: MintedToken) =>
      (await rig.send("GET /api/probe/device", token.text)).status;
    const revoked = await activeDevice(rig.store, ann);
    const deleted = await activeDevice(rig.store, ann);
    const bobs = await activeDevice(rig.store, bob);
    assert.deepEqual(
      await Promise.all([revoked, deleted, bobs].map(({ token }) => status(token))),
      [200, 200, 200],
    );
    await revokeDeviceTokens(rig.store, TENANT, revoked.id);
    await deleteDevice(rig.store, TENANT, deleted.id);
    await disableUser(rig.store, TENANT, bob.id);
    assert.deepEqual(
      await Promise.all([revoked, deleted, bobs].map(({ token }) => status(token))),
      [401, 401, 401],
    );
  },
);

onEachRig("bearer: a rotated device token is good until the new one is used", async (rig) => {
  const ann = await person(rig.store, "ann");
  const { id, token: old } = await activeDevice(rig.store, ann);
  const fresh = mintToken("device");
  await rotateDeviceToken(rig.store, TENANT, id, fresh, { expiresAt: null });
  assert.equal((await rig.send("GET /api/probe/device", old.text)).status, 200);
  await noteConnected(rig.store, fresh.ref);
  assertUnauthenticated(await rig.send("GET /api/probe/device", old.text), "the old one");
  assert.equal((await rig.send("GET /api/probe/device", fresh.text)).status, 200);
});

onEachRig("bearer: where Authorization is present the cookie does not count", async (rig) => {
  const ann = await person(rig.store, "ann");
  const session = rig.signIn(ann);
  const key = await keyOf(rig, ann);
  const withBoth = (authorization: string) =>
    rig.send("GET /api/probe/key", session, undefined, { authorization });
  assert.equal((await withBoth(`Bearer ${key.text}`)).body.kind, "key");
  for (const bad of [`Bearer ${mintToken("key").text}`, "Bearer x", "Basic dTpw", "Bearer "]) {
    assertUnauthenticated(await withBoth(bad), bad);
  }
});

onEachRig(
  "bearer: a token in query or body is never read, and what it is is told to nobody",
  async (rig) => {
    const ann = await person(rig.store, "ann");
    const key = await keyOf(rig, ann);
    const token = key.text;
    for (const request of [
      `GET /api/probe/key?access_token=${token}`,
      `GET /api/probe/key?key=${token}`,
      `GET /api/probe/key?anything=${token}`,
    ]) {
      const answer = await rig.send(request);
      assert.equal(answer.status, 401);
      assert.equal(answer.headers.get("www-authenticate"), 'Bearer realm="hawser"');
    }
    assert.equal((await rig.send("POST /api/keys", "", { access_token: token })).status, 401);
    const told = rig.lines.map((line) => JSON.parse(line).event);
    assert.deepEqual(told, ["credential_in_url", "credential_in_url", "credential_in_url"]);
    const secret = token.slice(13, 56);
    assert.ok(!(rig.lines.join() + rig.log.join()).includes(secret));
  },
);

onEachRig("bearer: a key with a wrong checksum costs no look into the database", async (rig) => {
  const key = await keyOf(rig, await person(rig.store, "ann"));
  await rig.store.close();
  // A well-formed one has to be looked up, and cannot be.
  const known = await rig.send("GET /api/probe/key", key.text);
  assert.equal(known.status, 503);
  assert.equal(known.body.code, "unavailable");
  assert.equal(known.headers.get("retry-after"), "2");
  const last = key.text.slice(-1) === "0" ? "1" : "0";
  for (const token of [
    `${key.text.slice(0, -1)}${last}`,
    `${key.text}0`,
    key.text.slice(0, -1),
    key.text.replace("hwk_", "hwx_"),
    key.text.replace(/.$/, "-"),
    "hwk_",
    "garbage",
  ]) {
    assertUnauthenticated(await rig.send("GET /api/probe/key", token), token);
  }
  for (const kind of ["device", "enrolment"] as const) {
    const { text } = mintToken(kind);
    assertUnauthenticated(await rig.send("GET /api/probe/key", text), kind);
  }
  assertUnauthenticated(await rig.send("GET /api/probe/session", key.text), "a person's route");
  assertUnauthenticated(await rig.send("GET /api/probe/device", key.text), "a device's route");
  const device = await rig.send("GET /api/probe/device", mintToken("device").text);
  assert.equal(device.status, 503);
});

onEachRig(
  "bearer: an address that guesses is stopped before anything is looked up",
  async (rig) => {
    const key = await keyOf(rig, await person(rig.store, "ann"));
    const wrong = () => formatToken("key", key.ref.slice(4), randomBytes(32)).text;
    const statuses: number[] = [];
    for (let count = 0; count < 80; count++) {
      statuses.push((await rig.send("GET /api/probe/key", wrong())).status);
    }
    assert.deepEqual(new Set(statuses.slice(0, 60)), new Set([401]));
    assert.deepEqual(new Set(statuses.slice(60)), new Set([429]));
    await rig.audit.flush();
    await rig.store.close();
    const stopped = await rig.send("GET /api/probe/key", key.text);
    assert.equal(stopped.status, 429);
    assert.ok(Number(stopped.headers.get("retry-after")) > 0);
  },
);

onEachRig(
  "bearer: keys of two tenants, used in turns, reach each what is in its own",
  async (rig) => {
    const ann = await person(rig.store, "ann");
    const eve = await person(rig.store, "eve", OTHER_TENANT);
    const ours = await keyOf(rig, ann);
    const theirs = await keyOf(rig, eve);
    for (let round = 0; round < 3; round++) {
      for (const [key, user] of [
        [ours, ann],
        [theirs, eve],
      ] as const) {
        const seen = await rig.send("GET /api/probe/key", key.text);
        assert.deepEqual([seen.body.tenantId, seen.body.userId], [user.tenant, user.id]);
        const list = await rig.send("GET /api/keys", key.text);
        assert.deepEqual(
          list.body.keys.map(({ ref }: { ref: string }) => ref),
          [key.ref],
        );
      }
    }
  },
);
