import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import test, { type TestContext } from "node:test";
import { isLoopbackRedirect } from "../../../../src/api/cli-login/request.ts";
import { ADMIN_SCOPES, ALL_SCOPES } from "../../../../src/api/scopes.ts";
import {
  approveCliLogin,
  CLI_LOGIN_LIMITS,
  findApiKey,
  KEYS_PER_USER_MAX,
  type Store,
  setUserRole,
  type User,
} from "../../../../src/api/store/index.ts";
import type { ManualClock } from "../../../../src/core/clock.ts";
import { parseToken } from "../../../../src/core/token.ts";
import { type CliLoginApi, COOKIE_NAME, startCliLoginApi } from "../../../support/api/cli-login.ts";
import { bearer, problem } from "../../../support/api/harness.ts";
import { onEachDatabase } from "../../../support/api-store/each-database.ts";
import { digestOf, MINUTE_MS, person } from "../../../support/api-store/people.ts";
import type { RawAnswer } from "../../../support/forward/raw-request.ts";

const VERIFIER = randomBytes(32).toString("base64url");
const STATE = "s".repeat(22);
const REDIRECT = "http://127.0.0.1:40123/callback";
const ASKED: Readonly<Record<string, string>> = {
  redirect_uri: REDIRECT,
  code_challenge: createHash("sha256").update(VERIFIER).digest("base64url"),
  code_challenge_method: "S256",
  state: STATE,
  name: "hawser on press",
};
const SAME_ORIGIN = ["Origin: http://127.0.0.1:3721", "Sec-Fetch-Site: same-origin"];

interface Case {
  readonly api: CliLoginApi;
  readonly store: Store;
  readonly ann: User;
  readonly clock: ManualClock;
}

/** A case on each database, with somebody who is signed in under the cookie `ann`. */
function onApi(name: string, run: (on: Case, t: TestContext) => Promise<void>): void {
  onEachDatabase(name, async (on, t) => {
    const store = await on.open();
    const api = await startCliLoginApi(t, store);
    const ann = await person(store, "ann");
    api.signIn("ann", ann);
    await run({ api, store, ann, clock: on.clock }, t);
  });
}

const cookie = (value: string): string => `Cookie: ${COOKIE_NAME}=${value}`;

function page(api: CliLoginApi, over: Record<string, string> = {}, lines = [cookie("ann")]) {
  return api.send(`GET /cli-login?${new URLSearchParams({ ...ASKED, ...over })}`, lines);
}

function consentIn(answer: RawAnswer): string {
  const found = /name="consent" value="([A-Za-z0-9_-]{43})"/.exec(answer.body.toString())?.[1];
  assert.ok(found !== undefined, answer.body.toString());
  return found;
}

function decide(
  api: CliLoginApi,
  consent: string,
  decision = "allow",
  lines = [cookie("ann"), ...SAME_ORIGIN],
): Promise<RawAnswer> {
  const body = new URLSearchParams({ consent, decision }).toString();
  const head = [
    `Content-Type: application/x-www-form-urlencoded`,
    `Content-Length: ${body.length}`,
  ];
  return api.send("POST /cli-login", [...lines, ...head], body);
}

function exchange(api: CliLoginApi, code: string, verifier = VERIFIER): Promise<RawAnswer> {
  const body = JSON.stringify({ code, code_verifier: verifier });
  const head = ["Content-Type: application/json", `Content-Length: ${body.length}`];
  return api.send("POST /api/cli-login/exchange", head, body);
}

/** Goes through the page and gives the code. */
async function codeOf(api: CliLoginApi, over: Record<string, string> = {}): Promise<string> {
  const answer = await decide(api, consentIn(await page(api, over)));
  assert.equal(answer.status, 303, answer.body.toString());
  const location = new URL(answer.fields.get("location") ?? "");
  assert.equal(location.origin + location.pathname, REDIRECT);
  assert.equal(location.searchParams.get("state"), STATE);
  return location.searchParams.get("code") ?? "";
}

