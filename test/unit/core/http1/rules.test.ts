import assert from "node:assert/strict";
import { test } from "node:test";
import { BYTE_CLASS, LOWER_TOKEN, TEXT, TOKEN } from "../../../../src/core/http1/bytes.ts";
import { ChunkedBody } from "../../../../src/core/http1/chunked-body.ts";
import {
  BodyKind,
  bodyKindOf,
  contentLengthOf,
  isBodiless,
  isStatus,
  isToken,
} from "../../../../src/core/http1/rules.ts";

/** Bytes whose class has the bit, as text. */
function members(bit: number): string {
  const bytes = [...BYTE_CLASS.keys()].filter((byte) => ((BYTE_CLASS[byte] ?? 0) & bit) !== 0);
  return String.fromCharCode(...bytes);
}

test("HTTP/1.1 rules: a byte is in its class, and a text of such bytes alone is a token", () => {
  const capitals = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
  const lower = `!#$%&'*+-.0123456789^_\`${capitals.toLowerCase()}|~`;
  assert.equal(members(LOWER_TOKEN), lower);
  assert.deepEqual([...members(TOKEN)].sort(), [...lower, ...capitals].sort());
  const printable = String.fromCharCode(...Array.from({ length: 95 }, (_, at) => 0x20 + at));
  const beyond = String.fromCharCode(...Array.from({ length: 128 }, (_, at) => 0x80 + at));
  assert.equal(members(TEXT), `\t${printable}${beyond}`);
  for (let code = 0; code < 300; code++) {
    const character = String.fromCharCode(code);
    const isIn = code < 256 && ((BYTE_CLASS[code] ?? 0) & TOKEN) !== 0;
    assert.equal(isToken(`x${character}`), isIn, `${code}`);
  }
  assert.equal(isToken(""), false);
  assert.equal(isToken("x\n"), false);
});

test("HTTP/1.1 rules: a length is up to 15 digits, and nothing else", () => {
  assert.equal(contentLengthOf("0"), 0);
  assert.equal(contentLengthOf("007"), 7);
  assert.equal(contentLengthOf("999999999999999"), 999_999_999_999_999);
  for (const value of [
    "",
    " 1",
    "1 ",
    "+1",
    "-1",
    "1.0",
    "0x1",
    "1,1",
    "1\n",
    "1000000000000000",
  ]) {
    assert.equal(contentLengthOf(value), -1, JSON.stringify(value));
  }
});

test("HTTP/1.1 rules: status and method say whether there is a body, then the coding, then the length", () => {
  assert.deepEqual([99, 100, 599, 600].map(isStatus), [false, true, true, false]);
  for (const [status, isHead, isChunked, contentLength, kind] of [
    [200, false, false, 13, BodyKind.LENGTH],
    [200, false, false, 0, BodyKind.LENGTH],
    [200, false, true, -1, BodyKind.CHUNKED],
    [200, false, false, -1, BodyKind.UNTIL_CLOSE],
    [205, false, false, 0, BodyKind.LENGTH],
    [200, true, false, 13, BodyKind.NONE],
    [200, true, true, -1, BodyKind.NONE],
    [204, false, false, -1, BodyKind.NONE],
    [204, false, true, -1, BodyKind.NONE],
    [304, false, false, 13, BodyKind.NONE],
  ] as const) {
    const message = `${status} ${isHead} ${isChunked} ${contentLength}`;
    assert.equal(bodyKindOf(status, isHead, isChunked, contentLength), kind, message);
    assert.equal(isBodiless(status, isHead), kind === BodyKind.NONE, message);
  }
});

/** How much of a text is read before a rule is broken, and which; null where none is. */
function problemIn(text: string, limits: { extension: number; trailer: number }): object | null {
  const body = new ChunkedBody({
    sizeDigitsMax: 3,
    extensionBytesMax: limits.extension,
    trailerBytesMax: limits.trailer,
  });
  const bytes = Buffer.from(text, "latin1");
  for (let at = 0; at < bytes.length && !body.done; ) {
    at = body.next(bytes, at, bytes.length);
    if (body.problem !== null) return { problem: body.problem, read: text.slice(0, at) };
    if (body.dataEnd > at) at = body.dataEnd;
  }
  assert.equal(body.done, true, text);
  return null;
}

test("chunked coding: what each limit allows passes, and one byte more is refused at that byte", () => {
  const none = { extension: 0, trailer: 0 };
  // Line ends count.
  const some = { extension: 4, trailer: 7 };
  assert.equal(problemIn("003\r\nabc\r\n000\r\n\r\n", none), null);
  assert.deepEqual(problemIn("0003\r\n", none), { problem: "CHUNK_SIZE", read: "0003" });
  assert.deepEqual(problemIn("3;a\r\nabc", none), { problem: "CHUNK_SIZE", read: "3;" });
  assert.deepEqual(problemIn("3 \r\nabc", none), { problem: "CHUNK_SIZE", read: "3 " });
  assert.deepEqual(problemIn("0\r\na: b\r\n", none), { problem: "TRAILER", read: "0\r\na" });
  assert.equal(problemIn("3;a=b\r\nabc\r\n0\r\na:bcd\r\n\r\n", some), null);
  assert.deepEqual(problemIn("3;a=bc\r\nabc", some), {
    problem: "CHUNK_EXTENSION",
    read: "3;a=bc\r",
  });
  assert.deepEqual(problemIn("0\r\na: bcd\r\n", some), {
    problem: "TRAILER",
    read: "0\r\na: bcd\r\n",
  });
});
