import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { StoredMachineClients } from "../../../../src/api/bearer/index.ts";
import { AccessTokens, checkOidcOptions } from "../../../../src/api/oidc/index.ts";
import {
  disableMachineClient,
  disableTenant,
  listUsers,
  registerMachineClient,
  type Store,
} from "../../../../src/api/store/index.ts";
import { CredentialsRig } from "../../../support/api/credentials-rig.ts";
import { type DatabaseCase, onEachDatabase } from "../../../support/api-store/each-database.ts";
import { OTHER_TENANT, TENANT } from "../../../support/api-store/people.ts";
import { flipSignature, macSigned, makeKey, sign, unsigned } from "../../../support/oidc/keys.ts";
import { RecordingLog, TestTime } from "../../../support/oidc/ports.ts";
import { API_AUDIENCE } from "../../../support/oidc/real-idp.ts";
import { BASE_URL, CLIENT_SECRET } from "../../../support/oidc/rig.ts";
import { type Claims, plain, ScriptedIdp } from "../../../support/oidc/scripted-idp.ts";

/** An API server that takes access tokens of a scripted provider. */
interface MachineRig {
  readonly rig: CredentialsRig;
  readonly store: Store;
  readonly idp: ScriptedIdp;
  /** A token that is in order, but for what is patched. */
  token(patch?: Claims, header?: Claims): Promise<string>;
  claims(patch?: Claims): Claims;
  register(scopes: readonly string[], clientId?: string): Promise<void>;
}

function withMachines(name: string, run: (it: MachineRig) => Promise<void>): void {
  onEachDatabase(name, async (on: DatabaseCase, t: TestContext) => {
    const time = new TestTime();
    const idp = await new ScriptedIdp(time).start(t);
    const settings = checkOidcOptions({
      publicBaseUrl: BASE_URL,
      oidcIssuer: idp.issuer,
      oidcAllowInsecure: true,
      oidcClientId: "hawser",
      oidcClientSecret: CLIENT_SECRET,
      apiJwtIssuers: idp.issuer,
      apiJwtAudience: API_AUDIENCE,
    });
    const store = await on.open();
    const ports = { clock: time, timers: time, log: new RecordingLog() };
    const accessTokens = new AccessTokens(settings, ports, new StoredMachineClients(store));
    const rig = await CredentialsRig.start(store, { accessTokens });
    const claims = (patch: Claims = {}): Claims => ({
      iss: idp.issuer,
      aud: API_AUDIENCE,
      exp: time.epochSec() + 300,
      iat: time.epochSec(),
      jti: "token-1",
      client_id: "harness",
      sub: "harness",
      scope: "devices:read tunnel:use enrolment:write",
      ...patch,
    });
    try {
      await run({
        rig,
        store,
        idp,
        claims,
        token: async (patch = {}, header = {}) => {
          idp.script.header = { typ: "at+jwt", ...header };
          return await idp.sign(claims(patch));
        },
        register: async (scopes, clientId = "harness") => {
          const client = { iss: idp.issuer, clientId, name: "Harness", scopes };
          await registerMachineClient(store, TENANT, client);
        },
      });
    } finally {
      accessTokens.close();
      await rig.close();
    }
  });
}

withMachines("machine: a token gives what the registration and the token both say", async (it) => {
  await it.register(["devices:read", "devices:write", "unknown:scope"]);
  const token = await it.token();
  const seen = await it.rig.send("GET /api/probe/key", token);
  assert.equal(seen.status, 200);
  assert.deepEqual(
    [seen.body.kind, seen.body.ref, seen.body.tenantId, seen.body.userId, seen.body.role],
    ["service", "client:harness", TENANT, "", "member"],
  );
  assert.deepEqual(seen.body.scopes, ["devices:read"]);
  assert.equal((await it.rig.send("GET /api/probe/scope/devices-read", token)).status, 200);
  const beyond = await it.rig.send("GET /api/probe/scope/enrolment-write", token);
  assert.equal(beyond.body.code, "insufficient_scope");
});

