import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ResponseParser } from "../../../src/relay/http1/index.ts";
import { feed } from "../../conformance/http1/feed.ts";
import { referenceResponse } from "./reference-response.ts";

const seed = process.env["HAWSER_SEED"];
const RUN: fc.Parameters<unknown> = {
  numRuns: 8_000,
  ...(seed === undefined ? {} : { seed: Number(seed) }),
};

/** Lines and pieces that mean something, right and wrong. */
const PIECES = [
  "HTTP/1.1 200 OK\r\n",
  "HTTP/1.0 200 OK\r\n",
  "HTTP/1.1 204 No Content\r\n",
  "HTTP/1.1 304\r\n",
  "HTTP/1.1 100 Continue\r\n\r\n",
  "HTTP/1.1 101 x\r\n\r\n",
  "Content-Length: 5\r\n",
  "content-length: 0\r\n",
  "CONTENT-LENGTH:\t12 \r\n",
  "content-length: 5, 5\r\n",
  "Transfer-Encoding: chunked\r\n",
  "transfer-encoding: gzip, chunked\r\n",
  "Connection: close\r\n",
  "connection: x-a, keep-alive\r\n",
  "Keep-Alive: timeout=3\r\n",
  "X-A: 1\r\n",
  "x-b:\xe9\r\n",
  "Date: x\r\n",
  "via: 1.0 q\r\n",
  "\r\n",
  "\n",
  "\r",
  " ",
  "\t",
  ":",
  ";",
  "\0",
  "\x7f",
  "5\r\nhello\r\n",
  "0\r\n\r\n",
  "0\r\nx: y\r\n\r\n",
  "a;q=1\r\n0123456789\r\n",
  "1 \r\nx\r\n",
  "hello",
  "0",
  "f",
  "ffffffffffffffff\r\n",
];

const head = fc
  .tuple(
    fc.constantFrom(
      "HTTP/1.1 200 OK",
      "HTTP/1.1 200",
      "HTTP/1.0 404 No",
      "HTTP/1.1 304 x",
      "HTTP/1.1 204 ",
    ),
    fc.array(
      fc.constantFrom(
        "Server: d",
        "X-A: 1",
        "x-b:\t2 ",
        "Connection: x-a",
        "connection: close",
        "Date: z",
        "Keep-Alive: timeout=9",
        "te: x",
        "x-c:",
      ),
      { maxLength: 6 },
    ),
  )
  .map(([status, fields]) => [status, ...fields].join("\r\n"));

const payload = fc.string({ unit: "binary-ascii", maxLength: 40 });

const valid = fc.oneof(
  fc
    .tuple(head, payload)
    .map(([h, body]) => `${h}\r\nContent-Length: ${body.length}\r\n\r\n${body}`),
  fc
    .tuple(
      head,
      fc.array(fc.tuple(payload, fc.constantFrom("", ";a=b", " ; c")), { maxLength: 4 }),
      fc.constantFrom("", "x-t: 1\r\n"),
    )
    .map(([h, chunks, trailer]) => {
      const coded = chunks
        .filter(([data]) => data !== "")
        .map(([data, extension]) => `${data.length.toString(16)}${extension}\r\n${data}\r\n`);
      return `${h}\r\nTransfer-Encoding: chunked\r\n\r\n${coded.join("")}0\r\n${trailer}\r\n`;
    }),
  fc.tuple(head, payload).map(([h, body]) => `${h}\r\n\r\n${body}`),
  fc.tuple(payload, payload).map(([one, two]) => {
    const coded = [one, two, "x"].filter((data) => data !== "");
    const chunks = coded.map((data) => `${data.length.toString(16)}\r\n${data}\r\n`);
    return `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n${chunks.join("")}0\r\n\r\n`;
  }),
  fc.tuple(head, payload).map(([h, body]) => `HTTP/1.1 103 x\r\na: b\r\n\r\n${h}\r\n\r\n${body}`),
);

/** A place in a text, evenly spread; doubles of fast-check are mostly next to nothing. */
const place = fc.nat({ max: 9_999 }).map((n) => n / 10_000);

