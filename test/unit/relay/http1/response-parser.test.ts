import assert from "node:assert/strict";
import { test } from "node:test";
import { BodyKind } from "../../../../src/core/http1/rules.ts";
import { HeadMemory, ResponseParser } from "../../../../src/relay/http1/index.ts";
import {
  everyCut,
  type FeedOptions,
  feed,
  GrowingArena,
  type Outcome,
} from "../../../conformance/http1/feed.ts";

const OK = "HTTP/1.1 200 OK\r\n";
const VIA = "\r\nvia: 1.1 hawser";

interface Accepted {
  readonly name: string;
  readonly text: string;
  readonly options?: FeedOptions;
  readonly expect: Partial<Outcome>;
}

const { NONE, LENGTH, CHUNKED, UNTIL_CLOSE } = BodyKind;

const ACCEPTED: readonly Accepted[] = [
  {
    name: "a length-delimited body",
    text: `${OK}Server: d/1\r\nDate: Sun, 22 Nov 2026 04:00:00 GMT\r\nContent-Type: text/plain\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nhello`,
    expect: {
      head: `200 OK\r\nServer: d/1\r\nContent-Type: text/plain${VIA}`,
      body: "hello",
      contentLength: 5,
      bodyKind: LENGTH,
      keepAlive: true,
    },
  },
  {
    name: "an empty body",
    text: `${OK}content-length: 0\r\n\r\n`,
    expect: { head: `200 OK${VIA}`, contentLength: 0, bodyKind: LENGTH, keepAlive: true },
  },
  {
    name: "leading zeros and white space around a length",
    text: `${OK}content-length: \t 003 \t\r\n\r\nabc`,
    expect: { body: "abc", contentLength: 3 },
  },
  {
    name: "a chunked body with extensions and trailers",
    text: `${OK}Transfer-Encoding: Chunked\r\nTrailer: x-sum\r\nx: y\r\n\r\n3\r\nabc\r\n0A;a=b;c="d e"\r\n0123456789\r\n2 \t;z\r\n\r\n\r\n000;q\r\nx-sum: 1\r\ny:\r\n\r\n`,
    expect: {
      head: `200 OK\r\nx: y${VIA}`,
      body: "abc0123456789\r\n",
      contentLength: -1,
      bodyKind: CHUNKED,
      keepAlive: true,
    },
  },
  {
    name: "an empty chunked body",
    text: `${OK}transfer-encoding:chunked\r\n\r\n0\r\n\r\n`,
    expect: { body: "", bodyKind: CHUNKED },
  },
  {
    name: "a chunk size of sixteen digits",
    text: `${OK}transfer-encoding: \tchunked \r\n\r\n0000000000000001\r\nx\r\n0000000000000000\r\n\r\n`,
    expect: { body: "x" },
  },
  {
    name: "a body until the stream ends",
    text: `${OK}a: b\r\n\r\nall of it\r\n\r\n`,
    options: { fin: true },
    expect: {
      body: "all of it\r\n\r\n",
      contentLength: -1,
      bodyKind: UNTIL_CLOSE,
      keepAlive: false,
    },
  },
  {
    name: "an empty body until the stream ends",
    text: `${OK}\r\n`,
    options: { fin: true },
    expect: { body: "", bodyKind: UNTIL_CLOSE },
  },
  {
    name: "HEAD with a length",
    text: `${OK}content-length: 5\r\n\r\n`,
    options: { isHead: true },
    expect: { contentLength: 5, bodyKind: NONE, keepAlive: true },
  },
  {
    name: "HEAD with chunked",
    text: `${OK}transfer-encoding: chunked\r\n\r\n`,
    options: { isHead: true },
    expect: { contentLength: -1, bodyKind: NONE, keepAlive: true },
  },
  {
    name: "HEAD with neither",
    text: `${OK}\r\n`,
    options: { isHead: true },
    expect: { contentLength: -1, bodyKind: NONE, keepAlive: true },
  },
  {
    name: "204",
    text: "HTTP/1.1 204 No Content\r\n\r\n",
    expect: { status: 204, head: `204 No Content${VIA}`, bodyKind: NONE, keepAlive: true },
  },
  {
    name: "204 with an empty body declared",
    text: "HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n",
    expect: { contentLength: -1, bodyKind: NONE, keepAlive: true },
  },
  {
    name: "204 with a body declared: its stream is not used again",
    text: "HTTP/1.1 204 No Content\r\ncontent-length: 3\r\n\r\n",
    expect: { contentLength: -1, bodyKind: NONE, keepAlive: false },
  },
  {
    name: "304 keeps the declared length",
    text: "HTTP/1.1 304 Not Modified\r\ncontent-length: 77\r\netag: x\r\n\r\n",
    expect: {
      status: 304,
      head: `304 Not Modified\r\netag: x${VIA}`,
      contentLength: 77,
      bodyKind: NONE,
      keepAlive: true,
    },
  },
  {
    name: "interim responses are dropped",
    text: `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\ncontent-length: 9\r\n\r\n${OK}content-length: 2\r\n\r\nhi`,
    expect: { status: 200, head: `200 OK${VIA}`, body: "hi", contentLength: 2 },
  },
  {
    name: "HTTP/1.0 without keep-alive",
    text: "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nhi",
    expect: { body: "hi", keepAlive: false },
  },
  {
    name: "HTTP/1.0 with keep-alive",
    text: "HTTP/1.0 200 OK\r\nconnection: Keep-Alive\r\ncontent-length: 2\r\n\r\nhi",
    expect: { body: "hi", keepAlive: true },
  },
  {
    name: "Connection: close",
    text: `${OK}connection: CLOSE\r\ncontent-length: 2\r\n\r\nhi`,
    expect: { keepAlive: false },
  },
  {
    name: "close wins over keep-alive",
    text: `${OK}connection: keep-alive, close\r\ncontent-length: 0\r\n\r\n`,
    expect: { keepAlive: false },
  },
  {
    name: "a keep-alive time",
    text: `${OK}Keep-Alive: max=3, timeout=5\r\ncontent-length: 0\r\n\r\n`,
    expect: { head: `200 OK${VIA}`, keepAlive: true, keepAliveTimeoutMs: 5_000 },
  },
  {
    name: "a keep-alive time beyond a day",
    text: `${OK}keep-alive: TIMEOUT=99999999999999999999\r\ncontent-length: 0\r\n\r\n`,
    expect: { keepAliveTimeoutMs: 86_400_000 },
  },
  {
    name: "a keep-alive time of nothing",
    text: `${OK}keep-alive: timeout=0\r\ncontent-length: 0\r\n\r\n`,
    expect: { keepAlive: false, keepAliveTimeoutMs: 0 },
  },
  {
    name: "a keep-alive time that is none",
    text: `${OK}keep-alive: timeout=x, timeoutx=3, timeout\r\ncontent-length: 0\r\n\r\n`,
    expect: { keepAlive: true, keepAliveTimeoutMs: 0 },
  },
  {
    name: "no reason",
    text: "HTTP/1.1 200 \r\ncontent-length: 0\r\n\r\n",
    expect: { head: `200 ${VIA}` },
  },
  {
    name: "no reason and no space, put right",
    text: "HTTP/1.1 200\r\na: b\r\ncontent-length: 0\r\n\r\n",
    expect: { head: `200 \r\na: b${VIA}` },
  },
  {
    name: "a reason beyond ASCII",
    text: "HTTP/1.1 404 N\xc3\xa3o\tx\r\ncontent-length: 0\r\n\r\n",
    expect: { status: 404, head: `404 N\xc3\xa3o\tx${VIA}` },
  },
  {
    name: "empty values, odd spaces and bytes beyond ASCII",
    text: `${OK}a:\r\nb: \t c \t\r\nD:\xff\xfe\r\ne: :f:\r\ncontent-length: 0\r\n\r\n`,
    expect: { head: `200 OK\r\na:\r\nb: \t c \t\r\nD:\xff\xfe\r\ne: :f:${VIA}` },
  },
  {
    name: "fields of the connection, in any case",
    text: `${OK}a: 1\r\nTE: x\r\nUPGRADE: h2c\r\nProxy-Connection: x\r\nb: 2\r\nProxy-Authenticate: x\r\nproxy-authentication-info: x\r\nTrailer: z\r\nDaTe: x\r\nc: 3\r\ncontent-length: 0\r\n\r\n`,
    expect: { head: `200 OK\r\na: 1\r\nb: 2\r\nc: 3${VIA}` },
  },
  {
    name: "fields that Connection names, before and after it",
    text: `${OK}x-a: 1\r\nX-Keep: 2\r\nConnection: close, X-A\r\nconnection: x-b ,, x-c\r\nx-A: 3\r\nX-b: 4\r\nx-c: 5\r\nx-abc: 6\r\ncontent-length: 0\r\n\r\n`,
    expect: { head: `200 OK\r\nX-Keep: 2\r\nx-abc: 6${VIA}`, keepAlive: false },
  },
  {
    name: "Connection cannot take framing away",
    text: `${OK}connection: content-length, transfer-encoding\r\ncontent-length: 2\r\n\r\nhi`,
    expect: { head: `200 OK${VIA}`, body: "hi", contentLength: 2, keepAlive: true },
  },
  {
    name: "the device's own Via stands before ours",
    text: `${OK}via: 1.0 x\r\ncontent-length: 0\r\n\r\n`,
    expect: { head: `200 OK\r\nvia: 1.0 x${VIA}` },
  },
  {
    name: "names that only look like known ones",
    text: `${OK}dat\x5e: 1\r\ncontent.length: 1\r\nkeep.alive: 1\r\nDates: 1\r\ncontent-length: 0\r\n\r\n`,
    expect: { head: `200 OK\r\ndat^: 1\r\ncontent.length: 1\r\nkeep.alive: 1\r\nDates: 1${VIA}` },
  },
  {
    name: "a long field, copied natively",
    text: `${OK}a: ${"b".repeat(700)}\r\ncontent-length: 0\r\n\r\n`,
    expect: { head: `200 OK\r\na: ${"b".repeat(700)}${VIA}` },
  },
  {
    name: "a head as long as the limit",
    text: `${OK}a: ${"b".repeat(40)}\r\n\r\n`,
    options: { isHead: true, headBytesMax: 64 },
    expect: { head: `200 OK\r\na: ${"b".repeat(40)}${VIA}` },
  },
];

