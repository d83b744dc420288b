/** RFC 6749, section 4.4: the server's own token. */
import assert from "node:assert/strict";
import test, { type TestContext } from "node:test";
import {
  AccessTokens,
  checkOidcOptions,
  checkServiceClient,
  type ServiceClientOptions,
  ServiceTokens,
} from "../../../src/api/oidc/index.ts";
import { ConfigError } from "../../../src/core/errors.ts";
import { MemoryClients, RecordingLog, realTime, TestTime } from "../../support/oidc/ports.ts";
import { API_AUDIENCE, MACHINE_SECRET, startRealIdp } from "../../support/oidc/real-idp.ts";
import { BASE_URL, CLIENT_SECRET, rejected } from "../../support/oidc/rig.ts";
import { json, plain, ScriptedIdp } from "../../support/oidc/scripted-idp.ts";

const SERVICE_SECRET = "canary-service-secret-94be";

function settingsOf(issuer: string, options: ServiceClientOptions) {
  const oidc = checkOidcOptions({
    publicBaseUrl: BASE_URL,
    oidcIssuer: issuer,
    oidcAllowInsecure: true,
    oidcClientId: "hawser",
    oidcClientSecret: CLIENT_SECRET,
    apiJwtIssuers: issuer,
    apiJwtAudience: API_AUDIENCE,
  });
  const service = checkServiceClient(options, oidc);
  assert.ok(service !== null);
  return { oidc, service };
}

/** Tokens `token-1`, `token-2`, … of a scripted provider, each for five minutes. */
async function scripted(t: TestContext, options: ServiceClientOptions = {}) {
  const time = new TestTime();
  const idp = await new ScriptedIdp(time).start(t);
  const log = new RecordingLog();
  const answer: Record<string, unknown> = { token_type: "Bearer", expires_in: 300 };
  let given = 0;
  idp.script.answers.set("/token", (response) => {
    given += 1;
    json(response, 200, { access_token: `token-${given}`, ...answer });
  });
  const { service } = settingsOf(idp.issuer, {
    serviceClientId: "hawser-service",
    serviceClientSecret: SERVICE_SECRET,
    ...options,
  });
  const tokens = new ServiceTokens(service, { clock: time, timers: time, log });
  t.after(() => tokens.close());
  return { time, idp, log, tokens, answer };
}

test("service token: a real provider gives one, which is a machine client's at an API like ours", async (t) => {
  const { issuer } = await startRealIdp(t);
  const { oidc, service } = settingsOf(issuer, {
    serviceClientId: "harness",
    serviceClientSecret: MACHINE_SECRET,
    serviceClientScope: "devices:read",
    serviceClientResource: API_AUDIENCE,
  });
  const log = new RecordingLog();
  const ports = { clock: realTime, timers: realTime, log };
  const tokens = new ServiceTokens(service, ports);
  t.after(() => tokens.close());
  const clients = new MemoryClients();
  clients.clients.set(`${issuer} harness`, { tenant: "t", scopes: ["devices:read"] });
  const accessTokens = new AccessTokens(oidc, ports, clients);
  t.after(() => accessTokens.close());
  const token = await tokens.token();
  const machine = await accessTokens.verify(token);
  assert.equal(machine.clientId, "harness");
  assert.deepEqual(machine.scopes, ["devices:read"]);
  assert.ok(machine.isMachine);
  assert.equal(await tokens.token(), token);
  assert.ok(!log.lines.join().includes(token));
});

test("service token: a real provider that does not know the secret is told as what it is", async (t) => {
  const { issuer } = await startRealIdp(t);
  const { service } = settingsOf(issuer, {
    serviceClientId: "harness",
    serviceClientSecret: "canary-wrong-secret",
  });
  const log = new RecordingLog();
  const tokens = new ServiceTokens(service, { clock: realTime, timers: realTime, log });
  t.after(() => tokens.close());
  await rejected(() => tokens.token(), "ERR_OIDC_CLIENT_REFUSED");
  assert.ok(!log.lines.join().includes("canary"));
});

test("service token: 50 that ask at once make one token request", async (t) => {
  const { idp, tokens } = await scripted(t);
  const given = await Promise.all(Array.from({ length: 50 }, () => tokens.token()));
  assert.deepEqual(new Set(given), new Set(["token-1"]));
  assert.equal(idp.hits("/token"), 1);
});