/** A change at one place: a piece put in, bytes taken out, a byte replaced. */
const mutation = fc.record({
  at: place,
  remove: fc.nat({ max: 8 }),
  insert: fc.oneof(
    fc.constantFrom("", ...PIECES),
    fc.nat({ max: 255 }).map((byte) => String.fromCharCode(byte)),
  ),
});

type Mutation = typeof mutation extends fc.Arbitrary<infer T> ? T : never;

function mutate(text: string, from: number, mutations: readonly Mutation[]): string {
  let changed = text;
  for (const { at, remove, insert } of mutations) {
    const index = from + Math.floor(at * (changed.length + 1 - from));
    changed = changed.slice(0, index) + insert + changed.slice(index + remove);
  }
  return changed;
}

const mutations = fc.array(mutation, { maxLength: 3 });

const mutated = fc
  .tuple(valid, mutations, fc.boolean())
  .map(([text, list, again]) => mutate(again ? text + text : text, 0, list));

/** Changed behind the head alone. */
const bodyMutated = fc
  .tuple(valid, mutations)
  .map(([text, list]) => mutate(text, text.lastIndexOf("HTTP/1") + 40, list));

const response = fc.oneof(
  { weight: 3, arbitrary: mutated },
  { weight: 3, arbitrary: bodyMutated },
  {
    weight: 2,
    arbitrary: fc.array(fc.constantFrom(...PIECES), { maxLength: 14 }).map((list) => list.join("")),
  },
  {
    weight: 1,
    arbitrary: fc
      .array(fc.nat({ max: 255 }), { maxLength: 200 })
      .map((list) => String.fromCharCode(...list)),
  },
);

const isHeadRequest = fc.nat({ max: 7 }).map((n) => n === 0);
const cuts = fc.array(place, { maxLength: 8 });

test("any response in any pieces is read as the plain reference reads it", () => {
  const met = { valid: 0, invalid: 0, brokenBody: 0 };
  fc.assert(
    fc.property(response, cuts, isHeadRequest, (text, fractions, isHead) => {
      const offsets = fractions.map((f) => Math.floor(f * text.length)).sort((a, b) => a - b);
      const outcome = feed(text, offsets, { isHead, fin: true });
      const reference = referenceResponse(text, isHead);
      assert.equal(outcome.error === null, reference.valid, outcome.error ?? "accepted");
      assert.equal(outcome.head !== null, reference.headValid);
      if (reference.valid) {
        met.valid++;
        assert.equal(outcome.status, reference.status);
        assert.equal(outcome.head, reference.head);
        assert.equal(outcome.body, reference.body);
        assert.equal(outcome.endedAt, reference.endedAt);
      } else {
        met.invalid++;
        assert.match(outcome.error ?? "", /^ERR_HTTP_RESPONSE_/);
        if (reference.headValid) met.brokenBody++;
      }
      if (outcome.contentLength >= 0) assert.ok(outcome.body.length <= outcome.contentLength);
      // Nothing that is passed on can end the head or start a line of its own.
      for (const line of outcome.head?.split("\r\n") ?? []) {
        assert.match(line, /^[\t\x20-\x7e\x80-\xff]+$/);
      }
      // The split does not matter, nor does the error found.
      assert.deepEqual(outcome, feed(text, [], { isHead, fin: true }));
    }),
    RUN,
  );
  for (const [kind, times] of Object.entries(met)) assert.ok(times >= 100, `${kind}: ${times}`);
});

test("a parser that has read others, the same head among them, reads as a new one does", () => {
  fc.assert(
    fc.property(
      fc.array(response, { minLength: 1, maxLength: 3 }),
      fc.array(fc.nat({ max: 2 }), { minLength: 2, maxLength: 30 }),
      isHeadRequest,
      (texts, order, isHead) => {
        const parser = new ResponseParser(32_768);
        for (const index of order) {
          const text = texts[index % texts.length] ?? "";
          const expected = feed(text, [], { isHead, fin: true });
          assert.deepEqual(feed(text, [], { isHead, fin: true, parser }), expected);
        }
      },
    ),
    { ...RUN, numRuns: 1_000 },
  );
});