for (const { name, text, options, expect } of ACCEPTED) {
  test(`${name}: whole, byte by byte and at every cut`, () => {
    for (const cuts of everyCut(text.length)) {
      const outcome = feed(text, cuts, options);
      const wanted = { ...outcome, error: null, ended: true, endedAt: text.length, ...expect };
      assert.deepEqual(outcome, wanted, `cut at ${cuts.slice(0, 5)}`);
    }
  });

  if (options?.fin !== true) {
    test(`${name}: bytes behind the message are left alone`, () => {
      const longer = `${text}HTTP/1.1 500 no\r\n\r\n`;
      const wanted = feed(text, [], options);
      for (const cuts of everyCut(longer.length)) {
        assert.deepEqual(feed(longer, cuts, options), wanted, `cut at ${cuts.slice(0, 5)}`);
      }
    });
  }
}

const quiet = {
  responseOnHead: (): void => {},
  responseOnBody: (): void => {},
  responseOnEnd: (): void => {},
};

test("a parser serves one response after another, also after a broken one", () => {
  const parser = new ResponseParser(32_768);
  const arena = new GrowingArena();
  for (const text of [
    `${OK}transfer-encoding: chunked\r\n\r\n3\r\nab`,
    "HTTP/1.1 2",
    "nonsense",
    `${OK}a: b\r\n`,
  ]) {
    parser.reset(false);
    parser.execute(Buffer.from(text), 0, text.length, arena, quiet);
    parser.reset(false);
    assert.equal(parser.received, false);
    assert.equal(parser.status, 0);
    const whole = Buffer.from(`${OK}content-length: 2\r\n\r\nhi`);
    assert.equal(parser.execute(whole, 0, whole.length, arena, quiet), whole.length);
    assert.equal(parser.error, null);
    assert.equal(parser.bodyBytes, 2);
    assert.equal(parser.finish(quiet), true);
  }
});

