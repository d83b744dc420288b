import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import {
  digestsEqual,
  formatToken,
  isDeviceId,
  isSecretDigest,
  isTokenRef,
  mintDeviceId,
  mintToken,
  parseToken,
  TOKEN_LENGTH,
  type TokenKind,
} from "../../../src/core/token.ts";

/** Made by another program (Python: zlib.crc32, int.from_bytes, hashlib). */
const KNOWN: { kind: TokenKind; id: string; secret: string; text: string; digest: string }[] = [
  {
    kind: "device",
    id: "00000000",
    secret: "00".repeat(32),
    text: "vAc_00000000_00000000000000000000000000000000000000000000bxKsD",
    digest: "b918b22a1581fedd39058065f00e6aad35bd561f20257151131a1ddcd21803de",
  },
  {
    kind: "key",
    id: "zzzzzzzz",
    secret: "ff".repeat(32),
    text: "hwk_zzzzzzzz_yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp13jVxkN",
    digest: "3b0167f1f41de3789d5785086c07b95c2926ebaf91e83d23d3e405cba9d478df",
  },
  {
    kind: "enrolment",
    id: "7Gk2mP0q",
    secret: "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
    text: "hwe_7Gk2mP0q_003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf2PxLoy",
    digest: "b0bd65ed3119037a4dcbf6b8138eb2f09de18490e98a773a68f9353f0c0331cd",
  },
  {
    kind: "device",
    id: "Dev1ceId",
    secret: "fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0efeeedecebeae9e8e7e6e5e4e3e2e1e0",
    text: "vAc_Dev1ceId_yhgIGB9quGfHP8Y83EcC2im5kZukTeYkpb69aekqK3M1ZKLoc",
    digest: "f0ddd3d0e74d22febc37f4925953e54035b2d7068104ca94d61f64012a23b626",
  },
];

for (const { kind, id, secret, text, digest } of KNOWN) {
  test(`known answer: ${kind} ${id}`, () => {
    const token = formatToken(kind, id, Buffer.from(secret, "hex"));
    assert.equal(token.text, text);
    assert.equal(token.secretDigest, digest);
    const ref = text.slice(0, 12);
    assert.equal(token.ref, ref);
    assert.deepEqual(parseToken(text), { ok: true, kind, ref, secretDigest: digest });
  });
}

const GOOD = "vAc_Dev1ceId_yhgIGB9quGfHP8Y83EcC2im5kZukTeYkpb69aekqK3M1ZKLoc";
const FAULTS: { name: string; text: string; fault: string }[] = [
  { name: "empty", text: "", fault: "length" },
  { name: "one short", text: GOOD.slice(0, -1), fault: "length" },
  { name: "one long", text: `${GOOD}0`, fault: "length" },
  { name: "a million", text: "v".repeat(1_000_000), fault: "length" },
  { name: "unknown prefix", text: `vAd_${GOOD.slice(4)}`, fault: "prefix" },
  { name: "prefix in another case", text: `VAC_${GOOD.slice(4)}`, fault: "prefix" },
  { name: "a pairing code's prefix", text: `hwp_${GOOD.slice(4)}`, fault: "prefix" },
  {
    name: "no second underscore",
    text: `${GOOD.slice(0, 12)}0${GOOD.slice(13)}`,
    fault: "alphabet",
  },
  { name: "dash in the secret", text: `${GOOD.slice(0, 20)}-${GOOD.slice(21)}`, fault: "alphabet" },
  { name: "line feed at the end", text: `${GOOD.slice(0, -1)}\n`, fault: "alphabet" },
  {
    name: "a wide character",
    text: `${GOOD.slice(0, 20)}\u{ff10}${GOOD.slice(21)}`,
    fault: "alphabet",
  },
  {
    name: "half a surrogate pair",
    text: `${GOOD.slice(0, 20)}\ud800${GOOD.slice(21)}`,
    fault: "alphabet",
  },
  { name: "NUL", text: `${GOOD.slice(0, 20)}\0${GOOD.slice(21)}`, fault: "alphabet" },
  { name: "last checksum digit", text: `${GOOD.slice(0, -1)}d`, fault: "checksum" },
  { name: "another kind's prefix", text: `hwk_${GOOD.slice(4)}`, fault: "checksum" },
  { name: "checksum over 32 bit", text: `${GOOD.slice(0, -6)}zzzzzz`, fault: "checksum" },
  {
    name: "2^256, checksum right",
    text: "vAc_7Gk2mP0q_yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp20iaADM",
    fault: "range",
  },
  {
    name: "62^43 - 1, checksum right",
    text: `vAc_7Gk2mP0q_${"z".repeat(43)}2AnjUV`,
    fault: "range",
  },
];

