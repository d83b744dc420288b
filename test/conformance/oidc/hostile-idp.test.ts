/** A provider, or somebody in its place, that does what it must not. */
import assert from "node:assert/strict";
import test from "node:test";
import type { OidcErrorCode } from "../../../src/api/oidc/index.ts";
import { makeKey, publicKeys, sign, signRaw } from "../../support/oidc/keys.ts";
import { rejected, rig } from "../../support/oidc/rig.ts";
import {
  type Answer,
  type Claims,
  hang,
  json,
  plain,
  reset,
} from "../../support/oidc/scripted-idp.ts";

test("hostile: keys that a token brings itself are not used, nor fetched", async (t) => {
  const attacker = makeKey();
  const [jwk] = publicKeys([attacker]).keys;
  const { refused, idp } = await rig(t);
  const [published] = idp.keys;
  const trap = `${idp.issuer}/trap`;
  for (const header of [{ jwk }, { jku: trap }, { x5u: trap }, { x5c: ["AAAA"] }]) {
    idp.script.idToken = (claims) => sign(claims, attacker, { kid: published?.kid, ...header });
    await refused("ERR_OIDC_ID_TOKEN_INVALID");
  }
  assert.equal(idp.hits("/trap"), 0);
});

test("hostile: a header with crit is refused, though the signature is right", async (t) => {
  const { refused, idp } = await rig(t);
  const [key] = idp.keys;
  assert.ok(key !== undefined);
  for (const extra of [{ crit: ["exp"], exp: 1 }, { crit: ["b64"], b64: true }, { crit: [] }]) {
    const header = { alg: "RS256", kid: key.kid, ...extra };
    idp.script.idToken = (claims) => signRaw(header, claims, key);
    await refused("ERR_OIDC_ID_TOKEN_INVALID");
  }
});

test("hostile: a symmetric key in the published set is not used", async (t) => {
  const { refused, idp } = await rig(t);
  idp.script.jwks = () => ({ keys: [{ kty: "oct", k: "AAAA", kid: "key-1", alg: "RS256" }] });
  await refused("ERR_OIDC_KEY_UNKNOWN");
});

const KEY_ANSWERS: readonly {
  readonly name: string;
  readonly answer: Answer;
  readonly code: OidcErrorCode;
}[] = [
  {
    name: "a redirect to the metadata service of a cloud",
    answer: plain(302, "", { location: "http://169.254.169.254/latest/meta-data" }),
    code: "ERR_OIDC_IDP_RESPONSE",
  },
  {
    name: "a body of 50 MB",
    answer: (response) => endless(response, 50),
    code: "ERR_OIDC_IDP_RESPONSE",
  },
  { name: "HTML", answer: plain(200, "<html>"), code: "ERR_OIDC_IDP_RESPONSE" },
  {
    name: "JSON that is none",
    answer: plain(200, "{", { "content-type": "application/json" }),
    code: "ERR_OIDC_IDP_RESPONSE",
  },
  {
    name: "an array",
    answer: (response) => json(response, 200, []),
    code: "ERR_OIDC_IDP_RESPONSE",
  },
  {
    name: "no keys",
    answer: (response) => json(response, 200, { keys: [] }),
    code: "ERR_OIDC_KEY_UNKNOWN",
  },
  {
    name: "keys that are none",
    answer: (response) => json(response, 200, { keys: [1, null, {}] }),
    code: "ERR_OIDC_KEY_UNKNOWN",
  },
  { name: "500", answer: plain(500, "no"), code: "ERR_OIDC_IDP_RESPONSE" },
];

for (const { name, answer, code } of KEY_ANSWERS) {
  test(`hostile: for keys it sends ${name}`, async (t) => {
    const { refused, signIn, idp, time } = await rig(t);
    idp.script.answers.set("/jwks", answer);
    assert.equal((await refused(code)).row.status, 502);
    idp.script.answers.delete("/jwks");
    time.advance(5_000);
    await signIn();
  });
}