test("service token: it is the grant of the own client, with its own secret", async (t) => {
  const { idp, tokens } = await scripted(t, { serviceClientScope: "a b" });
  await tokens.token();
  const { authorization, form } = idp.tokenRequest;
  const credentials = `hawser-service:${SERVICE_SECRET}`.replace(/-/g, "%2D");
  assert.equal(authorization, `Basic ${Buffer.from(credentials).toString("base64")}`);
  assert.deepEqual(
    [...form],
    [
      ["scope", "a b"],
      ["grant_type", "client_credentials"],
    ],
  );
});

test("service token: it is kept until a minute before its end", async (t) => {
  const { time, tokens } = await scripted(t);
  assert.equal(await tokens.token(), "token-1");
  time.advance(239_999);
  assert.equal(await tokens.token(), "token-1");
  time.advance(1);
  assert.equal(await tokens.token(), "token-2");
});

test("service token: one without an end, or that ends within a minute, is used once", async (t) => {
  for (const seconds of [undefined, 60, 1]) {
    const { tokens, answer } = await scripted(t);
    answer["expires_in"] = seconds;
    assert.equal(await tokens.token(), "token-1");
    assert.equal(await tokens.token(), "token-2");
  }
});

test("service token: after a 401 it is replaced once, and the second answer stands", async (t) => {
  const { idp, tokens } = await scripted(t);
  const sent: string[] = [];
  const answering = (status: (token: string) => number) => async (token: string) => {
    sent.push(token);
    return { status: status(token) };
  };
  const good = await tokens.send(answering((token) => (token === "token-1" ? 401 : 200)));
  assert.equal(good.status, 200);
  assert.deepEqual(sent, ["token-1", "token-2"]);
  sent.length = 0;
  assert.equal((await tokens.send(answering(() => 401))).status, 401);
  assert.deepEqual(sent, ["token-2", "token-3"]);
  sent.length = 0;
  assert.equal((await tokens.send(answering(() => 403))).status, 403);
  assert.deepEqual(sent, ["token-3"]);
  assert.equal(idp.hits("/token"), 3);
});

test("service token: many that get 401 at once replace it once", async (t) => {
  const { idp, tokens } = await scripted(t);
  await tokens.token();
  const call = async (token: string) => ({ status: token === "token-1" ? 401 : 200 });
  const answers = await Promise.all(Array.from({ length: 20 }, () => tokens.send(call)));
  assert.ok(answers.every(({ status }) => status === 200));
  assert.equal(idp.hits("/token"), 2);
});

test("service token: a failure is not kept, and names neither secret nor token", async (t) => {
  const { idp, log, tokens } = await scripted(t);
  const ordinary = idp.script.answers.get("/token");
  idp.script.answers.set("/token", plain(500, "canary-of-the-provider"));
  await rejected(() => tokens.token(), "ERR_OIDC_IDP_RESPONSE");
  idp.script.answers.set("/token", ordinary ?? plain(500, ""));
  assert.equal(await tokens.token(), "token-1");
  assert.ok(!/canary|token-1/.test(log.lines.join()));
});

test("service token: one that is bound to a key is refused", async (t) => {
  const { tokens, answer } = await scripted(t);
  answer["token_type"] = "DPoP";
  await assert.rejects(tokens.token(), { name: "OidcError" });
});

test("service token: metadata that sends the secret elsewhere over plain HTTP are refused", async (t) => {
  const { idp, tokens } = await scripted(t);
  idp.script.metadata = { token_endpoint: "http://idp.example.org/token" };
  await rejected(() => tokens.token(), "ERR_OIDC_METADATA");
});

test("service client: all that is wrong with its settings is told at once", () => {
  const both = { serviceClientId: "hawser", serviceClientSecret: "changeme" };
  const cases: readonly [ServiceClientOptions, readonly string[]][] = [
    [{ serviceClientId: "a" }, ["serviceClientSecret"]],
    [{ serviceClientSecret: SERVICE_SECRET }, ["serviceClientId"]],
    [{ serviceClientId: " ", serviceClientSecret: SERVICE_SECRET }, ["serviceClientId"]],
    [
      { ...both, serviceClientAuth: "none" },
      ["serviceClientId", "serviceClientSecret", "serviceClientAuth"],
    ],
  ];
  for (const [options, expected] of cases) {
    assert.throws(
      () => settingsOf("http://127.0.0.1:1", options),
      (error) => {
        assert.ok(error instanceof ConfigError);
        assert.deepEqual(
          error.problems.map(({ setting }) => setting),
          expected,
        );
        return !error.message.includes(SERVICE_SECRET);
      },
    );
  }
});
