import assert from "node:assert/strict";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import {
  createApiKey,
  exchangeCredential,
  findApiKey,
  findLoginSession,
  findMachineClient,
  openDatabase,
  queryAuditEvents,
  type Store,
} from "../../../src/api/store/index.ts";
import { mintToken } from "../../../src/core/token.ts";
import { startApiRelay } from "../../support/api/start-api-relay.ts";
import {
  DEVICE,
  digestOf,
  IDLE_MS,
  ISS,
  pairingCode,
  person,
  session,
  TENANT,
} from "../../support/api-store/people.ts";
import { runCli } from "../../support/cli.ts";
import { SECRET } from "../../support/relay/start-relay.ts";

interface Place {
  readonly store: Store;
  readonly variables: Record<string, string>;
  admin(...words: string[]): ReturnType<typeof runCli>;
}

/** A database that is open here, and that commands open as well. */
async function place(t: TestContext): Promise<Place> {
  const folder = await mkdtemp(join(tmpdir(), "hawser-admin-"));
  const url = `sqlite:${join(folder, "hawser.db")}`;
  const store = await openDatabase(url);
  t.after(async () => {
    await store.close();
    await rm(folder, { recursive: true, force: true });
  });
  const variables = { HAWSER_DATABASE_URL: url, HAWSER_INTERNAL_SECRET: SECRET };
  return {
    store,
    variables,
    admin: (...words) => runCli(t, ["admin", ...words], variables),
  };
}

test("hawser admin keys revoke: a key that leaked, once; the tenant's audit log knows", async (t) => {
  const { store, admin } = await place(t);
  const ann = await person(store, "ann");
  const { ref, secretDigest } = mintToken("key");
  const made = { ref, secretDigest, name: "ci", scopes: ["devices:read"], devices: null };
  const more = { requestsPerMinute: null, expiresAt: store.now() + 60_000 };
  await createApiKey(store, ann.tenant, ann.id, { ...made, ...more });
  const done = await admin("keys", "revoke", ref, "--json");
  assert.equal(done.code, 0, done.stderr);
  const shown = { ref, revoked: true, tenant: TENANT, owner_id: ann.id, name: "ci" };
  assert.deepEqual(JSON.parse(done.stdout), shown);
  assert.equal(await findApiKey(store, { ref, secretDigest }), null);
  const { events } = await queryAuditEvents(store, ann.tenant, { limit: 10 });
  assert.deepEqual([events[0]?.event, events[0]?.actor], ["key_revoked", "operator"]);
  assert.equal((await admin("keys", "revoke", ref)).code, 1);
  const whole = await admin("keys", "revoke", `${ref}_${"x".repeat(49)}`);
  assert.equal(whole.code, 2);
});

test("hawser admin users: list, show by subject, role, disable and enable", async (t) => {
  const { store, admin } = await place(t);
  const ann = await person(store, "ann");
  await session(store, ann, "cookie");
  const list = await admin("users", "list");
  assert.equal(list.code, 0, list.stderr);
  assert.match(list.stdout, new RegExp(`^ID .*\n${ann.id} +ann@example\\.org +member +tenant-one`));
  const shown = await admin("users", "show", "--iss", ISS, "--sub", "ann", "--json");
  assert.equal(JSON.parse(shown.stdout).id, ann.id);
  const promoted = await admin("users", "role", ann.id, "admin", "--json");
  assert.equal(JSON.parse(promoted.stdout).role, "admin");
  const demoted = await admin("users", "role", "member", "--iss", ISS, "--sub", "ann");
  assert.match(demoted.stdout, /role +member/);
  const disabled = await admin("users", "disable", ann.id);
  assert.match(disabled.stdout, /relays within a minute, or at once with --relay-internal-url/);
  assert.equal(
    await findLoginSession(store, digestOf("cookie"), { idleMs: IDLE_MS, slide: false }),
    null,
  );
  assert.match((await admin("users", "list")).stdout, /disabled\n$/);
  const enabled = await admin("users", "enable", ann.id, "--json");
  assert.equal(JSON.parse(enabled.stdout).disabled_at, null);
});

test("hawser admin users disable --relay-internal-url: the relay closes the tunnel at once", async (t) => {
  const { store, admin } = await place(t);
  const ann = await person(store, "ann");
  const { api, relay, connect } = await startApiRelay(t);
  const known = api.addDevice();
  const { digest } = await pairingCode(store, ann);
  const credential = { kind: "code", digest } as const;
  const options = { tokenExpiresAt: null };
  await exchangeCredential(store, credential, DEVICE, known.token, options);
  const device = await connect(known);
  const url = `http://127.0.0.1:${relay.internalPort}`;
  const { code, stdout, stderr } = await admin(
    "users",
    "disable",
    ann.id,
    "--relay-internal-url",
    url,
  );
  assert.equal(code, 0, stderr);
  assert.match(stdout, /The relay has been told/);
  await device.closed;
  const away = await admin(
    ...["users", "disable", ann.id, "--json", "--relay-internal-url", "http://127.0.0.1:9"],
  );
  assert.equal(away.code, 1);
  assert.equal(JSON.parse(away.stderr).error.code, "ERR_CLI_RELAY_NOT_TOLD");
  assert.ok(!away.stderr.includes(SECRET));
});