const TOKEN_ANSWERS: readonly {
  readonly name: string;
  readonly answer: Answer;
  readonly code: OidcErrorCode;
  readonly status: number;
}[] = [
  { name: "a reset", answer: reset, code: "ERR_OIDC_IDP_UNREACHABLE", status: 503 },
  {
    name: "500 with HTML",
    answer: plain(500, "<html>"),
    code: "ERR_OIDC_IDP_RESPONSE",
    status: 502,
  },
  {
    name: "200 with HTML",
    answer: plain(200, "<html>"),
    code: "ERR_OIDC_IDP_RESPONSE",
    status: 502,
  },
  {
    name: "a redirect",
    answer: plain(302, "", { location: "/trap" }),
    code: "ERR_OIDC_IDP_RESPONSE",
    status: 502,
  },
  {
    name: "{}",
    answer: (response) => json(response, 200, {}),
    code: "ERR_OIDC_IDP_RESPONSE",
    status: 502,
  },
  {
    name: "JSON that is none",
    answer: plain(200, "{", { "content-type": "application/json" }),
    code: "ERR_OIDC_IDP_RESPONSE",
    status: 502,
  },
  {
    name: "1 MiB",
    answer: (response) => endless(response, 1),
    code: "ERR_OIDC_IDP_RESPONSE",
    status: 502,
  },
  {
    name: "invalid_grant",
    answer: failure("invalid_grant"),
    code: "ERR_OIDC_CODE_REFUSED",
    status: 400,
  },
  {
    name: "invalid_client",
    answer: failure("invalid_client", 401),
    code: "ERR_OIDC_CLIENT_REFUSED",
    status: 500,
  },
  {
    name: "401 with a challenge",
    answer: plain(401, "", { "www-authenticate": 'Basic realm="idp"' }),
    code: "ERR_OIDC_CLIENT_REFUSED",
    status: 500,
  },
  {
    name: "unauthorized_client",
    answer: failure("unauthorized_client"),
    code: "ERR_OIDC_CLIENT_REFUSED",
    status: 500,
  },
  {
    name: "an error that nobody knows",
    answer: failure("<script>"),
    code: "ERR_OIDC_IDP_RESPONSE",
    status: 502,
  },
];

for (const { name, answer, code, status } of TOKEN_ANSWERS) {
  test(`hostile: to the token request it answers ${name}; one request, and the next sign-in works`, async (t) => {
    const { refused, signIn, idp } = await rig(t);
    idp.script.answers.set("/token", answer);
    assert.equal((await refused(code)).row.status, status);
    assert.equal(idp.hits("/token"), 1);
    assert.equal(idp.hits("/trap"), 0);
    idp.script.answers.delete("/token");
    await signIn();
  });
}

test("hostile: a token request that gets no answer ends after 5 s and is not repeated", async (t) => {
  const { refused, signIn, idp, time } = await rig(t);
  idp.script.answers.set("/token", hang);
  const arrival = idp.arrival("/token");
  const outcome = refused("ERR_OIDC_IDP_TIMEOUT");
  await arrival;
  time.advance(5_000);
  assert.equal((await outcome).row.status, 504);
  assert.equal(idp.hits("/token"), 1);
  idp.script.answers.delete("/token");
  await signIn();
});

test("hostile: an answer of 256 KiB is taken, one byte more is not", async (t) => {
  const { refused, signIn, idp } = await rig(t);
  const whole = (bytes: number): Answer => {
    const body = JSON.stringify(idp.script.userinfo);
    return plain(200, body.padEnd(bytes), { "content-type": "application/json" });
  };
  idp.script.answers.set("/userinfo", whole(262_144));
  await signIn();
  idp.script.answers.set("/userinfo", whole(262_145));
  assert.equal((await refused("ERR_OIDC_IDP_RESPONSE")).rule, "too_large");
});

test("hostile: a body that trickles ends after 5 s too", async (t) => {
  const { refused, idp, time } = await rig(t);
  idp.script.answers.set("/token", (response) => {
    response.writeHead(200, { "content-type": "application/json" });
    response.write("{");
  });
  const arrival = idp.arrival("/token");
  const outcome = refused("ERR_OIDC_IDP_TIMEOUT");
  await arrival;
  time.advance(5_000);
  await outcome;
});

test("hostile: a GET whose connection breaks is tried once more, and no oftener", async (t) => {
  const { signIn, refused, idp, time } = await rig(t);
  let failures = 1;
  idp.script.answers.set("/userinfo", (response) => {
    if (failures-- > 0) reset(response);
    else json(response, 200, idp.script.userinfo);
  });
  await signIn();
  assert.equal(idp.hits("/userinfo"), 2);
  failures = 2;
  time.advance(30_000);
  await refused("ERR_OIDC_IDP_UNREACHABLE");
  assert.equal(idp.hits("/userinfo"), 4);
});