onApi("cli login: consent, code, key; the key is good and says what was allowed", async (on) => {
  const { api, store, ann } = on;
  const shown = await page(api, { days: "30" });
  assert.equal(shown.status, 200);
  const html = shown.body.toString();
  assert.match(html, /hawser on press/);
  assert.match(html, /127\.0\.0\.1:40123/);
  assert.match(html, /ann@example\.org/);
  assert.match(html, new RegExp(new Date(store.now() + 30 * 86_400_000).toISOString()));
  assert.match(shown.fields.get("set-cookie") ?? "", /renewed/);
  assert.match(shown.fields.get("content-security-policy") ?? "", /frame-ancestors 'none'/);
  const answer = await exchange(api, await codeOf(api, { days: "30" }));
  assert.equal(answer.status, 201);
  const made = problem(answer);
  const parsed = parseToken(String(made["key"]));
  assert.ok(parsed.ok && parsed.kind === "key");
  const key = await findApiKey(store, parsed);
  assert.deepEqual(
    [key?.ownerId, key?.tenant, key?.name, key?.expiresAt],
    [ann.id, ann.tenant, "hawser on press", store.now() + 30 * 86_400_000],
  );
  assert.deepEqual(
    key?.scopes,
    ALL_SCOPES.filter((scope) => !ADMIN_SCOPES.has(scope)),
  );
  assert.deepEqual(made["scopes"], key?.scopes);
  assert.equal(made["ref"], parsed.ref);
  const [entry, ...more] = api.audited;
  assert.deepEqual(
    [more.length, entry?.event, entry?.tenant, entry?.actor, entry?.objectId, entry?.sessionRef],
    [0, "key_created", ann.tenant, ann.id, parsed.ref, digestOf("ann").slice(0, 12)],
  );
  assert.equal(entry?.detail?.["by"], "cli_login");
  assert.ok(!JSON.stringify(api.audited).includes(String(made["key"]).slice(13)));
});

onApi("cli login: a code is good once, for a minute, and with its own verifier", async (on) => {
  const { api, clock } = on;
  const used = await codeOf(api);
  assert.equal((await exchange(api, used)).status, 201);
  const stolen = await codeOf(api);
  const late = await codeOf(api);
  const wrong = [
    await exchange(api, used),
    await exchange(api, stolen, "v".repeat(43)),
    // The guess has used it up.
    await exchange(api, stolen),
    await exchange(api, "unknown"),
  ];
  clock.advance(CLI_LOGIN_LIMITS.codeTtlMs);
  wrong.push(await exchange(api, late));
  assert.deepEqual(
    api.audited.slice(1).map(({ event, detail }) => [event, detail?.["reason"]]),
    [
      ["authn_login_fail", "cli_code"],
      ["authn_login_fail", "cli_verifier"],
      ["authn_login_fail", "cli_code"],
      ["authn_login_fail", "cli_code"],
      ["authn_login_fail", "cli_code"],
    ],
  );
  for (const answer of wrong) {
    const { request_id: _, ...told } = problem(answer);
    assert.deepEqual(
      [answer.status, told["code"], told["detail"]],
      [400, "cli_login_code_invalid", problem(wrong[0] ?? answer)["detail"]],
    );
  }
});

onApi("cli login: of parallel exchanges of one code one gets a key", async ({ api, store }) => {
  const code = await codeOf(api);
  const answers = await Promise.all(Array.from({ length: 20 }, () => exchange(api, code)));
  assert.equal(answers.filter(({ status }) => status === 201).length, 1);
  const keys = await store.query.selectFrom("apiKeys").select("ref").execute();
  assert.equal(keys.length, 1);
});

