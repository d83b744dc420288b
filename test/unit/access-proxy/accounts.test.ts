import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { readAccounts } from "../../../src/access-proxy/accounts.ts";
import { AccessProxyError } from "../../../src/access-proxy/errors.ts";
import { writeUnsignedJwt } from "../../../src/access-proxy/unsigned-jwt.ts";

const b64 = (text: string) => Buffer.from(text).toString("base64url");
const jwt = (claims: unknown) => writeUnsignedJwt(claims as Record<string, unknown>);
const PRINCIPAL = { at_tag: "t" };
const related = (count: number) =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`r${i}`, { iss: "i", sub: "s" }]));

function codeOf(value: string | undefined): string {
  try {
    readAccounts(value);
    return "";
  } catch (error) {
    assert.ok(error instanceof AccessProxyError);
    assert.match(error.message, /^[\x20-\x7e]{1,512}$/);
    return error.code.replace("ERR_ACCESS_PROXY_", "");
  }
}

test("accounts: the principal and the others, in the order of their claims", () => {
  const value = jwt({
    b: { iss: "https://idp-b", sub: "u2", extra: [1] },
    me: { at_tag: "tag", iss: "ignored", sub: "too" },
    a: { iss: "https://idp-a", sub: "利用者" },
  });
  assert.deepEqual(readAccounts(value), {
    principal: { tag: "me", atTag: "tag" },
    related: [
      { tag: "b", iss: "https://idp-b", sub: "u2" },
      { tag: "a", iss: "https://idp-a", sub: "利用者" },
    ],
  });
});

test("accounts: a tag may be a name that every object has", () => {
  const body = b64('{"__proto__":{"at_tag":"x"},"constructor":{"iss":"i","sub":"s"}}');
  const { principal, related: others } = readAccounts(`${b64('{"alg":"none"}')}.${body}.`);
  assert.equal(principal.tag, "__proto__");
  assert.deepEqual(others, [{ tag: "constructor", iss: "i", sub: "s" }]);
});

