import assert from "node:assert/strict";
import { z } from "zod";
import { ALL_SCOPES } from "../../../../src/api/index.ts";
import { REAUTH_MS } from "../../../../src/api/keys/index.ts";
import {
  createDevice,
  disableTenant,
  disableUser,
  enableTenant,
  enableUser,
  KEYS_PER_USER_MAX,
  queryAuditEvents,
  registerMachineClient,
  setUserRole,
  type User,
} from "../../../../src/api/store/index.ts";
import {
  formatToken,
  isTokenRef,
  mintDeviceId,
  mintToken,
  parseToken,
} from "../../../../src/core/token.ts";
import {
  type Answer,
  type CredentialsRig,
  onEachRig,
} from "../../../support/api/credentials-rig.ts";
import { OTHER_TENANT, person, TENANT } from "../../../support/api-store/people.ts";

const DAY_MS = 24 * 60 * 60_000;
const NEW = { name: "load harness", scopes: ["devices:read", "tunnel:use"] };

async function created(rig: CredentialsRig, as: string, more: object = {}): Promise<Answer> {
  const answer = await rig.send("POST /api/keys", as, { ...NEW, ...more });
  assert.equal(answer.status, 201, answer.text);
  return answer;
}

function withoutRequestId({ status, headers, text }: Answer): object {
  const fields = [...headers].filter(
    ([name]) => !/^(x-request-id|content-length|date|ratelimit-)/.test(name),
  );
  return { status, fields, text: text.replace(/"request_id":"[^"]+"/, "") };
}

async function device(rig: CredentialsRig, owner: User): Promise<string> {
  const made = { name: "press", tags: [], model: null, serial: null };
  return (await createDevice(rig.store, owner.tenant, owner.id, made)).id;
}

onEachRig("key: is shown once, in the answer that makes it", async (rig) => {
  const ann = await person(rig.store, "ann");
  const session = rig.signIn(ann);
  const { body, headers } = await created(rig, session);
  assert.match(body.key, /^hwk_[0-9A-Za-z]{8}_[0-9A-Za-z]{49}$/);
  assert.equal(headers.get("cache-control"), "no-store");
  const parsed = parseToken(body.key);
  assert.ok(parsed.ok && parsed.kind === "key" && parsed.ref === body.ref);
  const { key: _, ...shown } = body;
  assert.equal(body.hint, `${body.ref}_…`);
  assert.deepEqual(shown.scopes, NEW.scopes);
  const one = await rig.send(`GET /api/keys/${body.ref}`, session);
  const all = await rig.send("GET /api/keys", session);
  assert.deepEqual(one.body, shown);
  assert.deepEqual(all.body, { keys: [shown] });
  await rig.audit.flush();
  const secret = body.key.slice(13, 56);
  const { events } = await queryAuditEvents(rig.store, TENANT, { limit: 10 });
  const elsewhere = [one.text, all.text, JSON.stringify(events), ...rig.log, ...rig.lines].join();
  assert.ok(!elsewhere.includes(secret));
});

onEachRig("key: opens what its scopes name, and nothing else", async (rig) => {
  const ann = await person(rig.store, "ann", TENANT, { role: "admin" });
  const { key, ref } = (await created(rig, rig.signIn(ann))).body;
  const seen = await rig.send("GET /api/probe/scope/devices-read", key);
  assert.equal(seen.status, 200);
  assert.equal(seen.body.ref, ref);
  assert.equal(seen.body.userId, ann.id);
  assert.equal(seen.body.tenantId, TENANT);
  const refused = await rig.send("GET /api/probe/scope/enrolment-write", key);
  assert.equal(refused.status, 403);
  assert.equal(refused.body.code, "insufficient_scope");
  assert.equal(
    refused.headers.get("www-authenticate"),
    'Bearer realm="hawser", error="insufficient_scope", scope="enrolment:write"',
  );
});

onEachRig("key: cannot make or revoke keys, nor call any route of a person's", async (rig) => {
  const ann = await person(rig.store, "ann", TENANT, { role: "admin" });
  const { key, ref } = (await created(rig, rig.signIn(ann), { scopes: ALL_SCOPES })).body;
  for (const [request, body] of [
    ["POST /api/keys", NEW],
    [`DELETE /api/keys/${ref}`, undefined],
    ["GET /api/probe/session", undefined],
    ["GET /api/probe/device", undefined],
  ] as const) {
    const answer = await rig.send(request, key, body);
    assert.equal(answer.status, 401, request);
    assert.equal(answer.body.code, "unauthenticated");
    assert.match(answer.headers.get("www-authenticate") ?? "", /error="invalid_token"/);
  }
  assert.equal((await rig.send("GET /api/keys", key)).body.keys.length, 1);
});

onEachRig("key: has no scope that its creator's role may not have", async (rig) => {
  const ann = await person(rig.store, "ann");
  const answer = await rig.send("POST /api/keys", rig.signIn(ann), {
    ...NEW,
    scopes: ["devices:read", "audit:read"],
  });
  assert.equal(answer.status, 403);
  assert.equal(answer.body.code, "insufficient_role");
  assert.deepEqual((await rig.send("GET /api/keys", rig.signIn(ann))).body, { keys: [] });
});

onEachRig("key: narrows at once when its creator is demoted, and widens again", async (rig) => {
  const ann = await person(rig.store, "ann", TENANT, { role: "admin" });
  const scopes = ["devices:read", "enrolment:write", "audit:read"];
  const { key } = (await created(rig, rig.signIn(ann), { scopes })).body;
  const statuses = async () => [
    (await rig.send("GET /api/probe/scope/devices-read", key)).status,
    (await rig.send("GET /api/probe/scope/enrolment-write", key)).status,
    (await rig.send("GET /api/audit", key)).status,
  ];
  assert.deepEqual(await statuses(), [200, 200, 200]);
  await setUserRole(rig.store, TENANT, ann.id, "member");
  assert.deepEqual(await statuses(), [200, 403, 403]);
  await setUserRole(rig.store, TENANT, ann.id, "admin");
  assert.deepEqual(await statuses(), [200, 200, 200]);
});

onEachRig(
  "key: lives 90 days unless told, 366 at most, and warns for its last 14",
  async (rig, on) => {
    const ann = await person(rig.store, "ann");
    const session = rig.signIn(ann);
    const now = rig.store.now();
    const { key, expires_at } = (await created(rig, session)).body;
    assert.equal(Date.parse(expires_at), now + 90 * DAY_MS);
    const year = 366 * 24 * 60 * 60;
    const longest = await created(rig, session, { expires_in: year });
    assert.equal(Date.parse(longest.body.expires_at), now + 366 * DAY_MS);
    const instant = new Date(now + 366 * DAY_MS).toISOString();
    assert.equal((await created(rig, session, { expires_at: instant })).body.expires_at, instant);
    for (const wrong of [
      { expires_in: year + 1 },
      { expires_in: 0 },
      { expires_in: -1 },
      { expires_in: 1.5 },
      { expires_in: null },
      { expires_at: new Date(now + 366 * DAY_MS + 1).toISOString() },
      { expires_at: new Date(now).toISOString() },
      { expires_at: "tomorrow" },
      { expires_in: 60, expires_at: new Date(now + DAY_MS).toISOString() },
    ]) {
      const answer = await rig.send("POST /api/keys", session, { ...NEW, ...wrong });
      assert.equal(answer.status, 400, JSON.stringify(wrong));
    }
    const warning = async () =>
      (await rig.send("GET /api/probe/key", key)).headers.get("x-hawser-key-expires");
    on.clock.advance(76 * DAY_MS);
    assert.equal(await warning(), null);
    on.clock.advance(1);
    assert.equal(await warning(), expires_at);
    const refused = await rig.send("GET /api/probe/scope/enrolment-write", key);
    assert.equal(refused.headers.get("x-hawser-key-expires"), expires_at);
    on.clock.advance(14 * DAY_MS - 2);
    assert.equal((await rig.send("GET /api/probe/key", key)).status, 200);
    on.clock.advance(1);
    assert.equal((await rig.send("GET /api/probe/key", key)).status, 401);
  },
);

onEachRig(
  "key: expired, revoked, unknown, wrong and disabled ones get the same 401",
  async (rig, on) => {
    const ann = await person(rig.store, "ann");
    const bob = await person(rig.store, "bob");
    const session = rig.signIn(ann);
    const expired = (await created(rig, session, { expires_in: 60 })).body.key;
    const revoked = (await created(rig, session)).body;
    const ours = (await created(rig, session)).body.key;
    const disabled = (await created(rig, rig.signIn(bob))).body.key;
    await rig.send(`DELETE /api/keys/${revoked.ref}`, session);
    await disableUser(rig.store, TENANT, bob.id);
    on.clock.advance(60_000);
    const unknown = mintToken("key").text;
    const wrongSecret = formatToken("key", ours.slice(4, 12), Buffer.alloc(32, 1)).text;
    const badChecksum = `${ours.slice(0, -1)}${ours.endsWith("0") ? "1" : "0"}`;
    const answers = await Promise.all(
      [
        expired,
        revoked.key,
        unknown,
        wrongSecret,
        badChecksum,
        disabled,
        "hwk_",
        mintToken("enrolment").text,
      ].map((key) => rig.send("GET /api/probe/key", key)),
    );
    const [first, ...others] = answers.map(withoutRequestId);
    for (const other of others) assert.deepEqual(other, first);
    assert.equal(answers[0]?.status, 401);
    assert.equal((await rig.send("GET /api/probe/key", ours)).status, 200);
    await disableTenant(rig.store, TENANT);
    const closed = await rig.send("GET /api/probe/key", ours);
    assert.deepEqual(withoutRequestId(closed), first);
    await enableTenant(rig.store, TENANT);
    await enableUser(rig.store, TENANT, bob.id);
    assert.equal((await rig.send("GET /api/probe/key", ours)).status, 200);
    assert.equal((await rig.send("GET /api/probe/key", disabled)).status, 200);
  },
);

onEachRig(
  "key: making and revoking one needs a sign-in of the last 15 minutes",
  async (rig, on) => {
    const ann = await person(rig.store, "ann");
    const { ref } = (await created(rig, rig.signIn(ann, REAUTH_MS))).body;
    const old = rig.signIn(ann, REAUTH_MS + 1);
    for (const [request, body] of [
      ["POST /api/keys", NEW],
      [`DELETE /api/keys/${ref}`, undefined],
    ] as const) {
      const answer = await rig.send(request, old, body);
      assert.equal(answer.status, 403, request);
      assert.equal(answer.body.code, "reauth_required");
    }
    assert.equal((await rig.send(`GET /api/keys/${ref}`, old)).body.revoked_at, null);
    const recent = rig.signIn(ann);
    on.clock.advance(REAUTH_MS + 1);
    assert.equal((await rig.send(`DELETE /api/keys/${ref}`, recent)).status, 403);
  },
);

onEachRig("key: making and revoking one needs the proof that our own page asks", async (rig) => {
  const ann = await person(rig.store, "ann");
  const session = rig.signIn(ann);
  const { ref } = (await created(rig, session)).body;
  for (const fields of [{ "x-hawser-csrf": "" }, { origin: "https://evil.test" }]) {
    assert.equal((await rig.send("POST /api/keys", session, NEW, fields)).body.code, "csrf_failed");
    const revoked = await rig.send(`DELETE /api/keys/${ref}`, session, undefined, fields);
    assert.equal(revoked.body.code, "csrf_failed");
  }
  assert.equal((await rig.send(`GET /api/keys/${ref}`, session)).body.revoked_at, null);
});

onEachRig("key: revoked is dead at once, ends what runs, and is told to the relay", async (rig) => {
  const ann = await person(rig.store, "ann");
  const session = rig.signIn(ann);
  const { key, ref } = (await created(rig, session)).body;
  let ended = 0;
  rig.context.endings.begin({
    ref,
    cut() {
      ended += 1;
    },
  });
  assert.equal((await rig.send("GET /api/probe/key", key)).status, 200);
  assert.equal((await rig.send(`DELETE /api/keys/${ref}`, session)).status, 204);
  assert.equal((await rig.send("GET /api/probe/key", key)).status, 401);
  assert.equal(ended, 1);
  assert.deepEqual(rig.announced, [{ revoked: [ref] }]);
  assert.equal((await rig.send(`DELETE /api/keys/${ref}`, session)).status, 404);
  assert.notEqual((await rig.send(`GET /api/keys/${ref}`, session)).body.revoked_at, null);
});

onEachRig(
  "key: making and revoking one is in the audit log once each, with who and what",
  async (rig) => {
    const ann = await person(rig.store, "ann");
    const session = rig.signIn(ann);
    const { ref } = (await created(rig, session)).body;
    await rig.send(`DELETE /api/keys/${ref}`, session);
    await rig.audit.flush();
    const { events } = await queryAuditEvents(rig.store, TENANT, { limit: 10, objectId: ref });
    assert.deepEqual(
      events.map(({ event }) => event),
      ["key_revoked", "key_created"],
    );
    for (const { actor, sessionRef, ip, requestId } of events) {
      assert.equal(actor, ann.id);
      assert.equal(sessionRef, "000000000000");
      assert.equal(ip, "127.0.0.1");
      assert.ok(requestId);
    }
    assert.equal(events[1]?.detail?.["scopes"], "devices:read tunnel:use");
  },
);

onEachRig("key: a person has 20 at most; one that was revoked makes room", async (rig) => {
  const ann = await person(rig.store, "ann");
  const session = rig.signIn(ann);
  const refs: string[] = [];
  for (let count = 0; count < KEYS_PER_USER_MAX; count++) {
    refs.push((await created(rig, session)).body.ref);
  }
  const refused = await rig.send("POST /api/keys", session, NEW);
  assert.equal(refused.status, 409);
  assert.equal(refused.body.code, "keys_per_user");
  await rig.send(`DELETE /api/keys/${refs[0]}`, session);
  await created(rig, session);
  await created(rig, rig.signIn(await person(rig.store, "bob")));
});

onEachRig(
  "key: held to devices of the own tenant; a foreign, unknown and malformed id is one 404",
  async (rig) => {
    const ann = await person(rig.store, "ann");
    const eve = await person(rig.store, "eve", OTHER_TENANT);
    const session = rig.signIn(ann);
    const ours = await device(rig, ann);
    const { key, devices } = (await created(rig, session, { devices: [ours, ours] })).body;
    assert.deepEqual(devices, [ours]);
    assert.deepEqual((await rig.send("GET /api/probe/key", key)).body.devices, [ours]);
    const answers = await Promise.all(
      [await device(rig, eve), mintDeviceId(), "x", ""].map((id) =>
        rig.send("POST /api/keys", session, { ...NEW, devices: [ours, id] }),
      ),
    );
    const [first, ...others] = answers.map(withoutRequestId);
    assert.equal(answers[0]?.status, 404);
    for (const other of others) assert.deepEqual(other, first);
  },
);

onEachRig(
  "key: a foreign, a colleague's, an unknown and a malformed reference are one 404",
  async (rig) => {
    const ann = await person(rig.store, "ann");
    const bob = await person(rig.store, "bob");
    const eve = await person(rig.store, "eve", OTHER_TENANT, { role: "admin" });
    const foreign = (await created(rig, rig.signIn(ann))).body.ref;
    const admin = rig.signIn(eve);
    const colleague = rig.signIn(bob);
    for (const method of ["GET", "DELETE"]) {
      const answers = [
        await rig.send(`${method} /api/keys/${foreign}`, admin),
        await rig.send(`${method} /api/keys/${foreign}`, colleague),
        await rig.send(`${method} /api/keys/${mintToken("key").ref}`, admin),
        await rig.send(`${method} /api/keys/hwk_`, admin),
        await rig.send(`${method} /api/keys/vAc_00000000`, admin),
      ];
      const [first, ...others] = answers.map(withoutRequestId);
      assert.equal(answers[0]?.status, 404);
      for (const other of others) assert.deepEqual(other, first);
    }
    await rig.audit.flush();
    const filter = { limit: 10, event: "malicious_direct_reference" };
    const told = [
      ...(await queryAuditEvents(rig.store, TENANT, filter)).events,
      ...(await queryAuditEvents(rig.store, OTHER_TENANT, filter)).events,
    ];
    assert.deepEqual(
      told.map(({ actor, objectId }) => [actor, objectId]),
      [bob.id, bob.id, eve.id, eve.id].map((actor) => [actor, foreign]),
    );
    assert.deepEqual((await rig.send("GET /api/keys?all=true", admin)).body, { keys: [] });
    assert.equal(
      (await rig.send(`GET /api/keys/${foreign}`, rig.signIn(ann))).body.revoked_at,
      null,
    );
  },
);

onEachRig(
  "key: an administrator lists and revokes those of the tenant, a member own ones",
  async (rig) => {
    const ann = await person(rig.store, "ann");
    const root = await person(rig.store, "root", TENANT, { role: "admin" });
    const { ref } = (await created(rig, rig.signIn(ann))).body;
    const admin = rig.signIn(root);
    assert.deepEqual((await rig.send("GET /api/keys", admin)).body, { keys: [] });
    const all = await rig.send("GET /api/keys?all=true", admin);
    assert.deepEqual(
      all.body.keys.map((key: { ref: string }) => key.ref),
      [ref],
    );
    const refused = await rig.send("GET /api/keys?all=true", rig.signIn(ann));
    assert.equal(refused.body.code, "insufficient_role");
    assert.equal((await rig.send(`DELETE /api/keys/${ref}`, admin)).status, 204);
  },
);

onEachRig("key: lists page by page, and refuses a cursor that no page gave out", async (rig) => {
  const session = rig.signIn(await person(rig.store, "ann"));
  for (let count = 0; count < 3; count++) await created(rig, session);
  const first = await rig.send("GET /api/keys?limit=2", session);
  assert.equal(first.body.keys.length, 2);
  const rest = await rig.send(`GET /api/keys?limit=2&cursor=${first.body.next}`, session);
  assert.equal(rest.body.keys.length, 1);
  assert.equal(rest.body.next, undefined);
  const wrong = await rig.send("GET /api/keys?cursor=x", session);
  assert.equal(wrong.status, 400);
  assert.equal(wrong.body.issues[0].pointer, "/cursor");
});

onEachRig(
  "key: whose it is comes from the session, and a body that says otherwise is refused",
  async (rig) => {
    const session = rig.signIn(await person(rig.store, "ann"));
    for (const more of [
      { tenant_id: "other" },
      { owner_id: "other" },
      { user_id: "other" },
      { scopes: [] },
      { scopes: ["devices:everything"] },
      { scopes: "devices:read" },
      { name: "" },
      { name: "a\nb" },
      { name: "x".repeat(101) },
      { requests_per_minute: 0 },
      { requests_per_minute: 1.5 },
      { devices: [] },
    ]) {
      const answer = await rig.send("POST /api/keys", session, { ...NEW, ...more });
      assert.equal(answer.status, 400, JSON.stringify(more));
      assert.equal(answer.body.code, "invalid_request");
    }
  },
);

onEachRig(
  "key: its last use is written at most once a minute, with the address",
  async (rig, on) => {
    const session = rig.signIn(await person(rig.store, "ann"));
    const { key, ref } = (await created(rig, session)).body;
    const lastUse = async () => {
      await rig.bearer.close();
      const { last_used_at, last_used_ip } = (await rig.send(`GET /api/keys/${ref}`, session)).body;
      return [last_used_at, last_used_ip];
    };
    assert.deepEqual(await lastUse(), [null, null]);
    const used = new Date(rig.store.now()).toISOString();
    await rig.send("GET /api/probe/key", key);
    assert.deepEqual(await lastUse(), [used, "127.0.0.1"]);
    on.clock.advance(59_999);
    await rig.send("GET /api/probe/key", key);
    assert.deepEqual(await lastUse(), [used, "127.0.0.1"]);
    on.clock.advance(1);
    await rig.send("GET /api/probe/key", key);
    assert.deepEqual((await lastUse())[0], new Date(rig.store.now()).toISOString());
  },
);

onEachRig("key: listings name keys by their references alone", async (rig) => {
  const session = rig.signIn(await person(rig.store, "ann"));
  await created(rig, session);
  const { keys } = (await rig.send("GET /api/keys", session)).body;
  const members = z.object({ ref: z.string().refine((text) => isTokenRef(text, "key")) });
  assert.ok(members.safeParse(keys[0]).success);
  assert.ok(!("digest" in keys[0]) && !("key" in keys[0]));
});

onEachRig("machine client: administrators see those of their tenant", async (rig) => {
  const root = await person(rig.store, "root", TENANT, { role: "admin" });
  const client = { iss: "https://idp.example.org", clientId: "harness", name: "Harness" };
  await registerMachineClient(rig.store, TENANT, { ...client, scopes: ["devices:read"] });
  await registerMachineClient(rig.store, OTHER_TENANT, { ...client, clientId: "x", scopes: [] });
  const seen = await rig.send("GET /api/machine-clients", rig.signIn(root));
  assert.deepEqual(seen.body, {
    machine_clients: [
      {
        issuer: client.iss,
        client_id: "harness",
        name: "Harness",
        scopes: ["devices:read"],
        created_at: new Date(rig.store.now()).toISOString(),
        disabled_at: null,
      },
    ],
  });
  const member = rig.signIn(await person(rig.store, "ann"));
  assert.equal((await rig.send("GET /api/machine-clients", member)).status, 403);
});