onApi(
  "cli login: 60 failed exchanges from an address, then 429 before the store",
  async ({ api }) => {
    const code = await codeOf(api);
    for (let count = 0; count < 60; count++) {
      assert.equal((await exchange(api, `guess ${count}`)).status, 400);
    }
    const refused = await exchange(api, code);
    assert.equal(refused.status, 429);
    assert.ok(Number(refused.fields.get("retry-after")) > 0);
    assert.equal(api.audited.at(-1)?.event, "excess_rate_limit_exceeded");
  },
);

onApi("cli login: denying tells the command line, and the consent is over", async ({ api }) => {
  const consent = consentIn(await page(api));
  const denied = await decide(api, consent, "deny");
  assert.equal(denied.status, 303);
  assert.equal(denied.fields.get("location"), `${REDIRECT}?error=access_denied&state=${STATE}`);
  assert.equal((await decide(api, consent)).status, 400);
});

onApi("cli login: a consent is good once, in its own session, for ten minutes", async (on) => {
  const { api, store, clock } = on;
  const consent = consentIn(await page(api));
  api.signIn("bob", await person(store, "bob"));
  api.signIn("ann-elsewhere", on.ann);
  for (const other of ["bob", "ann-elsewhere", "nobody"]) {
    const answer = await decide(api, consent, "allow", [cookie(other), ...SAME_ORIGIN]);
    assert.equal(answer.status, 400, other);
    assert.match(answer.body.toString(), /cli_login_over/);
    assert.equal(answer.fields.has("location"), false);
  }
  assert.equal((await decide(api, consent)).status, 303);
  assert.equal((await decide(api, consent)).status, 400);
  const late = consentIn(await page(api));
  clock.advance(CLI_LOGIN_LIMITS.consentTtlMs);
  assert.equal((await decide(api, late)).status, 400);
});

onApi("cli login: a form of another site allows nothing and is audited", async ({ api }) => {
  const consent = consentIn(await page(api));
  const cases = [
    [],
    ["Origin: http://127.0.0.1:3721"],
    ["Sec-Fetch-Site: same-origin"],
    ["Origin: null", "Sec-Fetch-Site: same-origin"],
    ["Origin: https://evil.example", "Sec-Fetch-Site: cross-site"],
    ["Origin: http://127.0.0.1:3721", "Sec-Fetch-Site: same-site"],
    ["Origin: http://127.0.0.1:3722", "Sec-Fetch-Site: same-origin"],
  ];
  for (const lines of cases) {
    const answer = await decide(api, consent, "allow", [cookie("ann"), ...lines]);
    assert.equal(answer.status, 403, lines.join());
    assert.equal(api.audited.at(-1)?.event, "malicious_csrf");
  }
  assert.equal(api.audited.length, cases.length);
  assert.equal((await decide(api, consent)).status, 303);
});

onApi(
  "cli login: forged forms and guesses beyond the limit do not fill the audit log",
  async ({ api }) => {
    const consent = consentIn(await page(api));
    for (let count = 0; count < 100; count++) {
      assert.equal((await decide(api, consent, "allow", ["Origin: null"])).status, 403);
    }
    assert.equal(api.audited.length, 60);
    for (let count = 0; count < 100; count++) await exchange(api, `guess ${count}`);
    const names = api.audited.map(({ event }) => event);
    assert.equal(names.filter((name) => name === "authn_login_fail").length, 60);
    assert.equal(names.filter((name) => name === "excess_rate_limit_exceeded").length, 1);
  },
);

onApi("cli login: nobody signed in is sent to the sign-in, and comes back", async ({ api }) => {
  for (const lines of [[], [cookie("nobody")]]) {
    const answer = await page(api, { scope: "devices:read tunnel:use" }, lines);
    assert.equal(answer.status, 303);
    const location = new URL(answer.fields.get("location") ?? "");
    assert.equal(location.origin + location.pathname, "http://127.0.0.1:3721/api/auth/login");
    assert.equal(location.searchParams.has("reauth"), false);
    const back = location.searchParams.get("return_to") ?? "";
    assert.match(back, /^\/cli-login\?[\x21-\x7e]+$/);
    const again = new URL(back, "http://127.0.0.1:3721").searchParams;
    assert.deepEqual(Object.fromEntries(again), { ...ASKED, scope: "devices:read tunnel:use" });
  }
});

