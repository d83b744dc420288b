import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { HTTP1_ERRORS } from "../../../src/relay/http1/index.ts";
import { root } from "../../support/root.ts";
import { everyCut, type FeedOptions, feed } from "./feed.ts";
import { REJECTIONS, type Rejection } from "./rejections.ts";

function optionsOf({ headBytesMax, fin }: Rejection): FeedOptions {
  return { ...(headBytesMax === undefined ? {} : { headBytesMax }), fin: fin ?? false };
}

/** Every cut of a short response; of a long one the whole, the halves and every byte. */
function cutsOf(length: number): number[][] {
  return length < 400 ? everyCut(length) : [...everyCut(length).slice(0, 2), [length >> 1]];
}

for (const rejection of REJECTIONS) {
  test(`response: ${rejection.rule} (${rejection.section})`, () => {
    for (const text of rejection.cases) {
      for (const cuts of cutsOf(text.length)) {
        const outcome = feed(text, cuts, optionsOf(rejection));
        const where = `${JSON.stringify(text.slice(0, 200))} cut at ${cuts.slice(0, 5)}`;
        assert.equal(outcome.error, rejection.code, where);
        assert.equal(outcome.ended, false, where);
        assert.equal(outcome.head !== null, rejection.afterHead ?? false, where);
      }
    }
  });
}

test("the table has a row for every code of a refused response", () => {
  const used = new Set(REJECTIONS.map(({ code }) => code));
  const codes = Object.keys(HTTP1_ERRORS).filter((code) => code.startsWith("ERR_HTTP_RESPONSE_"));
  assert.deepEqual([...used].sort(), codes.sort());
});

test("docs/http-conformance.md names every code, and every rule of the table", () => {
  const document = readFileSync(join(root, "docs", "http-conformance.md"), "utf8");
  for (const code of Object.keys(HTTP1_ERRORS)) assert.ok(document.includes(code), code);
  for (const { rule, section, code } of REJECTIONS) {
    assert.ok(document.includes(`| ${rule} | ${section} | \`${code}\` |`), rule);
  }
});