for (const { name, text, fault } of FAULTS) {
  test(`refused: ${name}`, () => {
    assert.deepEqual(parseToken(text), { ok: false, fault });
  });
}

test("any change of one character is refused", () => {
  const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_-";
  for (let position = 0; position < GOOD.length; position++) {
    for (const character of alphabet) {
      if (character === GOOD[position]) continue;
      const text = GOOD.slice(0, position) + character + GOOD.slice(position + 1);
      assert.equal(parseToken(text).ok, false, `position ${position}, ${character}`);
    }
  }
});

test("any text at all is answered without a throw", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 80 }), (text) => {
      assert.equal(parseToken(text).ok, false);
    }),
  );
});

test("what is spelled is read back, for any secret", () => {
  const bytes = fc.uint8Array({ minLength: 32, maxLength: 32 });
  fc.assert(
    fc.property(bytes, fc.constantFrom<TokenKind>("device", "key", "enrolment"), (secret, kind) => {
      const token = formatToken(kind, "AbCdEf12", secret);
      assert.equal(token.text.length, TOKEN_LENGTH);
      const { text: _, ...rest } = token;
      assert.deepEqual(parseToken(token.text), { ok: true, ...rest });
    }),
  );
});

test("the digest is the SHA-256 of the secret's 43 characters", () => {
  const token = mintToken("device");
  const expected = createHash("sha256").update(token.text.slice(13, 56)).digest("hex");
  assert.equal(token.secretDigest, expected);
});

test("minted tokens differ, parse, and use the whole alphabet in their ids", () => {
  const ids = new Set<string>();
  const counts = new Map<string, number>();
  for (let count = 0; count < 2_000; count++) {
    const { text, ref } = mintToken("key");
    assert.equal(parseToken(text).ok, true);
    ids.add(ref);
    for (const character of ref.slice(4)) counts.set(character, (counts.get(character) ?? 0) + 1);
  }
  assert.equal(ids.size, 2_000);
  assert.equal(counts.size, 62);
  // 16,000 draws of 62: about 258 each, standard deviation 16. Ten of them off is no chance.
  for (const [character, count] of counts) assert.ok(count > 98 && count < 418, character);
});

test("references are told from tokens, ids and other kinds", () => {
  assert.equal(isTokenRef("vAc_7Gk2mP0q"), true);
  assert.equal(isTokenRef("vAc_7Gk2mP0q", "device"), true);
  assert.equal(isTokenRef("vAc_7Gk2mP0q", "key"), false);
  assert.equal(isTokenRef("hwk_7Gk2mP0q", "key"), true);
  for (const text of [
    "",
    "vAc_",
    "vAc_7Gk2mP0",
    "vAc_7Gk2mP0qq",
    "vAc_7Gk2mP0-",
    "xyz_7Gk2mP0q",
    GOOD,
  ]) {
    assert.equal(isTokenRef(text), false, text);
  }
});

test("digests are compared whole", () => {
  const digest = "0123456789abcdef".repeat(4);
  assert.equal(isSecretDigest(digest), true);
  assert.equal(isSecretDigest(digest.toUpperCase()), false);
  assert.equal(isSecretDigest(digest.slice(1)), false);
  assert.equal(digestsEqual(digest, digest), true);
  assert.equal(digestsEqual(digest, `1${digest.slice(1)}`), false);
  assert.equal(digestsEqual(digest, `${digest.slice(0, -1)}0`), false);
  assert.equal(digestsEqual(digest, ""), false);
  assert.equal(digestsEqual("", ""), false);
  assert.equal(digestsEqual(digest, "\u0130".repeat(64)), false);
});

test("device ids are DNS labels of 16 base32 characters", () => {
  const seen = new Set<string>();
  const characters = new Set<string>();
  for (let count = 0; count < 1_000; count++) {
    const id = mintDeviceId();
    assert.equal(isDeviceId(id), true, id);
    seen.add(id);
    for (const character of id) characters.add(character);
  }
  assert.equal(seen.size, 1_000);
  assert.equal([...characters].sort().join(""), "234567abcdefghijklmnopqrstuvwxyz");
  for (const text of [
    "",
    "abcdefgh234567a",
    "abcdefgh234567abc",
    "ABCDEFGH234567AB",
    "abcdefgh23456710",
    "abcdefgh234567a\n",
  ]) {
    assert.equal(isDeviceId(text), false, text);
  }
});