onApi("cli login: a sign-in of more than 15 minutes ago is renewed first", async (on) => {
  const { api, store, ann, clock } = on;
  api.signIn("ann", ann, store.now() - 15 * MINUTE_MS);
  const consent = consentIn(await page(api));
  clock.advance(1);
  const answer = await page(api);
  assert.equal(answer.status, 303);
  assert.equal(new URL(answer.fields.get("location") ?? "").searchParams.get("reauth"), "1");
  const refused = await decide(api, consent);
  assert.equal(refused.status, 403);
  assert.match(refused.body.toString(), /reauth_required/);
});

onApi("cli login: a person gives what their role has, and no more", async (on) => {
  const { api, store } = on;
  const asAnn = await page(api, { scope: "audit:read devices:read" });
  assert.match(asAnn.body.toString(), /not yours to give: <code>audit:read<\/code>/);
  const made = problem(
    await exchange(api, await codeOf(api, { scope: "audit:read devices:read" })),
  );
  assert.deepEqual(made["scopes"], ["devices:read"]);
  for (const scope of ["audit:read", "everything", " "]) {
    const answer = await page(api, { scope });
    assert.equal(answer.status, 400, scope);
    assert.match(answer.body.toString(), /cli_login_invalid/);
  }
  api.signIn("ann", await person(store, "eve", undefined, { role: "admin" }));
  const all = problem(await exchange(api, await codeOf(api)));
  assert.equal((all["scopes"] as string[]).includes("audit:read"), true);
});

onApi("cli login: what does not fit is refused by a page, and nothing is kept", async (on) => {
  const { api, store } = on;
  const cases: readonly Record<string, string>[] = [
    { redirect_uri: "https://evil.example/callback" },
    { code_challenge_method: "plain" },
    { code_challenge: "short" },
    { state: "short" },
    { name: "two\nlines" },
    { name: "" },
    { name: "x".repeat(65) },
    { days: "0" },
    { days: "367" },
  ];
  for (const over of cases) {
    const answer = await page(api, over);
    assert.equal(answer.status, 400, JSON.stringify(over));
    assert.equal(answer.fields.has("location"), false);
  }
  assert.equal((await page(api, { name: "x".repeat(64), days: "366" })).status, 200);
  const rows = await store.query.selectFrom("cliLogins").select("name").execute();
  assert.equal(rows.length, 1);
});

