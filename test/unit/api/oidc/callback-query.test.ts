import assert from "node:assert/strict";
import test from "node:test";
import { readCallbackQuery } from "../../../../src/api/oidc/callback-query.ts";
import { OidcError } from "../../../../src/api/oidc/index.ts";

const STATE = "s".repeat(43);

test("callback query: a code, an error, an iss are read", () => {
  assert.deepEqual(readCallbackQuery(`code=a%2Bb&state=${STATE}&iss=https%3A%2F%2Fidp.example`), {
    code: "a+b",
    error: null,
    state: STATE,
    iss: "https://idp.example",
  });
  assert.deepEqual(readCallbackQuery(`error=access_denied&state=${STATE}&error_description=x+y`), {
    code: null,
    error: "access_denied",
    state: STATE,
    iss: null,
  });
  assert.equal(readCallbackQuery(`code=a&state=${STATE}&session_state=x&scope=y`).code, "a");
});

test("callback query: limits are met exactly", () => {
  assert.equal(readCallbackQuery(`code=${"c".repeat(4_096)}&state=${STATE}`).code?.length, 4_096);
  const head = `code=c&state=${STATE}&x=`;
  assert.equal(readCallbackQuery(head + "x".repeat(8_192 - head.length)).code, "c");
});

const head = `code=c&state=${STATE}&x=`;
const BAD: readonly (readonly [string, string])[] = [
  ["nothing", ""],
  ["two codes", `code=a&code=b&state=${STATE}`],
  ["two codes of one value", `code=a&code=a&state=${STATE}`],
  ["two states", `code=a&state=${STATE}&state=${STATE}`],
  ["two iss", `code=a&state=${STATE}&iss=a&iss=a`],
  ["a name spelled in two ways", `code=a&c%6fde=b&state=${STATE}`],
  ["two of an unknown parameter", `code=a&state=${STATE}&x=1&x=2`],
  ["no state", "code=a"],
  ["an empty state", "code=a&state="],
  ["a short state", "code=a&state=abc"],
  ["a state of other characters", `code=a&state=${"ä".repeat(43)}`],
  ["neither code nor error", `state=${STATE}`],
  ["code and error", `code=a&error=b&state=${STATE}`],
  ["an empty code", `code=&state=${STATE}`],
  ["a code over 4 KiB", `code=${"c".repeat(4_097)}&state=${STATE}`],
  ["a code of 64 KiB", `code=${"c".repeat(65_536)}&state=${STATE}`],
  ["a query over 8 KiB", head + "x".repeat(8_193 - head.length)],
  ["NUL", `code=a%00&state=${STATE}`],
  ["CRLF", `code=a%0d%0aSet-Cookie:x&state=${STATE}`],
  ["CRLF in an unknown parameter", `code=a&state=${STATE}&x=%0d%0a`],
  ["bytes that are not UTF-8", `code=%ff&state=${STATE}`],
  ["a broken escape", `code=%zz&state=${STATE}`],
  ["an ID token", `code=a&state=${STATE}&id_token=x`],
  ["an access token", `code=a&state=${STATE}&access_token=x`],
  ["a response in a JWT", `code=a&state=${STATE}&response=x`],
];

for (const [name, query] of BAD) {
  test(`callback query: ${name} is refused`, () => {
    assert.throws(
      () => readCallbackQuery(query),
      (error) => error instanceof OidcError && error.code === "ERR_OIDC_CALLBACK_INVALID",
    );
  });
}