test("it may be reset for the next exchange in responseOnEnd, and the bytes behind are not read", () => {
  const parser = new ResponseParser(32_768);
  let ends = 0;
  const sink = {
    ...quiet,
    responseOnEnd: () => {
      ends++;
      parser.reset(false);
    },
  };
  const one = `${OK}content-length: 2\r\n\r\nhi`;
  const two = Buffer.from(one + one);
  parser.reset(false);
  assert.equal(parser.execute(two, 0, two.length, new GrowingArena(), sink), one.length);
  assert.equal(ends, 1);
  assert.equal(parser.received, false);
});

test("a part of a larger chunk is read, and nothing around it", () => {
  const parser = new ResponseParser(32_768);
  const text = `${OK}content-length: 2\r\n\r\nhi`;
  const chunk = Buffer.from(`xxx${text}yyy`);
  parser.reset(false);
  assert.equal(
    parser.execute(chunk, 3, 3 + text.length, new GrowingArena(), quiet),
    3 + text.length,
  );
  assert.equal(parser.error, null);
});

test("dropped heads leave nothing in the arena", () => {
  const parser = new ResponseParser(32_768);
  const arena = new GrowingArena();
  arena.used = 5;
  for (const text of [
    "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n",
    `${OK}a: b\r\nc`,
    `${OK}a: b\r\nc c\r\n`,
  ]) {
    parser.reset(false);
    parser.execute(Buffer.from(text), 0, text.length, arena, quiet);
    assert.equal(arena.used, 5);
  }
});

