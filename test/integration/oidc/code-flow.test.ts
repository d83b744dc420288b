/** The whole flow by HTTP against a real provider. */
import assert from "node:assert/strict";
import test, { type TestContext } from "node:test";
import { inspect } from "node:util";
import { checkOidcOptions, type OidcOptions, RelyingParty } from "../../../src/api/oidc/index.ts";
import {
  MemoryClients,
  MemoryLogouts,
  MemoryPending,
  RecordingLog,
  realTime,
} from "../../support/oidc/ports.ts";
import {
  API_AUDIENCE,
  MACHINE_SECRET,
  type RealIdp,
  startRealIdp,
  UserAgent,
} from "../../support/oidc/real-idp.ts";
import { BASE_URL, CLIENT_SECRET, rejected } from "../../support/oidc/rig.ts";

interface Captured {
  readonly url: string;
  readonly method: string;
  readonly headers: Headers;
  readonly body: string;
  answer: string;
}

interface Flow {
  readonly party: RelyingParty;
  readonly idp: RealIdp;
  readonly agent: UserAgent;
  readonly browser: MemoryPending;
  readonly logouts: MemoryLogouts;
  readonly clients: MemoryClients;
  readonly log: RecordingLog;
  readonly captured: Captured[];
}

async function flow(t: TestContext, options: OidcOptions): Promise<Flow> {
  const idp = await startRealIdp(t);
  const captured: Captured[] = [];
  const log = new RecordingLog();
  const logouts = new MemoryLogouts();
  const clients = new MemoryClients();
  const settings = checkOidcOptions({
    publicBaseUrl: BASE_URL,
    oidcIssuer: idp.issuer,
    oidcAllowInsecure: true,
    apiJwtIssuers: idp.issuer,
    apiJwtAudience: API_AUDIENCE,
    ...options,
  });
  const capture = async (url: string, init: RequestInit): Promise<Response> => {
    const request = new Request(url, init);
    const entry = {
      url,
      method: request.method,
      headers: request.headers,
      body: await request.clone().text(),
      answer: "",
    };
    captured.push(entry);
    const response = await fetch(request);
    entry.answer = await response.clone().text();
    return response;
  };
  const ports = { clock: realTime, timers: realTime, log, fetch: capture };
  const party = new RelyingParty(settings, ports, { logouts, machineClients: clients });
  t.after(() => party.close());
  const agent = new UserAgent(idp.issuer);
  return { party, idp, agent, browser: new MemoryPending(), logouts, clients, log, captured };
}

const CONFIDENTIAL: OidcOptions = {
  oidcClientId: "confidential",
  oidcClientAuth: "client_secret_basic",
  oidcClientSecret: CLIENT_SECRET,
};
const PUBLIC: OidcOptions = { oidcClientId: "public", oidcClientAuth: "none" };

async function signIn(it: Flow, login: string): ReturnType<RelyingParty["signIn"]["finish"]> {
  const url = await it.party.signIn.begin({ returnTo: "/devices", reauth: false }, it.browser);
  const callback = await it.agent.signIn(url, login);
  assert.equal(callback.origin + callback.pathname, `${BASE_URL}/api/auth/callback`);
  return await it.party.signIn.finish(callback.search.slice(1), it.browser);
}

function tokenRequest({ captured }: Flow): Captured {
  const found = captured.filter(({ url }) => new URL(url).pathname === "/token");
  assert.equal(found.length, 1);
  const [request] = found;
  assert.ok(request !== undefined);
  return request;
}

