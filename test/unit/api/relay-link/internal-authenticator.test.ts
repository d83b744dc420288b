import assert from "node:assert/strict";
import test from "node:test";
import { InternalAuthenticator } from "../../../../src/api/relay-link/index.ts";

const SECRET = "an-internal-secret-of-a-test-0c9d1a";

test("internal authenticator: the whole secret, as a bearer, and nothing else", () => {
  const authenticator = new InternalAuthenticator(SECRET);
  const verdict = authenticator.authenticate({ kind: "bearer", token: SECRET });
  assert.equal(verdict.ok && verdict.principal.kind, "internal");
  for (const token of ["", SECRET.slice(0, -1), `${SECRET}x`, SECRET.toUpperCase(), "garbage"]) {
    assert.equal(authenticator.authenticate({ kind: "bearer", token }).ok, false, token);
  }
  assert.equal(authenticator.authenticate({ kind: "cookie", value: SECRET }).ok, false);
});

test("internal authenticator: there is none without a secret", () => {
  assert.throws(() => new InternalAuthenticator(""));
});
