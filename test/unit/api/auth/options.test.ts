import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import test from "node:test";
import { RING_KEYS_MAX, readKeyRing } from "../../../../src/api/auth/key-ring.ts";
import {
  AUTH_DEFAULTS,
  type AuthOptions,
  authOptionsProblems,
  SESSION_ABSOLUTE_MS_MAX,
} from "../../../../src/api/auth/options.ts";
import { keyRing } from "../../../support/api/auth-rig.ts";

const GOOD: AuthOptions = {
  ...AUTH_DEFAULTS,
  sessionSecrets: keyRing("k2", "k1"),
  tokenEncKeys: keyRing("e1"),
};
const bytes = randomBytes(32);

for (const [name, text] of [
  ["base64", bytes.toString("base64")],
  ["base64url", bytes.toString("base64url")],
  ["hex", bytes.toString("hex")],
  ["upper-case hex", bytes.toString("hex").toUpperCase()],
] as const) {
  test(`key ring: takes 32 bytes in ${name}`, () => {
    const reading = readKeyRing(`k1:${text}`);
    assert.ok(reading.ok);
    assert.deepEqual(reading.ring.first, { id: "k1", bytes });
  });
}

test("key ring: the first of several is the one that makes", () => {
  const reading = readKeyRing(` ${keyRing("b")} , ${keyRing("a")} `);
  assert.ok(reading.ok);
  assert.equal(reading.ring.first.id, "b");
  assert.deepEqual([...reading.ring.keys.keys()], ["b", "a"]);
});

const random = bytes.toString("base64");
for (const [name, text] of [
  ["nothing", ""],
  ["a key without an id", random],
  ["an empty id", `:${random}`],
  ["an id that is too long", `${"k".repeat(17)}:${random}`],
  ["an id with a dot", `k.1:${random}`],
  ["the same id twice", `k1:${random},k1:${randomBytes(32).toString("hex")}`],
  ["an empty entry", `k1:${random},`],
  ["31 bytes", `k1:${randomBytes(31).toString("base64")}`],
  ["31 bytes in hex", `k1:${randomBytes(31).toString("hex")}`],
  ["a text that is no base64", "k1:!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!"],
  ["one byte over and over", `k1:${Buffer.alloc(32, 7).toString("base64")}`],
  ["zeros", `k1:${"0".repeat(64)}`],
  [
    "a counter in a few values",
    `k1:${Buffer.from("abcdabcdabcdabcdabcdabcdabcdabcd").toString("base64")}`,
  ],
  ["changeme", `k1:${"changeme".repeat(8)}`],
  [
    "a sentence with a placeholder",
    `k1:${Buffer.from("please change-me before you go to production").toString("base64")}`,
  ],
  [
    "too many keys",
    keyRing(...Array.from({ length: RING_KEYS_MAX + 1 }, (_, index) => `k${index}`)),
  ],
] as const) {
  test(`key ring: ${name} is refused, and the problem does not repeat it`, () => {
    const reading = readKeyRing(text);
    assert.ok(!reading.ok);
    const key = text.split(":")[1] ?? text;
    assert.ok(key.length < 8 || !reading.problem.includes(key));
  });
}

test("options: the defaults are good, as many keys as allowed too", () => {
  assert.deepEqual(authOptionsProblems(GOOD), []);
  const many = keyRing(...Array.from({ length: RING_KEYS_MAX }, (_, index) => `k${index}`));
  assert.deepEqual(authOptionsProblems({ ...GOOD, sessionSecrets: many }), []);
  assert.deepEqual(
    authOptionsProblems({ ...GOOD, sessionAbsoluteMs: SESSION_ABSOLUTE_MS_MAX }),
    [],
  );
});

test("options: every problem is reported, by the name of its setting", () => {
  const problems = authOptionsProblems({
    ...GOOD,
    sessionSecrets: "k1:changeme",
    tokenEncKeys: "",
    sessionIdleMs: 119_999,
    sessionAbsoluteMs: SESSION_ABSOLUTE_MS_MAX + 1,
    sessionsPerUserMax: 0,
    pendingPerBrowserMax: 0,
    pendingMax: Number.NaN,
    loginsPerMinute: 0.5,
    callbacksPerMinute: -1,
    backchannelFailuresPerMinute: Number.POSITIVE_INFINITY,
    limitAddressesMax: 0,
  });
  assert.deepEqual(
    problems.map(({ setting }) => setting),
    [
      "sessionSecrets",
      "tokenEncKeys",
      "sessionIdleMs",
      "sessionAbsoluteMs",
      "sessionsPerUserMax",
      "pendingPerBrowserMax",
      "pendingMax",
      "loginsPerMinute",
      "callbacksPerMinute",
      "backchannelFailuresPerMinute",
      "limitAddressesMax",
    ],
  );
  assert.ok(problems.every(({ problem }) => !problem.includes("changeme")));
  const [short] = authOptionsProblems({ ...GOOD, sessionAbsoluteMs: GOOD.sessionIdleMs - 1 });
  assert.equal(short?.setting, "sessionAbsoluteMs");
});
