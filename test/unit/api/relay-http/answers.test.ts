import assert from "node:assert/strict";
import { test } from "node:test";
import { AnswerFault } from "../../../../src/api/relay-http/answer-fault.ts";
import { AnswerHeads, readAnswerHead } from "../../../../src/api/relay-http/answer-head.ts";
import { ChunkScanner } from "../../../../src/api/relay-http/chunk-scanner.ts";

const head = (...lines: string[]): string => ["HTTP/1.1 200 OK", ...lines].join("\r\n");

test("answer heads: status, fields and framing are read", () => {
  const read = readAnswerHead(
    head("Content-Length: 13", "x-a:b \t", "X-Empty:", "connection: Close"),
  );
  assert.equal(read.status, 200);
  assert.equal(read.contentLength, 13);
  assert.equal(read.closes, true);
  assert.deepEqual(read.fields.slice(1, 3), [
    { name: "x-a", value: "b" },
    { name: "X-Empty", value: "" },
  ]);
  const chunked = readAnswerHead("HTTP/1.1 404\r\nTransfer-Encoding: Chunked");
  assert.deepEqual([chunked.status, chunked.contentLength, chunked.isChunked], [404, -1, true]);
  assert.equal(chunked.closes, false);
});

test("answer heads: what could be read in two ways is refused", () => {
  for (const text of [
    "HTTP/1.0 200 OK",
    "HTTP/2 200",
    "HTTP/1.1 600 No",
    "HTTP/1.1 2000 OK",
    "HTTP/1.1  200 OK",
    "",
    head("a b: c"),
    head(": c"),
    head("no colon"),
    head("a : b"),
    head("a: b\nc: d"),
    head("a: b\rc: d"),
    head("a: b\r"),
    head("a: b", " folded"),
    head("a: b\0"),
    head("a: b\x7f"),
    head("content-length: 1", "content-length: 1"),
    head("content-length: 1", "Content-Length: 2"),
    head("content-length: +1"),
    head("content-length: 1, 1"),
    head("content-length: 0x1"),
    head("content-length:"),
    head("content-length: 1234567890123456"),
    head("transfer-encoding: chunked", "content-length: 1"),
    head("transfer-encoding: gzip, chunked"),
    head("transfer-encoding: chunked", "transfer-encoding: chunked"),
  ]) {
    assert.throws(() => readAnswerHead(text), AnswerFault, JSON.stringify(text));
  }
});

test("answer heads: one that was read before is the same object, and so many are remembered at most", () => {
  const heads = new AnswerHeads();
  const first = heads.read(head("a: 0"));
  assert.equal(heads.read(head("a: 0")), first);
  for (let count = 1; count <= 300; count++) heads.read(head(`a: ${count}`));
  assert.ok(heads.size <= 256);
  const last = heads.read(head("a: 1"));
  const withBody = `${head("a: 1")}\r\n\r\na: 1`;
  assert.equal(heads.read(withBody, head("a: 1").length), last);
  assert.equal(heads.read(head("a: 12")).fields[0]?.value, "12");
  assert.equal(heads.read(head("a: 12"), head("a: 1").length).fields[0]?.value, "1");
  const long = head(`a: ${"x".repeat(2_048)}`);
  assert.notEqual(heads.read(long), heads.read(long));
  assert.throws(() => heads.read("nothing"), AnswerFault);
});

/** Scans a text cut into pieces of so many bytes; gives the data, and how many bytes belonged to the body. */
function scanned(
  text: string,
  pieceBytes: number,
): { data: string; used: number; isDone: boolean } {
  const scanner = new ChunkScanner();
  const bytes = Buffer.from(text, "latin1");
  let data = "";
  let used = 0;
  while (used < bytes.length && !scanner.isDone) {
    const end = Math.min(bytes.length, used + pieceBytes);
    used = scanner.scan(bytes, used, end, (from, first, last) => {
      data += from.toString("latin1", first, last);
    });
  }
  return { data, used, isDone: scanner.isDone };
}

test("chunk scanner: the end is found under any split, and nothing behind it is taken", () => {
  const body = "3\r\nabc\r\nA\r\n0\r\n\r\n67890\r\n0\r\n\r\n";
  for (let pieceBytes = 1; pieceBytes <= body.length + 4; pieceBytes++) {
    const { data, used, isDone } = scanned(`${body}HTTP`, pieceBytes);
    assert.deepEqual([data, used, isDone], ["abc0\r\n\r\n67890", body.length, true]);
  }
  assert.equal(scanned(body.slice(0, -1), 5).isDone, false);
});

test("chunk scanner: extensions, trailers and whatever else is no plain chunk is refused", () => {
  for (const text of [
    "3;a=b\r\nabc\r\n",
    "3 \r\nabc\r\n",
    "\r\n",
    "x\r\n",
    "-1\r\n",
    "3\nabc",
    "3\r\nabcd\r\n",
    "3\r\nabc\n",
    "0\r\nx-trailer: 1\r\n\r\n",
    "0\r\n\r ",
    "1000000000000\r\n",
  ]) {
    for (const pieceBytes of [1, 64]) {
      assert.throws(() => scanned(text, pieceBytes), AnswerFault, JSON.stringify(text));
    }
  }
});
