import assert from "node:assert/strict";
import { test } from "node:test";
import { Validator } from "@seriousme/openapi-schema-validator";
import { DEVICE_DEFAULTS, deviceRoutes } from "../../../../src/api/devices/index.ts";
import { type ApiContext, describeApi, type Route } from "../../../../src/api/index.ts";
import { CLASS_ADMITS } from "../../../../src/api/ports.ts";
import { mintDeviceId, mintToken } from "../../../../src/core/token.ts";
import {
  madeCode,
  madeDevice,
  type Rig,
  startRig,
  wholeAnswer,
} from "../../../support/api-devices/rig.ts";
import { ask } from "../../../support/api-devices/server.ts";
import { onEachDatabase } from "../../../support/api-store/each-database.ts";

/** What stands for the parameters of a path. */
interface Ids {
  readonly device: string;
  readonly token: string;
  readonly code: string;
  readonly key: string;
}

const HEADERS = { "x-request-id": "the-same-for-all" };

function pathOf({ path }: Route, { device, token, code, key }: Ids): string {
  const id = path.startsWith("/api/pairing-codes/") ? code : device;
  const ref = path.startsWith("/api/enrolment-keys/") ? key : token;
  return path.replace(":id", id).replace(":ref", ref);
}

function bodyOf({ method, path }: Route): { body?: unknown } {
  if (method === "PATCH") return { body: { name: "stolen" } };
  if (path === "/api/enrolment-keys" && method === "POST")
    return { body: { name: "k", uses_max: 1 } };
  if (path === "/api/devices" && method === "POST") return { body: { name: "d" } };
  return {};
}

async function oneOfEverything(rig: Rig, as = "ann"): Promise<Ids> {
  const { device_id, token_ref } = await madeDevice(rig, {}, as);
  const { id } = await madeCode(rig, as);
  const { ref } = await rig.json<{ ref: string }>(201, "POST /api/enrolment-keys", {
    as,
    body: { name: "k", uses_max: 1 },
  });
  return { device: device_id, token: token_ref, code: id, key: ref };
}

/** Everything that a person sees. */
async function everything(rig: Rig, ids: Ids, as = "ann"): Promise<unknown> {
  const paths = [
    "/api/devices",
    `/api/devices/${ids.device}`,
    `/api/devices/${ids.device}/tokens`,
    "/api/pairing-codes",
    "/api/enrolment-keys",
  ];
  const answers = [];
  for (const path of paths) answers.push(await rig.json(200, `GET ${path}`, { as }));
  return answers;
}

onEachDatabase(
  "tenants: a foreign id is answered as a missing and a malformed one are, byte by byte, and touches nothing",
  async (on, t) => {
    const rig = await startRig(on, t);
    const ids = await oneOfEverything(rig);
    const before = await everything(rig, ids);
    const missing: Ids = {
      device: mintDeviceId(),
      token: mintToken("device").ref,
      code: "0123456789abcdef01234567",
      key: mintToken("enrolment").ref,
    };
    const malformed: Ids = { device: "x", token: "x", code: "x", key: "x" };
    const withId = rig.router.routes.filter(({ path }) => /\/:(id|ref)/.test(path));
    assert.ok(withId.length >= 11, String(withId.length));
    for (const each of withId) {
      const where = `${each.method} ${each.path}`;
      const asked = { as: "eve", headers: HEADERS, ...bodyOf(each) };
      const answers = [];
      for (const which of [ids, missing, malformed]) {
        rig.audit.length = 0;
        const answer = await rig.ask(`${each.method} ${pathOf(each, which)}`, asked);
        const events = rig.audit.map(({ event, tenant, actor }) => [event, tenant, actor]);
        answers.push({ answer: wholeAnswer(answer), events: which === malformed ? null : events });
        assert.equal(answer.status, 404, where);
      }
      const [foreign, unknown, nonsense] = answers;
      assert.deepEqual(foreign, unknown, where);
      assert.deepEqual(foreign?.answer, nonsense?.answer, where);
      assert.deepEqual(foreign?.events, [
        ["malicious_direct_reference", rig.eve.tenant, "ref-of-eve"],
      ]);
    }
    assert.deepEqual(await everything(rig, ids), before);
    assert.deepEqual(rig.announced, []);
    assert.deepEqual(rig.ended, []);
  },
);

onEachDatabase("tenants: an own device does not lead to a foreign token", async (on, t) => {
  const rig = await startRig(on, t);
  const anns = await oneOfEverything(rig);
  const eves = await oneOfEverything(rig, "eve");
  const before = await everything(rig, anns);
  const delete_ = (ref: string) =>
    rig.ask(`DELETE /api/devices/${eves.device}/tokens/${ref}`, { as: "eve", headers: HEADERS });
  const foreign = wholeAnswer(await delete_(anns.token));
  assert.deepEqual(foreign, wholeAnswer(await delete_(mintToken("device").ref)));
  assert.deepEqual(await everything(rig, anns), before);
});

