import assert from "node:assert/strict";
import test, { type TestContext } from "node:test";
import { CliProcess, runCli } from "../../support/cli.ts";
import { MACHINE_SECRET, startRealIdp } from "../../support/oidc/real-idp.ts";

/** What an API server of this provider would be started with. */
function variablesFor(issuer: string): Record<string, string> {
  return {
    HAWSER_PUBLIC_BASE_URL: "http://127.0.0.1:3721",
    HAWSER_OIDC_ISSUER: issuer,
    HAWSER_OIDC_ALLOW_INSECURE: "true",
    HAWSER_OIDC_CLIENT_ID: "hawser",
    HAWSER_OIDC_CLIENT_AUTH: "none",
    HAWSER_SERVICE_CLIENT_ID: "harness",
    HAWSER_SERVICE_CLIENT_SECRET: MACHINE_SECRET,
    HAWSER_SERVICE_CLIENT_SCOPE: "devices:read",
    HAWSER_SERVICE_CLIENT_RESOURCE: "https://hawser.example/api",
  };
}

function serviceToken(t: TestContext, variables: Record<string, string>, ...words: string[]) {
  return runCli(t, ["admin", "service-token", ...words], variables);
}

test("hawser admin service-token: tells of the token, and shows it only when asked to", async (t) => {
  const { issuer, tokenRequests } = await startRealIdp(t);
  const variables = variablesFor(issuer);
  const told = await serviceToken(t, variables);
  assert.equal(told.code, 0, told.stderr);
  assert.match(told.stdout, new RegExp(`^issuer +${issuer}\nclient +harness\n`));
  assert.match(told.stdout, /\nmay +devices:read\nends +20\d\d-.*Z\n/);
  const json = await serviceToken(t, variables, "--json");
  const { token: absent, ...shown } = JSON.parse(json.stdout);
  assert.equal(absent, undefined);
  assert.deepEqual(
    [shown.issuer, shown.client_id, shown.scope],
    [issuer, "harness", "devices:read"],
  );
  assert.ok(Date.parse(shown.expires_at) > Date.now());
  for (const [index, { answer }] of tokenRequests.entries()) {
    const { access_token: token } = JSON.parse(answer);
    assert.ok(token.length > 20 && ![told, json][index]?.stdout.includes(token));
  }
  const printed = JSON.parse((await serviceToken(t, variables, "--json", "--print")).stdout);
  assert.equal(printed.token, JSON.parse(tokenRequests.at(-1)?.answer ?? "").access_token);
});

test("hawser admin service-token: what is wrong is told by exit code and advice, and not with the secret", async (t) => {
  const { issuer } = await startRealIdp(t);
  const variables = variablesFor(issuer);
  const wrong = { ...variables, HAWSER_SERVICE_CLIENT_SECRET: "canary-wrong-secret-18fe77" };
  const refused = await serviceToken(t, wrong);
  assert.equal(refused.code, 1);
  assert.match(
    refused.stderr,
    /^error: The identity provider does not accept .*\nCompare serviceClientId/,
  );
  const asJson = JSON.parse((await serviceToken(t, wrong, "--json")).stderr);
  assert.equal(asJson.error.code, "ERR_OIDC_CLIENT_REFUSED");
  assert.doesNotMatch(refused.stderr + JSON.stringify(asJson), /canary/);

  const { HAWSER_SERVICE_CLIENT_ID: _, HAWSER_SERVICE_CLIENT_SECRET: __, ...none } = variables;
  const unset = await serviceToken(t, none);
  assert.equal(unset.code, 2);
  assert.match(unset.stderr, /^error: HAWSER_SERVICE_CLIENT_ID: is not set/);

  const away = new CliProcess(t, ["admin", "service-token"], {
    ...variables,
    HAWSER_OIDC_ISSUER: "http://127.0.0.1:1",
  });
  const unreachable = await away.finished();
  assert.equal(unreachable.code, 1);
  assert.match(
    unreachable.stderr,
    /cannot be reached.*\nThe provider is http:\/\/127\.0\.0\.1:1\./,
  );
});