test("code flow: a confidential client signs a person in", async (t) => {
  const it = await flow(t, CONFIDENTIAL);
  const { identity, returnTo, idToken } = await signIn(it, "ada");
  assert.equal(identity.issuer, it.idp.issuer);
  assert.equal(identity.sub, "ada");
  assert.equal(identity.name, "Name of ada");
  assert.equal(identity.email, "ada@example.org");
  assert.ok(identity.sid !== null);
  assert.equal(returnTo, `${BASE_URL}/devices`);
  assert.equal(idToken.reveal().split(".").length, 3);
  const { headers, body } = tokenRequest(it);
  assert.match(headers.get("authorization") ?? "", /^Basic /);
  const form = new URLSearchParams(body);
  assert.deepEqual([...form.keys()].sort(), [
    "code",
    "code_verifier",
    "grant_type",
    "redirect_uri",
  ]);
});

test("code flow: client_secret_post sends the secret in the form and no Authorization", async (t) => {
  const it = await flow(t, {
    oidcClientId: "posting",
    oidcClientAuth: "client_secret_post",
    oidcClientSecret: CLIENT_SECRET,
  });
  assert.equal((await signIn(it, "ada")).identity.sub, "ada");
  const { headers, body } = tokenRequest(it);
  assert.equal(headers.get("authorization"), null);
  assert.equal(new URLSearchParams(body).get("client_secret"), CLIENT_SECRET);
});

test("code flow: a public client sends its id, its verifier and no secret in any form", async (t) => {
  const it = await flow(t, PUBLIC);
  assert.equal((await signIn(it, "ada")).identity.sub, "ada");
  assert.equal(it.party.isPublicClient, true);
  assert.ok(it.log.lines.some((line) => line.includes("public client")));
  const { headers, body } = tokenRequest(it);
  assert.equal(headers.get("authorization"), null);
  const form = new URLSearchParams(body);
  assert.deepEqual([...form.keys()].sort(), [
    "client_id",
    "code",
    "code_verifier",
    "grant_type",
    "redirect_uri",
  ]);
  assert.equal(form.get("client_id"), "public");
  assert.equal(form.get("redirect_uri"), `${BASE_URL}/api/auth/callback`);
});

test("code flow: a wrong secret is our own fault, 500", async (t) => {
  const it = await flow(t, { ...CONFIDENTIAL, oidcClientSecret: "canary-wrong-secret-90ab" });
  const error = await rejected(() => signIn(it, "ada"), "ERR_OIDC_CLIENT_REFUSED");
  assert.equal(error.row.severity, "alarm");
});

test("code flow: a person who signs in again must prove it", async (t) => {
  const it = await flow(t, CONFIDENTIAL);
  await signIn(it, "ada");
  const url = await it.party.signIn.begin({ returnTo: "/", reauth: true }, it.browser);
  const callback = await it.agent.signIn(url, "ada");
  const { identity, reauth } = await it.party.signIn.finish(callback.search.slice(1), it.browser);
  assert.equal(reauth, true);
  assert.ok(identity.authTimeMs !== null);
});

test("code flow: a refresh token comes where it is asked for", async (t) => {
  const it = await flow(t, { ...CONFIDENTIAL, oidcRefresh: true });
  const { refreshToken } = await signIn(it, "ada");
  assert.ok(refreshToken !== null);
  const without = await flow(t, CONFIDENTIAL);
  assert.equal((await signIn(without, "ada")).refreshToken, null);
});

test("logout: signing out at the provider sends a logout token that ends the session", async (t) => {
  const it = await flow(t, CONFIDENTIAL);
  const { identity, idToken } = await signIn(it, "ada");
  it.logouts.sessions.set("mine", { id: "mine", ...identity });
  const statuses: number[] = [];
  it.idp.backchannel.receive = async (type, body) => {
    const { outcome } = await it.party.backchannelLogout.receive(type, body);
    statuses.push(outcome === "applied" ? 200 : 500);
    return 200;
  };
  const end = await it.party.endSession(idToken);
  const landed = await it.agent.signOut(end?.url.reveal() ?? "");
  assert.equal(landed.origin + landed.pathname, `${BASE_URL}/api/auth/logged-out`);
  assert.equal(landed.searchParams.get("state"), end?.state);
  assert.deepEqual(statuses, [200]);
  assert.equal(it.logouts.sessions.size, 0);
});