test("hawser admin tenants: list, disable and enable; a mistyped one is not made", async (t) => {
  const { store, admin } = await place(t);
  await person(store, "ann");
  const list = await admin("tenants", "list", "--json");
  assert.deepEqual(
    JSON.parse(list.stdout).tenants.map(({ id, users }: { id: string; users: number }) => [
      id,
      users,
    ]),
    [[TENANT, 1]],
  );
  const mistyped = await admin("tenants", "disable", "tenant-onr", "--json");
  assert.equal(mistyped.code, 1);
  assert.equal(JSON.parse(mistyped.stderr).error.code, "ERR_CLI_NOT_FOUND");
  assert.equal((await admin("tenants", "disable", TENANT)).code, 0);
  assert.match((await admin("tenants", "list")).stdout, /disabled\n$/);
  assert.equal((await admin("tenants", "enable", TENANT)).code, 0);
  assert.equal((await admin("tenants", "disable", "t:new", "--create")).code, 0);
});

test("hawser admin machine-clients: add, list, disable; scopes that there are not are refused", async (t) => {
  const { store, admin } = await place(t);
  const names = ["--tenant", "t:acme", "--iss", ISS, "--client-id", "ci"];
  const add = ["machine-clients", "add", ...names, "--name", "the build"];
  const made = await admin(...add, "--scope", "devices:read tunnel:use", "--json");
  assert.equal(made.code, 0, made.stderr);
  assert.deepEqual((await findMachineClient(store, ISS, "ci"))?.scopes, [
    "devices:read",
    "tunnel:use",
  ]);
  const wrong = await admin(...add, "--scope", "everything");
  assert.equal(wrong.code, 2);
  assert.match(wrong.stderr, /no such scope: everything/);
  const elsewhere = [...add, "--scope", "devices:read"].map((word) =>
    word === "t:acme" ? "t:b" : word,
  );
  assert.equal((await admin(...elsewhere)).code, 2);
  assert.match((await admin("machine-clients", "list")).stdout, /ci +the build +https:\/\/idp/);
  assert.equal((await admin("machine-clients", "disable", ...names)).code, 0);
  assert.equal(await findMachineClient(store, ISS, "ci"), null);
  assert.equal((await admin("machine-clients", "disable", ...names)).code, 1);
});

test("hawser admin: who is named twice, not at all or wrongly is told so, and nothing changes", async (t) => {
  const { store, admin } = await place(t);
  const ann = await person(store, "ann");
  for (const words of [
    ["users", "disable"],
    ["users", "disable", ann.id, "--iss", ISS, "--sub", "ann"],
    ["users", "disable", "--iss", ISS],
    ["users", "role", ann.id, "owner"],
    ["users", "role", ann.id],
  ]) {
    assert.equal((await admin(...words)).code, 2, words.join(" "));
  }
  const unknown = await admin("users", "disable", "0".repeat(24), "--json");
  assert.equal(JSON.parse(unknown.stderr).error.code, "ERR_CLI_NOT_FOUND");
  assert.match((await admin("users", "list", "--json")).stdout, /"disabled_at":null/);
});

test("hawser admin: a database that cannot be had ends with 2, without its password", async (t) => {
  const { code, stderr } = await runCli(t, ["admin", "users", "list"], {
    HAWSER_DATABASE_URL: "postgres://hawser:pa55word@127.0.0.1:9/hawser",
  });
  assert.equal(code, 2);
  assert.match(stderr, /cannot be reached/);
  assert.ok(!stderr.includes("pa55word"));
});

test("hawser admin new-secret: an entry of a ring, 32 random bytes, another each time", async (t) => {
  const first = await runCli(t, ["admin", "new-secret"]);
  const match = /^k20\d{6}:([A-Za-z0-9+/]{43}=)\n$/.exec(first.stdout);
  assert.equal(Buffer.from(match?.[1] ?? "", "base64").length, 32);
  const second = await runCli(t, ["admin", "new-secret", "--json"]);
  assert.notEqual(JSON.parse(second.stdout).entry, first.stdout.trim());
});

test("hawser admin: without a database's address it is the one in the data folder", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "hawser-admin-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const { code, stdout } = await runCli(t, ["admin", "users", "list", "--data-dir", folder]);
  assert.deepEqual([code, stdout], [0, "Nobody has signed in yet.\n"]);
  assert.equal((await stat(join(folder, "hawser.db"))).mode & 0o777, 0o600);
});