const HEAD = b64('{"alg":"none"}');
const BODY = b64('{"me":{"at_tag":"x"}}');
const LONG = "x".repeat(1_025);
const REFUSED: ReadonlyArray<readonly [what: string, value: string | undefined, code: string]> = [
  ["E4 no field", undefined, "NO_USERS"],
  ["E4 an empty field", "", "NO_USERS"],
  ["E5 two parts", `${HEAD}.${BODY}`, "USERS"],
  ["E5 four parts", `${HEAD}.${BODY}..`, "USERS"],
  ["E5 base64 of the other alphabet", `${HEAD}.e30+.`, "USERS"],
  ["E5 padded base64url", `${b64('{"alg":"none" }')}==.${BODY}.`, "USERS"],
  [
    "E5 a length that base64url has not",
    `${HEAD}.${BODY}a.`.replace(/(.)a\.$/, "$1aaaaa."),
    "USERS",
  ],
  ["E5 a head that is no JSON", `${b64("{alg}")}.${BODY}.`, "USERS"],
  ["E5 claims that are no JSON", `${HEAD}.${b64("{")}.`, "USERS"],
  [
    "E5 claims that are no UTF-8",
    `${HEAD}.${Buffer.from([0x7b, 0xff, 0x7d]).toString("base64url")}.`,
    "USERS",
  ],
  ["E5 claims that are an array", `${HEAD}.${b64("[]")}.`, "USERS"],
  ["E5 claims that are null", `${HEAD}.${b64("null")}.`, "USERS"],
  ["E5 an account that is null", jwt({ me: null }), "USERS"],
  ["E5 an account that is a text", jwt({ me: "x" }), "USERS"],
  ["E5 an account that is an array", jwt({ me: [] }), "USERS"],
  ["E5 a field that is a number", jwt({ me: { at_tag: 1 } }), "USERS"],
  ["E6 an algorithm", `${b64('{"alg":"HS256"}')}.${BODY}.`, "USERS_SIGNED"],
  ["E6 an algorithm in capitals", `${b64('{"alg":"None"}')}.${BODY}.`, "USERS_SIGNED"],
  ["E6 no algorithm", `${b64("{}")}.${BODY}.`, "USERS_SIGNED"],
  ["E6 a third part", `${HEAD}.${BODY}.x`, "USERS_SIGNED"],
  ["E7 no iss", jwt({ me: PRINCIPAL, o: { sub: "s" } }), "NO_ISS"],
  ["E7 an empty iss", jwt({ me: PRINCIPAL, o: { iss: "", sub: "s" } }), "NO_ISS"],
  ["E7 no sub", jwt({ me: PRINCIPAL, o: { iss: "i" } }), "NO_SUB"],
  ["E7 an empty at_tag beside nothing", jwt({ me: { at_tag: "" } }), "NO_ISS"],
  ["E8 no account at all", jwt({}), "NO_PRINCIPAL"],
  ["E8 related ones alone", jwt(related(1)), "NO_PRINCIPAL"],
  ["E9 two principals", jwt({ a: PRINCIPAL, b: PRINCIPAL }), "TWO_PRINCIPALS"],
  ["E10 33 accounts", jwt({ me: PRINCIPAL, ...related(32) }), "ACCOUNTS_MAX"],
  ["E10 an empty tag", jwt({ "": PRINCIPAL }), "TAG"],
  ["E10 a tag of 129 characters", jwt({ ["t".repeat(129)]: PRINCIPAL }), "TAG"],
  ["E10 an at_tag of 1,025 characters", jwt({ me: { at_tag: LONG } }), "TAG"],
  ["E10 an iss of 1,025 characters", jwt({ me: PRINCIPAL, o: { iss: LONG, sub: "s" } }), "TAG"],
  ["E10 a sub of 1,025 characters", jwt({ me: PRINCIPAL, o: { iss: "i", sub: LONG } }), "TAG"],
  ["E9 before E10", jwt({ a: PRINCIPAL, b: { at_tag: LONG } }), "TWO_PRINCIPALS"],
  ["E10 a tag with a control character", jwt({ "a\nb": PRINCIPAL }), "TAG"],
];

for (const [what, value, code] of REFUSED) {
  test(`accounts: ${what} is refused`, () => assert.equal(codeOf(value), code));
}

test("accounts: the most of everything is taken", () => {
  const long = "x".repeat(1_024);
  const claims: Record<string, object> = { ["m".repeat(128)]: { at_tag: long } };
  for (let i = 0; i < 31; i++) claims[`${i}`.padStart(128, "r")] = { iss: long, sub: long };
  assert.equal(readAccounts(jwt(claims)).related.length, 31);
});

test("accounts: what is wrong is told with the account's tag, in printable ASCII", () => {
  assert.throws(() => readAccounts(jwt({ me: PRINCIPAL, "é\n": { sub: "s" } })), {
    message: "account ?? lacks iss",
    status: 400,
    error: "invalid_request",
  });
});

test("accounts: whatever the field holds, it is read or refused by a row of the table", () => {
  const part = fc.oneof(
    fc.string().map(b64),
    fc.json().map(b64),
    fc.constant(HEAD),
    fc.string(),
    fc.base64String(),
    fc.constant(""),
  );
  const account = fc.record(
    { at_tag: fc.anything(), iss: fc.anything(), sub: fc.string() },
    { requiredKeys: [] },
  );
  const value = fc.oneof(
    fc.string(),
    fc.array(part, { maxLength: 5 }).map((parts) => parts.join(".")),
    fc.dictionary(fc.string(), fc.oneof(account, fc.jsonValue())).map(jwt),
  );
  fc.assert(
    fc.property(value, (text) => {
      codeOf(text);
    }),
    { numRuns: 3_000 },
  );
});
