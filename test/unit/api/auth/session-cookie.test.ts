import assert from "node:assert/strict";
import { createHash, createHmac } from "node:crypto";
import test from "node:test";
import { readKeyRing } from "../../../../src/api/auth/key-ring.ts";
import { SessionCookie } from "../../../../src/api/auth/session-cookie.ts";

const K1 = Buffer.from("00112233445566778899aabbccddeeff0f1e2d3c4b5a69788796a5b4c3d2e1f0", "hex");
const K2 = Buffer.from("f0e1d2c3b4a5968778695a4b3c2d1e0fffeeddccbbaa99887766554433221100", "hex");

function cookies(text: string, isHttps = true): SessionCookie {
  const reading = readKeyRing(text);
  assert.ok(reading.ok);
  return new SessionCookie(reading.ring, isHttps);
}

const ring = `k1:${K1.toString("base64")}`;
const rotated = `k2:${K2.toString("hex")},${ring}`;

function cookieValue(setCookie: string): string {
  return /^[^=]+=([^;]*)/.exec(setCookie)?.[1] ?? "";
}

test("cookie: is v1, the key's id, 32 random bytes and their HMAC", () => {
  const codec = cookies(ring);
  const { sid, key } = codec.mint();
  assert.match(sid, /^[A-Za-z0-9_-]{43}$/);
  assert.notEqual(codec.mint().sid, sid);
  assert.equal(key, createHash("sha256").update(sid).digest("hex"));
  const mac = createHmac("sha256", K1).update(`hawser-session:v1:k1.${sid}`).digest("base64url");
  assert.equal(cookieValue(codec.write(sid)), `v1.k1.${sid}.${mac}`);
  assert.deepEqual(codec.read(`v1.k1.${sid}.${mac}`), {
    ok: true,
    cookie: { sid, key, isStale: false },
  });
});

test("cookie: its attributes are exactly these", () => {
  const { sid } = cookies(ring).mint();
  const parts = (line: string): string[] =>
    line
      .split("; ")
      .map((part, index) => (index === 0 ? (part.split("=")[0] ?? "") : part))
      .sort();
  const secure = ["HttpOnly", "Path=/", "SameSite=Lax", "Secure", "__Host-hawser_sid"];
  assert.deepEqual(parts(cookies(ring).write(sid)), secure);
  assert.deepEqual(parts(cookies(ring).write(sid, 60)), [
    "HttpOnly",
    "Max-Age=60",
    ...secure.slice(1),
  ]);
  assert.deepEqual(parts(cookies(ring).clear()), ["HttpOnly", "Max-Age=0", ...secure.slice(1)]);
  // Loopback over plain HTTP, where not every browser keeps a Secure cookie.
  const plain = ["HttpOnly", "Path=/", "SameSite=Lax", "hawser_sid"];
  assert.deepEqual(parts(cookies(ring, false).write(sid)), plain);
});

test("cookie: with any one byte changed it is not genuine, and nothing throws", () => {
  const codec = cookies(ring);
  const value = cookieValue(codec.write(codec.mint().sid));
  for (let at = 0; at < value.length; at++) {
    for (const other of ["A", "z", ".", "-", "=", "\u00e9", "\0", " "]) {
      if (value[at] === other) continue;
      const changed = value.slice(0, at) + other + value.slice(at + 1);
      assert.equal(codec.read(changed).ok, false, `${at} ${other}`);
    }
  }
});

test("cookie: truncated, padded, in other forms or very long it is not genuine", () => {
  const codec = cookies(ring);
  const one = cookieValue(codec.write(codec.mint().sid));
  const two = cookieValue(codec.write(codec.mint().sid));
  const [, , sid = "", mac = ""] = one.split(".");
  for (let length = 0; length < one.length; length++) {
    assert.equal(codec.read(one.slice(0, length)).ok, false);
  }
  const hex = Buffer.from(sid, "base64url").toString("hex");
  for (const value of [
    `${one}=`,
    `${one} `,
    ` ${one}`,
    `"${one}"`,
    `${one}.`,
    `${one}\n`,
    one.repeat(2),
    "x".repeat(8_192),
    one.toUpperCase(),
    `v1.k1.${sid}.${two.split(".")[3]}`,
    `v1.k1.${sid}=.${mac}`,
    `v1.k1.${hex}.${mac}`,
    `v2.k1.${sid}.${mac}`,
    `v1..${sid}.${mac}`,
    `v1.__proto__.${sid}.${mac}`,
    `v1.constructor.${sid}.${mac}`,
  ]) {
    assert.equal(codec.read(value).ok, false, value.slice(0, 100));
  }
});

test("cookie: says why it is not genuine", () => {
  const codec = cookies(ring);
  const { sid } = codec.mint();
  const value = cookieValue(codec.write(sid));
  assert.deepEqual(codec.read("x"), { ok: false, fault: "cookie_malformed" });
  assert.deepEqual(codec.read(value.replace(".k1.", ".k9.")), { ok: false, fault: "cookie_key" });
  const foreign = cookieValue(cookies(`k1:${K2.toString("base64url")}`).write(sid));
  assert.deepEqual(codec.read(foreign), { ok: false, fault: "cookie_signature" });
});

test("cookie: of a mac and a sid there is one spelling each", () => {
  const codec = cookies(ring);
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  const value = cookieValue(codec.write(codec.mint().sid));
  // The last character of 43 holds four bits of the bytes and two that decoders ignore.
  for (const other of alphabet) {
    if (!value.endsWith(other)) assert.equal(codec.read(value.slice(0, -1) + other).ok, false);
  }
});

test("cookie: all keys of the ring are taken, the first one signs, and one that was removed is not", () => {
  const value = cookieValue(cookies(ring).write(cookies(ring).mint().sid));
  const reading = cookies(rotated).read(value);
  assert.ok(reading.ok && reading.cookie.isStale);
  const renewed = cookieValue(cookies(rotated).write(reading.cookie.sid));
  assert.match(renewed, /^v1\.k2\./);
  const again = cookies(rotated).read(renewed);
  assert.deepEqual(again, { ok: true, cookie: { ...reading.cookie, isStale: false } });
  assert.deepEqual(cookies(`k2:${K2.toString("hex")}`).read(value), {
    ok: false,
    fault: "cookie_key",
  });
});
