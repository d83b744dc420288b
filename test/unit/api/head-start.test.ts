import assert from "node:assert/strict";
import { test } from "node:test";
import { type FixedLines, HeadStart } from "../../../src/api/byte-answer.ts";

const KNOWN: FixedLines = { lines: "x-fixed: 1\r\n", policy: "own", keepAlive: "" };
const framing = (contentLength: number, isChunked = false) => ({ contentLength, isChunked });

test("head start: status, the device's fields, framing, ours, and a policy", () => {
  const start = new HeadStart(404, "a: b\r\n", "device", framing(3));
  const wanted =
    "HTTP/1.1 404 Not Found\r\na: b\r\ncontent-length: 3\r\nx-fixed: 1\r\ncontent-security-policy: device\r\n";
  for (let count = 0; count < 2; count++) {
    assert.equal(start.text(KNOWN), wanted);
    assert.equal(start.unchunkedText(KNOWN), wanted);
  }
});

test("head start: no coding for whoever does not read it, and no length for 204", () => {
  const chunked = new HeadStart(200, "", null, framing(-1, true));
  assert.match(chunked.text(KNOWN), /^transfer-encoding: chunked\r$/m);
  assert.doesNotMatch(chunked.unchunkedText(KNOWN), /transfer-encoding/);
  assert.doesNotMatch(new HeadStart(204, "", null, framing(0)).text(KNOWN), /content-length/);
  assert.match(new HeadStart(304, "", null, framing(7)).text(KNOWN), /^content-length: 7\r$/m);
});

test("head start: each listener gets its own fields, whichever asked before", () => {
  const start = new HeadStart(299, "", null, framing(0));
  const other = { ...KNOWN, lines: "x-fixed: 2\r\n", policy: "other" };
  for (const fixed of [KNOWN, other, KNOWN]) {
    const text = start.text(fixed);
    assert.ok(text.startsWith("HTTP/1.1 299 Unknown\r\n"));
    assert.ok(text.includes(fixed.lines));
    assert.ok(text.endsWith(`content-security-policy: ${fixed.policy}\r\n`));
  }
});

test("head start: bytes beyond ASCII stay as they are", () => {
  const start = new HeadStart(200, "a: \xe9\xff\r\n", null, framing(0));
  assert.ok(start.text(KNOWN).includes("a: \xe9\xff\r\n"));
});
