import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { checkTarget, RequestFields, requestHead } from "../../../src/relay/http1/index.ts";

const seed = process.env["HAWSER_SEED"];
const RUN: fc.Parameters<unknown> = {
  numRuns: 4_000,
  ...(seed === undefined ? {} : { seed: Number(seed) }),
};

const HOP = {
  host: "h",
  clientAddress: "10.0.0.1",
  proto: "https" as const,
  forwardedPrefix: "/d/x",
  requestId: "r",
};

const OURS = [
  "host",
  "x-forwarded-for",
  "x-forwarded-host",
  "x-forwarded-proto",
  "x-forwarded-prefix",
  "forwarded",
  "via",
  "x-request-id",
  "authorization",
  "content-length",
  "transfer-encoding",
];

const name = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.constantFrom(
      ...OURS,
      "connection",
      "expect",
      "te",
      "upgrade",
      "x-a",
      "x-b",
      "cookie",
      "x-hawser-device",
      "proxy-authorization",
    ),
  },
  { weight: 1, arbitrary: fc.string({ unit: "binary", maxLength: 8 }) },
);
const value = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.constantFrom(
      "a",
      "",
      "chunked",
      "3",
      "x-a, x-b",
      "close",
      "p\u00e9q",
      "a, b",
      '"q"',
      "10.9.9.9",
      "https",
    ),
  },
  { weight: 1, arbitrary: fc.string({ unit: "binary", maxLength: 12 }) },
  {
    weight: 1,
    arbitrary: fc.constantFrom("a\r\nx: y", "a\n", "\u010d\u010ax: y", "\ud800", "a\r\n\r\nGET /"),
  },
);

test("whatever the fields are, no line of the head is anyone's but the fields' and ours", () => {
  const fields = new RequestFields();
  const met = { passed: 0, refused: 0 };
  fc.assert(
    fc.property(
      fc.array(fc.tuple(name, value), { maxLength: 6 }),
      fc.boolean(),
      fc.boolean(),
      (received, trustForwarded, forwardAuthorization) => {
        fields.reset();
        for (const [fieldName, fieldValue] of received) fields.add(fieldName, fieldValue);
        fields.finish();
        if (fields.problem !== null) {
          met.refused++;
          assert.match(fields.problem.code, /^ERR_HTTP_REQUEST_/);
          return;
        }
        met.passed++;
        const head = requestHead("GET", "/", fields, {
          ...HOP,
          trustForwarded,
          forwardAuthorization,
        });
        const lines = head.split("\r\n");
        assert.deepEqual(lines.slice(-2), ["", ""]);
        assert.equal(lines[0], "GET / HTTP/1.1");
        const given = new Set(received.map(([fieldName]) => fieldName));
        const times = new Map<string, number>();
        for (const line of lines.slice(1, -2)) {
          assert.match(line, /^[!#$%&'*+\-.^_`|~0-9a-z]+: [\t\x20-\x7e\x80-\xff]*$/);
          const lineName = line.slice(0, line.indexOf(":"));
          times.set(lineName, (times.get(lineName) ?? 0) + 1);
          assert.ok(given.has(lineName) || OURS.includes(lineName), lineName);
        }
        for (const once of OURS) assert.ok((times.get(once) ?? 0) <= 1, once);
        assert.ok(!(times.has("content-length") && times.has("transfer-encoding")));
        for (const never of [
          "connection",
          "expect",
          "te",
          "upgrade",
          "x-hawser-device",
          "proxy-authorization",
        ]) {
          assert.equal(times.has(never), false, never);
        }
      },
    ),
    RUN,
  );
  for (const [kind, count] of Object.entries(met)) assert.ok(count >= 100, `${kind}: ${count}`);
});

test("a field that passes arrives as the UTF-8 bytes of its text", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme", maxLength: 30 }), (text) => {
      const fields = new RequestFields();
      fields.add("x-a", text);
      fields.finish();
      if (fields.problem !== null) return;
      assert.equal(Buffer.from(fields.text, "latin1").toString("utf8"), `x-a: ${text}\r\n`);
    }),
    RUN,
  );
});

/** Decodes and splits the plain way: a dot segment is one that any reader of the path could take for one. */
function isUnsafe(target: string): boolean {
  const path = target.split("?")[0] ?? "";
  const decoded = path
    .replace(/%2e/gi, ".")
    .replace(/%2f/gi, "/")
    .replace(/%5c/gi, "\\")
    .replace(/%00/g, "\0");
  return /[\\\0]/.test(decoded) || decoded.split("/").some((part) => part === "." || part === "..");
}

test("a target passes exactly if no dot segment, NUL or backslash is in its path", () => {
  const piece = fc.constantFrom(
    "/",
    ".",
    "..",
    "%2e",
    "%2E",
    "%2f",
    "%5c",
    "\\",
    "%00",
    "a",
    "?",
    "%",
    "2e",
    "..a",
    ";",
    "%25",
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 10 }), (pieces) => {
      const target = `/${pieces.join("")}`;
      assert.equal(checkTarget(target) !== null, isUnsafe(target), target);
    }),
    RUN,
  );
});