test("thirty-two interim responses are read", () => {
  const text = `${"HTTP/1.1 102 Processing\r\n\r\n".repeat(32)}${OK}content-length: 0\r\n\r\n`;
  assert.equal(feed(text, []).ended, true);
});

test("extensions and trailers pass up to their limits", () => {
  const head = `${OK}transfer-encoding: chunked\r\n\r\n`;
  assert.equal(feed(`${head}1;${"a".repeat(4_094)}\r\nx\r\n0\r\n\r\n`, []).ended, true);
  assert.equal(feed(`${head}0\r\na: ${"b".repeat(16_384 - 5)}\r\n\r\n`, []).ended, true);
});

test("the same Content-Length in a large message is counted exactly", () => {
  const parser = new ResponseParser(32_768);
  parser.reset(false);
  const head = Buffer.from(`${OK}content-length: 999999999999999\r\n\r\n`);
  parser.execute(head, 0, head.length, new GrowingArena(), quiet);
  assert.equal(parser.contentLength, 999_999_999_999_999);
});

/** Reads whole answers of no body, each with one field, and gives the heads that are passed on. */
function headReader(memory?: HeadMemory): { arena: GrowingArena; read(field: string): string } {
  const parser = new ResponseParser(32_768, memory);
  const arena = new GrowingArena();
  const ignored = { responseOnHead: () => {}, responseOnBody: () => {}, responseOnEnd: () => {} };
  return {
    arena,
    read(field) {
      parser.reset(false);
      const bytes = Buffer.from(`${OK}${field}\r\ncontent-length: 0\r\n\r\n`, "latin1");
      assert.equal(parser.execute(bytes, 0, bytes.length, arena, ignored), bytes.length);
      return Buffer.from(parser.headText(arena)).toString("latin1");
    },
  };
}

test("a head that comes again costs the arena nothing, and one that differs is read", () => {
  const { arena, read } = headReader();
  for (const field of ["x: first", "x: other, and longer", "x: third"]) {
    assert.equal(read(field), `200 OK\r\n${field}${VIA}`);
    const { used } = arena;
    assert.equal(read(field), `200 OK\r\n${field}${VIA}`);
    assert.equal(arena.used, used);
  }
});

test("a remembered head differs from one with another byte, wherever that stands", () => {
  const remembered = "x: 0123456789abcdef";
  for (let at = 3; at < remembered.length; at++) {
    const { read } = headReader();
    read(remembered);
    const other = `${remembered.slice(0, at)}!${remembered.slice(at + 1)}`;
    assert.equal(read(other), `200 OK\r\n${other}${VIA}`);
    assert.equal(read(remembered), `200 OK\r\n${remembered}${VIA}`);
  }
});

test("parsers that share a memory know each other's heads, of which four stay", () => {
  const memory = new HeadMemory();
  const first = headReader(memory);
  const second = headReader(memory);
  first.read("x: 1");
  const before = second.arena.used;
  assert.equal(second.read("x: 1"), `200 OK\r\nx: 1${VIA}`);
  assert.equal(second.arena.used, before);
  // Each is found once after it was noted: so none counts as one of many that differ.
  for (const field of ["x: 2", "x: 3", "x: 4", "x: 5"]) {
    first.read(field);
    first.read(field);
  }
  const { used } = second.arena;
  for (const field of ["x: 5", "x: 2", "x: 3", "x: 4"]) second.read(field);
  assert.equal(second.arena.used, used);
  // The one that was found least since gave way.
  second.read("x: 1");
  assert.ok(second.arena.used > used);
});