onEachDatabase("tenants: listings, filters and cursors show none but one's own", async (on, t) => {
  const rig = await startRig(on, t);
  const anns = await oneOfEverything(rig);
  const eves = await oneOfEverything(rig, "eve");
  for (const [as, own] of [
    ["ann", anns],
    ["eve", eves],
    ["ann", anns],
    ["eve", eves],
  ] as const) {
    const text = JSON.stringify(await everything(rig, own, as));
    const other = own === anns ? eves : anns;
    for (const id of Object.values(own)) assert.ok(text.includes(id));
    for (const id of Object.values(other)) assert.ok(!text.includes(id));
  }
  for (const query of [
    "cursor=aaaaaaaaaaaaaaaa",
    `cursor=${anns.device}`,
    "name=press",
    "state=pending",
  ]) {
    const { text } = await rig.ask(`GET /api/devices?${query}`, { as: "eve" });
    assert.ok(!text.includes(anns.device), query);
  }
});

onEachDatabase("tenants: fields and headers of a request do not choose one", async (on, t) => {
  const rig = await startRig(on, t);
  const headers = {
    "x-tenant-id": rig.eve.tenant,
    "x-hawser-tenant": rig.eve.tenant,
    "x-user-id": rig.eve.id,
    "x-forwarded-user": rig.eve.id,
  };
  const made = await rig.json<{ device: { owner_id: string } }>(201, "POST /api/devices", {
    headers,
    body: { name: "press" },
  });
  assert.equal(made.device.owner_id, rig.ann.id);
  const { devices } = await rig.json<{ devices: unknown[] }>(200, "GET /api/devices", {
    as: "eve",
  });
  assert.deepEqual(devices, []);
});

onEachDatabase(
  "routes: none is open but the exchange, and each wants its own kind of credential",
  async (on, t) => {
    const rig = await startRig(on, t);
    const ids = await oneOfEverything(rig);
    const { token } = await madeDevice(rig);
    const open = rig.router.routes.filter(({ class: each }) => CLASS_ADMITS[each].length === 0);
    assert.deepEqual(
      open.map(({ path }) => path),
      ["/api/pairing/exchange"],
    );
    let checked = 0;
    for (const each of rig.router.routes.filter((route) => !open.includes(route))) {
      const wrong = each.class === "device" ? "ann" : token;
      for (const as of [
        undefined,
        "garbage",
        mintToken("key").text,
        mintToken("device").text,
        wrong,
      ]) {
        const asked = { ...bodyOf(each), ...(as === undefined ? {} : { as }) };
        const answer = await ask(rig.url, `${each.method} ${pathOf(each, ids)}`, asked);
        assert.equal(answer.status, 401, `${each.method} ${each.path}`);
        checked += 1;
      }
    }
    assert.ok(checked >= 95, String(checked));
  },
);

onEachDatabase("routes: a key needs the scope that the route names", async (on, t) => {
  const rig = await startRig(on, t);
  const ids = await oneOfEverything(rig);
  const scopes: Readonly<Record<string, string>> = {
    "GET /api/devices": "devices:read",
    "POST /api/devices": "devices:write",
    "GET /api/devices/:id": "devices:read",
    "PATCH /api/devices/:id": "devices:write",
    "DELETE /api/devices/:id": "devices:write",
    "POST /api/devices/:id/approve": "devices:write",
    "POST /api/devices/:id/disconnect": "devices:write",
    "GET /api/devices/:id/tokens": "devices:read",
    "POST /api/devices/:id/token:rotate": "devices:write",
    "POST /api/devices/:id/token:revoke": "devices:write",
    "POST /api/devices/:id/token:revoke-and-rotate": "devices:write",
    "DELETE /api/devices/:id/tokens/:ref": "devices:write",
    "POST /api/pairing-codes": "devices:pair",
    "GET /api/pairing-codes": "devices:pair",
    "DELETE /api/pairing-codes/:id": "devices:pair",
    "POST /api/enrolment-keys": "enrolment:write",
    "GET /api/enrolment-keys": "enrolment:write",
    "DELETE /api/enrolment-keys/:ref": "enrolment:write",
  };
  const keyed = rig.router.routes.filter((route) => route.class === "key");
  assert.deepEqual(
    keyed.map(({ method, path }) => `${method} ${path}`).sort(),
    Object.keys(scopes).sort(),
  );
  for (const each of keyed) {
    const scope = scopes[`${each.method} ${each.path}`] ?? "";
    const all = [
      "devices:read",
      "devices:write",
      "devices:pair",
      "enrolment:write",
      "tunnel:use",
      "audit:read",
    ];
    rig.people.add("short", rig.ann, { scopes: new Set(all.filter((other) => other !== scope)) });
    const answer = await rig.ask(`${each.method} ${pathOf(each, ids)}`, {
      as: "short",
      ...bodyOf(each),
    });
    assert.equal(answer.status, 403, `${each.method} ${each.path}`);
    assert.match(answer.headers.get("www-authenticate") ?? "", new RegExp(`scope="${scope}"`));
  }
  await everything(rig, ids);
});

