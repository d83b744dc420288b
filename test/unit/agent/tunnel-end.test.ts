import assert from "node:assert/strict";
import { test } from "node:test";
import { codeOf, isTlsCode, retryAfterMs, unreachable } from "../../../src/agent/tunnel-end.ts";

const NOW = Date.parse("2026-01-01T00:00:00Z");

const RETRY_AFTER: readonly [string | undefined, number | null][] = [
  [undefined, null],
  ["", null],
  ["0", 0],
  ["120", 120_000],
  [" 5 ", 5_000],
  ["-1", null],
  ["1.5", null],
  ["soon", null],
  ["99999999999", null],
  ["Thu, 01 Jan 2026 00:00:30 GMT", 30_000],
  ["Wed, 31 Dec 2025 23:59:00 GMT", 0],
  ["2026", 2_026_000],
  ["GMT", null],
];

for (const [field, expected] of RETRY_AFTER) {
  test(`Retry-After ${JSON.stringify(field)} is ${expected} ms`, () => {
    assert.equal(retryAfterMs(field, NOW), expected);
  });
}

test("the code of an error over several addresses is that of its first", () => {
  const first = Object.assign(new Error("no"), { code: "ECONNREFUSED" });
  const second = Object.assign(new Error("no"), { code: "ENETUNREACH" });
  assert.equal(codeOf(new AggregateError([first, second]), "ERR_X"), "ECONNREFUSED");
  assert.equal(codeOf(new AggregateError([]), "ERR_X"), "ERR_X");
  assert.equal(codeOf("text", "ERR_X"), "ERR_X");
});

for (const [code, tls] of [
  ["DEPTH_ZERO_SELF_SIGNED_CERT", true],
  ["CERT_HAS_EXPIRED", true],
  ["ERR_TLS_CERT_ALTNAME_INVALID", true],
  ["ERR_SSL_WRONG_VERSION_NUMBER", true],
  ["ECONNREFUSED", false],
  ["ENOTFOUND", false],
] as const) {
  test(`${code} is ${tls ? "" : "not "}a TLS failure`, () => {
    assert.equal(isTlsCode(code), tls);
    assert.deepEqual(unreachable(Object.assign(new Error("no"), { code }), "ERR_X"), {
      kind: "unreachable",
      code,
      tls,
    });
  });
}