test("hostile: after five failures it is left alone, and asked again after 10 s", async (t) => {
  const { refused, signIn, idp, time, party } = await rig(t);
  await signIn();
  idp.script.answers.set("/token", plain(503, "no"));
  for (let round = 0; round < 5; round++) await refused("ERR_OIDC_IDP_RESPONSE");
  const hits = idp.requests.length;
  const error = await refused("ERR_OIDC_IDP_CIRCUIT");
  assert.equal(error.row.status, 503);
  assert.equal(error.row.retryAfter, 30);
  assert.equal(idp.requests.length, hits, "nothing was sent");
  assert.equal(party.state, "stale");
  idp.script.answers.delete("/token");
  time.advance(10_000);
  await signIn();
  assert.equal(party.state, "up");
});

const USERINFO_ANSWERS: readonly {
  readonly name: string;
  readonly answer: Answer;
  readonly code: OidcErrorCode;
}[] = [
  {
    name: "401 with a challenge",
    answer: plain(401, "", { "www-authenticate": 'Bearer error="invalid_token"' }),
    code: "ERR_OIDC_USERINFO_REFUSED",
  },
  { name: "500", answer: plain(500, ""), code: "ERR_OIDC_IDP_RESPONSE" },
  {
    name: "a JWT that nobody signed",
    answer: plain(200, "eyJhbGciOiJub25lIn0.eyJzdWIiOiJzdWJqZWN0LTEifQ.", {
      "content-type": "application/jwt",
    }),
    code: "ERR_OIDC_IDP_RESPONSE",
  },
  {
    name: "no sub",
    answer: (response) => json(response, 200, { name: "Eve" }),
    code: "ERR_OIDC_IDP_RESPONSE",
  },
];

for (const { name, answer, code } of USERINFO_ANSWERS) {
  test(`hostile: for user information it sends ${name}`, async (t) => {
    const { refused, idp } = await rig(t);
    idp.script.answers.set("/userinfo", answer);
    assert.equal((await refused(code)).row.status, 502);
  });
}

test("hostile: user information cannot replace a claim of the ID token", async (t) => {
  const { signIn, idp } = await rig(t, { oidcTenantClaim: "org" });
  idp.script.claims = { org: "tenant-a", sid: "signed-sid" };
  idp.script.userinfo = {
    sub: "subject-1",
    name: "Ada",
    org: "tenant-b",
    sid: "other",
    auth_time: 1,
  };
  const { identity } = await signIn();
  assert.equal(identity.tenant, "tenant-a");
  assert.equal(identity.sid, "signed-sid");
});

test("hostile: a provider that ignores prompt=login does not pass for a new sign-in", async (t) => {
  const { begin, browser, party, idp, time } = await rig(t);
  const finish = async (authTime: number | undefined): Promise<void> => {
    const url = await begin("/", true);
    assert.equal(new URL(url).searchParams.get("prompt"), "login");
    assert.equal(new URL(url).searchParams.get("max_age"), "0");
    idp.script.claims = { auth_time: authTime };
    await party.signIn.finish(idp.authorize(url), browser);
  };
  await rejected(() => finish(time.epochSec() - 31), "ERR_OIDC_REAUTH_STALE");
  await rejected(() => finish(time.epochSec() - 3_600), "ERR_OIDC_REAUTH_STALE");
  await rejected(() => finish(undefined), "ERR_OIDC_REAUTH_STALE");
  await finish(time.epochSec() - 29);
  await finish(time.epochSec());
});

function failure(error: string, status = 400): Answer {
  const body: Claims = { error, error_description: "canary-description-41d0" };
  return (response) => json(response, status, body);
}

/** So many MiB of JSON, as fast as they are taken. */
function endless(response: Parameters<Answer>[0], mebibytes: number): void {
  response.writeHead(200, { "content-type": "application/json" });
  const piece = Buffer.alloc(65_536, 0x20);
  let left = mebibytes * 16;
  const write = (): void => {
    while (left-- > 0) if (!response.write(piece)) return;
    response.end("{}");
  };
  response.on("drain", write);
  write();
}