onEachDatabase("routes: a person's session needs no scope", async (on, t) => {
  const rig = await startRig(on, t);
  rig.people.add("anns-cookie", rig.ann, {
    kind: "session",
    ref: "0123456789ab",
    scopes: new Set(),
  });
  const headers = { cookie: "__Host-hawser_sid=anns-cookie", "x-hawser-csrf": "1" };
  const answer = await ask(rig.url, "POST /api/devices", { headers, body: { name: "press" } });
  assert.equal(answer.status, 201, answer.text);
  assert.equal((await ask(rig.url, "POST /api/pairing-codes", { headers })).status, 201);
  for (const { event, actor, sessionRef } of rig.audit) {
    assert.deepEqual([actor, sessionRef], [rig.ann.id, "0123456789ab"], event);
  }
});

onEachDatabase("secrets: stand in the answer that issues them, and nowhere else", async (on, t) => {
  const rig = await startRig(on, t);
  const code = (await madeCode(rig)).code;
  const device = await madeDevice(rig);
  const key = await rig.json<{ key: string }>(201, "POST /api/enrolment-keys", {
    body: { name: "k", uses_max: 3 },
  });
  const secrets = [code, device.token, key.key];
  for (const presented of [code, code, key.key]) {
    const body = { code: presented, device: { name: "x" } };
    const { text } = await ask(rig.url, "POST /api/pairing/exchange", { body });
    const { token } = JSON.parse(text);
    if (token !== undefined) secrets.push(token);
  }
  const rotated = await rig.json<{ token: string }>(200, "POST /api/device/token:rotate", {
    as: device.token,
  });
  secrets.push(rotated.token);
  assert.equal(secrets.length, 6);
  const { pairing_codes, ...rest } = await rig.json<{ pairing_codes: unknown }>(
    200,
    "GET /api/pairing-codes",
  );
  const dump: unknown[] = [pairing_codes, rest, rig.audit, rig.announced];
  for (const table of [
    "devices",
    "deviceTokens",
    "pairingCodes",
    "enrolmentKeys",
    "auditEvents",
  ] as const) {
    dump.push(await rig.store.query.selectFrom(table).selectAll().execute());
  }
  const text = JSON.stringify(dump) + rig.logText();
  for (const secret of secrets) {
    // What names a token or code in public is its beginning.
    const hidden = secret.slice(secret.startsWith("hwp_") ? 8 : 13);
    assert.ok(!text.toLowerCase().includes(hidden.toLowerCase()), secret.slice(0, 4));
  }
});

onEachDatabase("secrets: nothing that the database holds opens anything", async (on, t) => {
  const rig = await startRig(on, t, { devices: { exchange: null } });
  await madeCode(rig);
  await oneOfEverything(rig);
  const texts = new Set<string>();
  for (const table of ["devices", "deviceTokens", "pairingCodes", "enrolmentKeys"] as const) {
    for (const row of await rig.store.query.selectFrom(table).selectAll().execute()) {
      for (const value of Object.values(row)) if (typeof value === "string") texts.add(value);
    }
  }
  assert.ok(texts.size > 10);
  for (const text of texts) {
    for (const shown of [text, `vAc_${text}`, `hwp_${text}`, `hwe_${text}`]) {
      const body = { code: shown };
      const answer = await ask(rig.url, "POST /api/pairing/exchange", { body });
      assert.equal(answer.status, 404);
    }
    assert.equal((await rig.ask("GET /api/device", { as: text })).status, 401);
  }
});

test("description: that of the routes is valid OpenAPI 3.1, and says that an exchange takes a text", async () => {
  const parts = { now: () => 0 } as ApiContext;
  const urls = { tunnelUrl: "wss://r.test", edgeUrl: "https://r.test" };
  const routes = deviceRoutes(parts, { ...DEVICE_DEFAULTS, ...urls });
  const info = { title: "T", version: "1", publicBaseUrl: "https://a.test", cookieName: "c" };
  const description = describeApi(routes, info);
  const result = await new Validator().validate(description);
  assert.deepEqual(result.errors ?? [], []);
  const text = JSON.stringify(description);
  const ids = [...text.matchAll(/"operationId":"(\w+)"/g)].map(([, id]) => id);
  assert.equal(new Set(ids).size, routes.length);
  assert.match(text, /"code":\{"type":"string"/);
  for (const { path } of routes) assert.ok(text.includes(path.replace(/\/:(\w+)/g, "/{$1}")), path);
});
