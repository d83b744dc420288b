import assert from "node:assert/strict";
import { createPublicKey, sign, verify } from "node:crypto";
import { test } from "node:test";
import { type NewKeyKind, newPrivateKey } from "../../../src/core/new-private-key.ts";

const KINDS: ReadonlyArray<readonly [kind: NewKeyKind, jwk: Readonly<Record<string, string>>]> = [
  [{ type: "rsa", bits: 2_048 }, { kty: "RSA" }],
  [
    { type: "ec", curve: "P-256" },
    { kty: "EC", crv: "P-256" },
  ],
  [
    { type: "ec", curve: "P-384" },
    { kty: "EC", crv: "P-384" },
  ],
  [
    { type: "ec", curve: "P-521" },
    { kty: "EC", crv: "P-521" },
  ],
  [{ type: "ed25519" }, { kty: "OKP", crv: "Ed25519" }],
];

for (const [kind, jwk] of KINDS) {
  test(`new private key: ${JSON.stringify(kind)} is what was asked for, and new each time`, () => {
    const key = newPrivateKey(kind);
    const exported = key.export({ format: "jwk" });
    assert.deepEqual({ ...exported, ...jwk }, exported);
    if (kind.type === "rsa") assert.equal(key.asymmetricKeyDetails?.modulusLength, kind.bits);
    const digest = kind.type === "ed25519" ? null : "sha256";
    const bytes = Buffer.from("text");
    assert.ok(verify(digest, bytes, createPublicKey(key), sign(digest, bytes, key)));
    assert.notEqual(newPrivateKey(kind).export({ format: "jwk" }).d, exported.d);
  });
}
