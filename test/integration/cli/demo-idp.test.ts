import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import test, { type TestContext } from "node:test";
import { decodeJwt } from "jose";
import { DemoBrowser } from "../../../src/cli/demo-browser.ts";
import { type DemoIdp, startDemoIdp } from "../../../src/cli/demo-idp.ts";

const BASE = "http://127.0.0.1:1";
const CALLBACK = `${BASE}/api/auth/callback`;
const atCallback = (url: string): boolean => url.startsWith(CALLBACK);

async function start(t: TestContext, publicClient = false): Promise<DemoIdp> {
  const idp = await startDemoIdp({ publicBaseUrl: BASE, publicClient });
  t.after(() => idp.close());
  return idp;
}

function startUrl({ issuer, clientId }: DemoIdp, verifier: string): string {
  const query = new URLSearchParams({
    response_type: "code",
    client_id: clientId,
    redirect_uri: CALLBACK,
    scope: "openid profile email",
    state: "state-of-a-test",
    nonce: "nonce-of-a-test",
    code_challenge: createHash("sha256").update(verifier).digest("base64url"),
    code_challenge_method: "S256",
  });
  return `${issuer}/auth?${query}`;
}

/** Signs in as somebody; the answer of the token endpoint. */
async function signIn(idp: DemoIdp, login: string): Promise<{ status: number; id_token?: string }> {
  const verifier = randomBytes(32).toString("base64url");
  const browser = new DemoBrowser();
  const page = await browser.open(startUrl(idp, verifier));
  const last = await browser.submit(page, "login", login, atCallback);
  const code = new URL(last.headers.get("location") ?? "").searchParams.get("code") ?? "";
  const proof = Buffer.from(`${idp.clientId}:${idp.clientSecret}`).toString("base64");
  const response = await fetch(`${idp.issuer}/token`, {
    method: "POST",
    headers: idp.clientSecret === null ? {} : { authorization: `Basic ${proof}` },
    body: new URLSearchParams({
      grant_type: "authorization_code",
      code,
      redirect_uri: CALLBACK,
      code_verifier: verifier,
      ...(idp.clientSecret === null ? { client_id: idp.clientId } : {}),
    }),
  });
  return { status: response.status, ...((await response.json()) as object) };
}

test("demo provider: offers its people, asks for no password and no consent", async (t) => {
  const idp = await start(t);
  const page = await new DemoBrowser().open(startUrl(idp, "v".repeat(43)));
  assert.equal(page.status, 200);
  assert.match(page.body, /value="alice".*value="bob"/);
  const answer = await signIn(idp, "alice");
  assert.equal(answer.status, 200);
  const claims = decodeJwt(answer.id_token ?? "");
  assert.deepEqual(
    [claims.sub, claims.iss, claims.aud, claims["name"], claims["email"]],
    ["alice", idp.issuer, idp.clientId, "Alice (demo)", "alice@example.org"],
  );
});

test("demo provider: takes any name, and no other text", async (t) => {
  const idp = await start(t);
  const answer = await signIn(idp, "carol.of-the_test");
  assert.equal(decodeJwt(answer.id_token ?? "").sub, "carol.of-the_test");
  const browser = new DemoBrowser();
  const page = await browser.open(startUrl(idp, "v".repeat(43)));
  const refused = await browser.submit(page, "login", "<b>x</b>");
  assert.equal(refused.status, 400);
  assert.doesNotMatch(refused.body, /<b>/);
});

test("demo provider: a public client needs no secret", async (t) => {
  const idp = await start(t, true);
  assert.equal(idp.clientSecret, null);
  assert.equal((await signIn(idp, "bob")).status, 200);
});

test("demo provider: a sign-in page that no sign-in led to says so", async (t) => {
  const idp = await start(t);
  const url = `${idp.issuer}/sign-in/nowhere`;
  const posted = await fetch(url, {
    method: "POST",
    body: new URLSearchParams({ login: "alice" }),
  });
  assert.equal(posted.status, 400);
});

test("demo provider: is quiet, and leaves the console as it was", async (t) => {
  const printed: unknown[] = [];
  t.mock.method(console, "warn", (...values: unknown[]) => printed.push(values));
  t.mock.method(console, "info", (...values: unknown[]) => printed.push(values));
  const { warn } = console;
  const idp = await startDemoIdp({ publicBaseUrl: BASE, publicClient: false });
  await signIn(idp, "alice");
  console.warn("something else");
  await idp.close();
  assert.equal(console.warn, warn);
  assert.deepEqual(printed, [["something else"]]);
});
