/** Signing in and out by HTTP at a real provider, with a browser that holds the rules of cookies. */
import assert from "node:assert/strict";
import test, { type TestContext } from "node:test";
import type { OidcOptions } from "../../../../src/api/oidc/index.ts";
import { type AuthRig, startAuth } from "../../../support/api/auth-rig.ts";
import type { Browser, Page } from "../../../support/api/browser.ts";
import { RecordingLog, realTime } from "../../../support/oidc/ports.ts";
import { type RealIdp, startRealIdp, UserAgent } from "../../../support/oidc/real-idp.ts";
import { CLIENT_SECRET } from "../../../support/oidc/rig.ts";

const CONFIDENTIAL: OidcOptions = {
  oidcClientId: "confidential",
  oidcClientAuth: "client_secret_basic",
  oidcClientSecret: CLIENT_SECRET,
};
const PUBLIC: OidcOptions = { oidcClientId: "public", oidcClientAuth: "none" };

interface World {
  readonly idp: RealIdp;
  readonly it: AuthRig;
  /** Bodies of token requests. */
  readonly tokenRequests: {
    readonly form: URLSearchParams;
    readonly authorization: string | null;
  }[];
}

async function world(t: TestContext, oidc: OidcOptions): Promise<World> {
  const idp = await startRealIdp(t);
  const tokenRequests: World["tokenRequests"] = [];
  const capture = async (url: string, init: RequestInit): Promise<Response> => {
    const request = new Request(url, init);
    if (new URL(url).pathname === "/token") {
      const form = new URLSearchParams(await request.clone().text());
      tokenRequests.push({ form, authorization: request.headers.get("authorization") });
    }
    return await fetch(request);
  };
  const ports = { clock: realTime, timers: realTime, log: new RecordingLog(), fetch: capture };
  const it = await startAuth(t, { issuer: idp.issuer, ports, oidc });
  idp.backchannel.receive = async (type, body) => {
    const headers = { "content-type": type ?? "" };
    return (await it.post("/api/auth/backchannel-logout", body.toString(), headers)).status;
  };
  return { idp, it, tokenRequests };
}

/** Signs a person in; ends at the page that the person wanted. */
async function signIn(
  { it, idp }: World,
  browser: Browser,
  agent: UserAgent,
  login: string,
): Promise<Page> {
  const start = await browser.step(it.url("/api/auth/login?return_to=/"));
  assert.equal(start.status, 303);
  const callback = await agent.signIn(start.headers.location ?? "", login);
  return await browser.navigate(callback.href, { from: idp.issuer });
}

for (const [name, oidc] of [
  ["confidential", CONFIDENTIAL],
  ["public", PUBLIC],
] as const) {
  test(`real provider: a ${name} client signs a person in and out`, async (t) => {
    const at = await world(t, oidc);
    const { it, idp } = at;
    const browser = it.browser();
    const agent = new UserAgent(idp.issuer);
    const page = await signIn(at, browser, agent, "ada");
    assert.equal(page.status, 200);
    assert.match(page.body, /signed in as Name of ada, ada@example\.org/);
    const me = await browser.fetch(it.url("/api/auth/me"), { from: it.baseUrl });
    assert.equal(me.status, 200);
    const { user, tenant } = JSON.parse(me.body);
    assert.equal(user.name, "Name of ada");
    assert.match(tenant, /^u:[A-Za-z0-9_-]{43}$/);
    const [request] = at.tokenRequests;
    assert.equal(request?.form.get("redirect_uri"), it.url("/api/auth/callback"));
    assert.equal(request?.authorization?.startsWith("Basic ") ?? false, name === "confidential");
    assert.equal(request?.form.has("client_secret"), false);

    const former = browser.copy();
    const continued = await browser.submitStep(it.url("/api/auth/logout"), it.baseUrl);
    assert.equal(continued.status, 303);
    const atIdp = await browser.step(continued.headers.location ?? "", { from: it.baseUrl });
    assert.equal(new URL(atIdp.headers.location ?? "").origin, idp.issuer);
    const landed = await agent.signOut(atIdp.headers.location ?? "");
    const last = await browser.navigate(landed.href, { from: idp.issuer });
    assert.match(last.body, /Signed out/);
    assert.deepEqual(browser.cookiesFor(it.baseUrl), []);
    const replay = await former.fetch(it.url("/api/auth/me"), { from: it.baseUrl });
    assert.equal(replay.status, 401);
  });
}

test("real provider: signing out there ends the session here", async (t) => {
  const at = await world(t, CONFIDENTIAL);
  const { it, idp } = at;
  const browser = it.browser();
  const agent = new UserAgent(idp.issuer);
  await signIn(at, browser, agent, "ada");
  const others = it.browser();
  await signIn(at, others, new UserAgent(idp.issuer), "bob");
  const end = await it.auth.party.endSession(null);
  await agent.signOut(end?.url.reveal() ?? "");
  const statuses = [browser, others].map(
    async (each) => (await each.fetch(it.url("/api/auth/me"), { from: it.baseUrl })).status,
  );
  assert.deepEqual(await Promise.all(statuses), [401, 200]);
  assert.ok(it.events().includes("bcl_received"));
});

test("real provider: a person proves again who they are", async (t) => {
  const at = await world(t, CONFIDENTIAL);
  const { it, idp } = at;
  const browser = it.browser();
  const agent = new UserAgent(idp.issuer);
  await signIn(at, browser, agent, "ada");
  const start = await browser.step(it.url("/api/auth/login?reauth=1&return_to=/"));
  const callback = await agent.signIn(start.headers.location ?? "", "ada");
  const page = await browser.navigate(callback.href, { from: idp.issuer });
  assert.match(page.body, /Name of ada/);
  assert.equal(it.events().at(-1), "session_renewed");
});
