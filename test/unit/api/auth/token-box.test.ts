import assert from "node:assert/strict";
import test from "node:test";
import { readKeyRing } from "../../../../src/api/auth/key-ring.ts";
import { TokenBox } from "../../../../src/api/auth/token-box.ts";
import { keyRing } from "../../../support/api/auth-rig.ts";

function box(text: string): TokenBox {
  const reading = readKeyRing(text);
  assert.ok(reading.ok);
  return new TokenBox(reading.ring);
}

const ring = keyRing("e1");

test("token box: opens what it sealed, and seals nothing twice alike", () => {
  const one = box(ring);
  for (const text of ["", "token", "ä€😀", "x".repeat(100_000)]) {
    const sealed = one.seal("session-tokens", "key", text);
    assert.notEqual(one.seal("session-tokens", "key", text), sealed);
    assert.equal(one.open("session-tokens", "key", sealed), text);
    assert.equal(box(ring).open("session-tokens", "key", sealed), text);
    if (text === "token")
      assert.ok(!Buffer.from(sealed.split(".")[2] ?? "", "base64url").includes(text));
  }
});

test("token box: a sealed text opens in its place and for its purpose alone", () => {
  const one = box(ring);
  const sealed = one.seal("session-tokens", "key-a", "token");
  assert.equal(one.open("session-tokens", "key-b", sealed), null);
  assert.equal(one.open("logout-ticket", "key-a", sealed), null);
  assert.equal(one.open("pending-sign-in", "key-a", sealed), null);
});

test("token box: with any one character changed, cut or added it does not open, and nothing throws", () => {
  const one = box(ring);
  const sealed = one.seal("session-tokens", "key", "token");
  for (let at = 0; at < sealed.length; at++) {
    for (const other of ["A", "b", ".", "=", "é", "\0"]) {
      if (sealed[at] === other) continue;
      const changed = sealed.slice(0, at) + other + sealed.slice(at + 1);
      assert.equal(one.open("session-tokens", "key", changed), null, `${at} ${other}`);
    }
    assert.equal(one.open("session-tokens", "key", sealed.slice(0, at)), null);
  }
  for (const text of [`${sealed}A`, `${sealed}=`, "", "v1.e1.", "v1.__proto__.AAAA"]) {
    assert.equal(one.open("session-tokens", "key", text), null);
  }
});

test("token box: all keys of the ring open, the first one seals, and one that was removed does not", () => {
  const before = box(ring).seal("session-tokens", "key", "token");
  const next = keyRing("e2");
  const both = box(`${next},${ring}`);
  assert.equal(both.open("session-tokens", "key", before), "token");
  assert.match(both.seal("session-tokens", "key", "token"), /^v1\.e2\./);
  assert.equal(box(next).open("session-tokens", "key", before), null);
  assert.equal(box(keyRing("e1")).open("session-tokens", "key", before), null);
});