onApi("cli login: a name cannot add to the page", async ({ api }) => {
  const html = (await page(api, { name: `<script>"'&` })).body.toString();
  assert.ok(!html.includes("<script>"));
  assert.match(html, /&#60;script&#62;&#34;&#39;&#38;/);
});

onApi("cli login: at the limit of keys a person is told so", async (on) => {
  const { api } = on;
  for (let count = 0; count < KEYS_PER_USER_MAX; count++) {
    assert.equal((await exchange(api, await codeOf(api))).status, 201);
  }
  const answer = await exchange(api, await codeOf(api));
  assert.deepEqual([answer.status, problem(answer)["code"]], [409, "keys_per_user"]);
});

onApi("cli login: a user disabled between consent and exchange gets no key", async (on) => {
  const { api, store, ann } = on;
  const code = await codeOf(api);
  await store.query
    .updateTable("users")
    .set({ disabledAt: store.now() })
    .where("id", "=", ann.id)
    .execute();
  assert.equal((await exchange(api, code)).status, 400);
});

onApi("cli login: who stopped being an administrator meanwhile gets a member's key", async (on) => {
  const { api, store } = on;
  const eve = await person(store, "eve", undefined, { role: "admin" });
  api.signIn("ann", eve);
  const both = await codeOf(api, { scope: "audit:read devices:read" });
  const one = await codeOf(api, { scope: "audit:read" });
  await setUserRole(store, eve.tenant, eve.id, "member");
  assert.deepEqual(problem(await exchange(api, both))["scopes"], ["devices:read"]);
  const refused = await exchange(api, one);
  assert.deepEqual([refused.status, problem(refused)["code"]], [403, "insufficient_role"]);
});

onApi("own key: a key says whose it is, and revokes itself and nothing else", async (on) => {
  const { api, store, ann } = on;
  const first = problem(await exchange(api, await codeOf(api)));
  const second = problem(await exchange(api, await codeOf(api, { name: "second" })));
  const mine = [bearer(String(first["key"]))];
  const who = problem(await api.send("GET /api/whoami", mine));
  assert.deepEqual(
    [who["kind"], who["ref"], who["role"], who["user"]],
    ["key", first["ref"], "member", { id: ann.id, email: "ann@example.org", name: "ann" }],
  );
  assert.ok(!JSON.stringify(who).includes(String(first["key"])));
  assert.equal((await api.send("DELETE /api/key", mine)).status, 204);
  assert.deepEqual(api.announced, [{ revoked: [first["ref"]] }]);
  const entry = api.audited.at(-1);
  assert.deepEqual([entry?.event, entry?.objectId], ["key_revoked", first["ref"]]);
  assert.equal((await api.send("GET /api/whoami", mine)).status, 401);
  const other = problem(await api.send("GET /api/whoami", [bearer(String(second["key"]))]));
  assert.deepEqual(other["key"], {
    name: "second",
    expires_at: new Date(store.now() + 90 * 86_400_000).toISOString(),
  });
  const csrf = [cookie("ann"), "X-Hawser-CSRF: 1"];
  assert.equal((await api.send("DELETE /api/key", csrf)).status, 404);
});

onApi("cli login: two answers to one consent at once give one code", async (on) => {
  const { api, store, ann } = on;
  const consent = consentIn(await page(api));
  const answers = await Promise.all([decide(api, consent), decide(api, consent)]);
  assert.deepEqual(answers.map(({ status }) => status).sort(), [303, 400]);
  const again = await approveCliLogin(store, ann.tenant, ann.id, {
    consentDigest: digestOf(consent),
    sessionKey: digestOf("ann"),
    codeDigest: digestOf("another"),
  });
  assert.equal(again, null);
});

test("cli login: the only redirects are to loopback by number, with a port and a plain path", () => {
  for (const good of [
    "http://127.0.0.1:1/",
    "http://127.0.0.1:65535/callback",
    "http://[::1]:8080/callback",
  ]) {
    assert.ok(isLoopbackRedirect(good), good);
  }
  for (const bad of [
    "http://localhost:8080/callback",
    "https://127.0.0.1:8080/callback",
    "http://127.0.0.1/callback",
    "http://127.0.0.1:0/callback",
    "http://127.0.0.1:65536/callback",
    "http://127.0.0.1:08/callback",
    "http://127.0.0.1:8080",
    "http://127.0.0.1:8080//evil.example",
    "http://127.0.0.1:8080/callback?x=1",
    "http://127.0.0.1:8080/callback#x",
    "http://127.0.0.1:8080/a/../b",
    "http://127.0.0.1:8080/callback\n",
    " http://127.0.0.1:8080/callback",
    "http://127.0.0.1:8080@evil.example/",
    "http://user@127.0.0.1:8080/",
    "http://127.1:8080/",
    "http://127.0.0.2:8080/",
    "http://0.0.0.0:8080/",
    "http://[::]:8080/",
    "http://[::ffff:127.0.0.1]:8080/",
    "http://127.0.0.1.evil.example:8080/",
    "javascript:alert(1)",
    "",
  ]) {
    assert.ok(!isLoopbackRedirect(bad), bad);
  }
});