withMachines("machine: what its registration holds of an administrator's it may do", async (it) => {
  await it.register(["audit:read"]);
  const reading = await it.token({ scope: "audit:read" });
  assert.equal((await it.rig.send("GET /api/audit", reading)).status, 200);
  const other = await it.token({ scope: "devices:read" });
  assert.equal((await it.rig.send("GET /api/audit", other)).status, 403);
});

withMachines("machine: it is nobody on routes for people, and makes no user", async (it) => {
  await it.register(["devices:read"]);
  const token = await it.token();
  for (const request of ["GET /api/probe/session", "POST /api/keys", "GET /api/probe/device"]) {
    assert.equal((await it.rig.send(request, token)).status, 401, request);
  }
  assert.deepEqual(await listUsers(it.store, TENANT, { limit: 10 }), []);
});

withMachines("machine: tokens of another kind, audience, algorithm or time are 401", async (it) => {
  await it.register(["devices:read"]);
  const now = Number(it.claims()["iat"]);
  const tokens: Record<string, string> = {
    "an ID token": await it.token({ nonce: "n", aud: "hawser" }, { typ: "JWT" }),
    "a logout token": await it.token({ events: {} }, { typ: "logout+jwt" }),
    "typ JWT": await it.token({}, { typ: "JWT" }),
    "another audience": await it.token({ aud: "https://other.example" }),
    "alg none": `${unsigned(it.claims())}x`,
    HS256: await macSigned(it.claims(), "secret"),
    "exp 40 s ago": await it.token({ exp: now - 40 }),
    "a changed signature": flipSignature(await it.token()),
    "an unknown key": await sign(it.claims(), makeKey(), { typ: "at+jwt" }),
    "a client that nobody registered": await it.token({ client_id: "other", sub: "other" }),
    "an issuer that nobody registered": await it.token({ iss: "https://evil.example" }),
    "one that is bound to a key": await it.token({ cnf: { jkt: "x" } }),
  };
  for (const [name, token] of Object.entries(tokens)) {
    const answer = await it.rig.send("GET /api/probe/key", token);
    assert.equal(answer.status, 401, name);
    const challenge = 'Bearer realm="hawser", error="invalid_token"';
    assert.equal(answer.headers.get("www-authenticate"), challenge, name);
    assert.ok(!it.rig.log.join().includes(token), name);
  }
  assert.equal((await it.rig.send("GET /api/probe/key", await it.token())).status, 200);
});

withMachines("machine: one that is disabled, or whose tenant is, is 401 at once", async (it) => {
  await it.register(["devices:read"]);
  const token = await it.token();
  const status = async () => (await it.rig.send("GET /api/probe/key", token)).status;
  assert.equal(await status(), 200);
  await disableMachineClient(it.store, TENANT, it.idp.issuer, "harness");
  assert.equal(await status(), 401);
  await it.register(["devices:read"]);
  assert.equal(await status(), 200);
  await disableTenant(it.store, TENANT);
  assert.equal(await status(), 401);
  const stolen = { iss: it.idp.issuer, clientId: "harness", name: "Thief", scopes: [] };
  assert.equal(await registerMachineClient(it.store, OTHER_TENANT, stolen), null);
});

withMachines(
  "machine: while keys or database cannot be had the answer is 503, never a pass",
  async (it) => {
    await it.register(["devices:read"]);
    it.idp.script.answers.set("/jwks", plain(500, "no"));
    const token = await it.token();
    const closed = await it.rig.send("GET /api/probe/key", token);
    assert.equal(closed.status, 503);
    assert.ok(Number(closed.headers.get("retry-after")) > 0);
  },
);

withMachines(
  "machine: an issuer that is a bare origin may be registered with its slash",
  async (it) => {
    const client = { iss: `${it.idp.issuer}/`, clientId: "harness", name: "H", scopes: [] };
    await registerMachineClient(it.store, TENANT, client);
    assert.equal((await it.rig.send("GET /api/probe/key", await it.token())).status, 200);
  },
);