test("machine tokens: those of a registered client are taken, ID tokens are not", async (t) => {
  const it = await flow(t, CONFIDENTIAL);
  const response = await fetch(`${it.idp.issuer}/token`, {
    method: "POST",
    headers: {
      authorization: `Basic ${Buffer.from(`harness:${MACHINE_SECRET}`).toString("base64")}`,
    },
    body: new URLSearchParams({
      grant_type: "client_credentials",
      resource: API_AUDIENCE,
      scope: "devices:read tunnel:use",
    }),
  });
  const { access_token: token } = (await response.json()) as { access_token: string };
  await rejected(() => it.party.accessTokens.verify(token), "ERR_OIDC_ACCESS_TOKEN_INVALID");
  it.clients.clients.set(`${it.idp.issuer} harness`, { tenant: "t", scopes: ["devices:read"] });
  const principal = await it.party.accessTokens.verify(token);
  assert.equal(principal.clientId, "harness");
  assert.equal(principal.isMachine, true);
  assert.deepEqual(principal.scopes, ["devices:read"]);
  const { idToken } = await signIn(it, "ada");
  const presented = (): Promise<unknown> => it.party.accessTokens.verify(idToken.reveal());
  await rejected(presented, "ERR_OIDC_ACCESS_TOKEN_INVALID");
});

test("canary: no secret, code, verifier or token stands in a log line, an error or what is shown of a result", async (t) => {
  const it = await flow(t, { ...CONFIDENTIAL, oidcRefresh: true });
  const errors: unknown[] = [];
  const secrets = new Set([CLIENT_SECRET]);
  const url = await it.party.signIn.begin({ returnTo: "/", reauth: false }, it.browser);
  const state = new URL(url).searchParams.get("state") ?? "";
  const pending = it.browser.peek(state);
  assert.ok(pending !== null);
  const callback = await it.agent.signIn(url, "ada");
  for (const text of [state, pending.nonce, pending.codeVerifier]) secrets.add(text);
  secrets.add(callback.searchParams.get("code") ?? "");
  const query = callback.search.slice(1);
  const result = await it.party.signIn.finish(query, it.browser);
  const tokens = JSON.parse(tokenRequest(it).answer) as Record<string, unknown>;
  for (const name of ["access_token", "id_token", "refresh_token"])
    secrets.add(String(tokens[name]));

  // What fails, from here on, with each of them in hand.
  const keep = (error: unknown): void => {
    errors.push(error);
  };
  await it.party.signIn.finish(query, it.browser).catch(keep);
  await it.browser.put({ ...pending, nonce: "another-nonce", state });
  await it.party.signIn.finish(query, it.browser).catch(keep);
  await it.browser.put(pending);
  await it.party.signIn.finish(`${query}&code=again`, it.browser).catch(keep);
  const idToken = result.idToken.reveal();
  await it.party.accessTokens.verify(idToken).catch(keep);
  const body = Buffer.from(`logout_token=${idToken}`);
  await it.party.backchannelLogout.receive("application/x-www-form-urlencoded", body).catch(keep);
  const end = await it.party.endSession(result.idToken);
  assert.equal(errors.length, 5);

  assert.equal(secrets.size, 8);
  const shown = [
    ...it.log.lines,
    ...errors.map((error) => inspect(error, { depth: 9, showHidden: true })),
    inspect(result, { depth: 9, showHidden: true }),
    JSON.stringify(result),
    JSON.stringify(it.party.settings),
    inspect(it.party, { depth: 9, showHidden: true }),
    inspect(end?.url, { depth: 9, showHidden: true }),
  ].join("\n");
  assert.ok(it.log.lines.length >= 4);
  for (const secret of secrets) {
    assert.ok(secret.length >= 20);
    assert.ok(!shown.includes(secret), `found one of ${secret.length} characters`);
  }
});
