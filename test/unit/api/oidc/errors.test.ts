import assert from "node:assert/strict";
import test from "node:test";
import { errors } from "jose";
import { AuthorizationResponseError, ClientError, ResponseBodyError } from "openid-client";
import {
  OIDC_ERRORS,
  OidcError,
  type OidcErrorCode,
  toOidcError,
} from "../../../../src/api/oidc/index.ts";

const CAUSE = "canary-cause-8f02";

/** Code of the library, ours, status. */
const LIBRARY: readonly (readonly [string, OidcErrorCode, number])[] = [
  ["OAUTH_INVALID_RESPONSE", "ERR_OIDC_ID_TOKEN_INVALID", 400],
  ["OAUTH_UNSUPPORTED_OPERATION", "ERR_OIDC_ID_TOKEN_INVALID", 400],
  ["OAUTH_JWT_CLAIM_COMPARISON_FAILED", "ERR_OIDC_CLAIM_MISMATCH", 400],
  ["OAUTH_JWT_TIMESTAMP_CHECK_FAILED", "ERR_OIDC_TOKEN_TIME", 400],
  ["OAUTH_KEY_SELECTION_FAILED", "ERR_OIDC_KEY_UNKNOWN", 502],
  ["OAUTH_RESPONSE_IS_NOT_CONFORM", "ERR_OIDC_IDP_RESPONSE", 502],
  ["OAUTH_RESPONSE_IS_NOT_JSON", "ERR_OIDC_IDP_RESPONSE", 502],
  ["OAUTH_PARSE_ERROR", "ERR_OIDC_IDP_RESPONSE", 502],
  ["OAUTH_TIMEOUT", "ERR_OIDC_IDP_TIMEOUT", 504],
  ["OAUTH_ABORT", "ERR_OIDC_IDP_TIMEOUT", 504],
  ["OAUTH_HTTP_REQUEST_FORBIDDEN", "ERR_OIDC_METADATA", 502],
  ["OAUTH_MISSING_SERVER_METADATA", "ERR_OIDC_METADATA", 502],
  ["OAUTH_JSON_ATTRIBUTE_COMPARISON_FAILED", "ERR_OIDC_USERINFO_SUBJECT", 400],
  ["SOMETHING_ELSE", "ERR_OIDC_INTERNAL", 500],
];

for (const [code, ours, status] of LIBRARY) {
  test(`errors: ${code} becomes ${ours}, ${status}`, () => {
    const mapped = toOidcError(
      Object.assign(new ClientError(CAUSE, { cause: new Error(CAUSE) }), { code }),
    );
    assert.equal(mapped.code, ours);
    assert.equal(mapped.row.status, status);
    assertSaysNothing(mapped);
  });
}

test("errors: those of jose are mapped", () => {
  assert.equal(
    toOidcError(new errors.JWSSignatureVerificationFailed()).code,
    "ERR_OIDC_ID_TOKEN_INVALID",
  );
  assert.equal(toOidcError(new errors.JOSEAlgNotAllowed()).code, "ERR_OIDC_ID_TOKEN_INVALID");
  assert.equal(toOidcError(new errors.JWKSNoMatchingKey()).code, "ERR_OIDC_KEY_UNKNOWN");
  assert.equal(toOidcError(new errors.JWKSMultipleMatchingKeys()).code, "ERR_OIDC_KEY_UNKNOWN");
  const expired = new errors.JWTExpired(CAUSE, { sub: CAUSE }, "exp", "check_failed");
  assert.equal(toOidcError(expired).code, "ERR_OIDC_TOKEN_TIME");
  assertSaysNothing(toOidcError(expired));
});

test("errors: a network that fails is no error of the library", () => {
  const error = new TypeError("fetch failed", {
    cause: Object.assign(new Error(CAUSE), { code: "ECONNREFUSED" }),
  });
  const mapped = toOidcError(error);
  assert.equal(mapped.code, "ERR_OIDC_IDP_UNREACHABLE");
  assert.equal(mapped.row.retryAfter, 30);
  assertSaysNothing(mapped);
});

test("errors: authorization and token errors are mapped by their codes alone", () => {
  const query = new URLSearchParams({ error: "access_denied", error_description: CAUSE });
  const denied = toOidcError(new AuthorizationResponseError(CAUSE, { cause: query }));
  assert.equal(denied.code, "ERR_OIDC_ACCESS_DENIED");
  assertSaysNothing(denied);
  const response = new Response(null, { status: 400 });
  const cause = { error: "invalid_grant", error_description: CAUSE };
  const refused = toOidcError(new ResponseBodyError(CAUSE, { cause, response }));
  assert.equal(refused.code, "ERR_OIDC_CODE_REFUSED");
  assertSaysNothing(refused);
});

test("errors: what nobody expected is 500 and says nothing", () => {
  for (const thrown of [
    new Error(CAUSE),
    new TypeError(CAUSE),
    CAUSE,
    null,
    undefined,
    { code: CAUSE },
  ]) {
    const mapped = toOidcError(thrown);
    assert.equal(mapped.row.status, 500);
    assert.equal(mapped.row.word, "internal");
    assertSaysNothing(mapped);
  }
});

test("errors: our own pass through, wrapped by the library or not", () => {
  const own = new OidcError("ERR_OIDC_IDP_CIRCUIT");
  assert.equal(toOidcError(own), own);
  assert.equal(toOidcError(new ClientError("something went wrong", { cause: own })), own);
});

test("errors: every 503 and no other says when to try again", () => {
  for (const [code, { status, retryAfter }] of Object.entries(OIDC_ERRORS)) {
    assert.equal(retryAfter > 0, status === 503, code);
  }
});

function assertSaysNothing(error: OidcError): void {
  assert.equal(error.cause, undefined);
  assert.ok(!`${error.message}${error.stack}${error.rule}${JSON.stringify(error)}`.includes(CAUSE));
}
