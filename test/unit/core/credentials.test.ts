import assert from "node:assert/strict";
import { test } from "node:test";
import {
  formatCredentials,
  NO_CREDENTIALS,
  parseCredentials,
} from "../../../src/core/credentials.ts";
import { ConfigError } from "../../../src/core/errors.ts";

const DIGEST = "ab".repeat(32);
const TOKEN = {
  ref: "vAc_00000001",
  digest: DIGEST,
  device_id: "abcdefgh234567ab",
  user_id: "alice",
};
const KEY = { ref: "hwk_00000001", digest: DIGEST, user_id: "alice" };
const whole = (tokens: unknown, keys: unknown = []) => JSON.stringify({ version: 1, tokens, keys });

/** The problems, each as one line, in the order told. */
function problemsOf(text: string): string[] {
  try {
    parseCredentials(text, "f");
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.problems.map(({ setting, problem }) => `${setting} | ${problem}`);
  }
  return [];
}

test("a good file is read as it stands", () => {
  const value = {
    version: 1 as const,
    tokens: [{ ...TOKEN, note: "the gate", expires_at: "2027-01-31T00:00:00+02:00" }],
    keys: [KEY, { ...KEY, ref: "hwk_00000002", devices: ["*", "abcdefgh234567ab"] }],
  };
  assert.deepEqual(parseCredentials(JSON.stringify(value), "f"), value);
  assert.deepEqual(parseCredentials(formatCredentials(value), "f"), value);
  assert.deepEqual(parseCredentials(formatCredentials(NO_CREDENTIALS), "f"), NO_CREDENTIALS);
});

test("all problems are told at once, each with its field", () => {
  const text = JSON.stringify({
    version: 2,
    tokens: [
      { ref: "vAc_1", digest: "AB".repeat(32), device_id: "Abc", user_id: "", expires_at: "soon" },
      { ...TOKEN, device_ids: "x" },
    ],
    keys: [{ ref: "vAc_00000009", digest: DIGEST, user_id: "a b", devices: [] }],
  });
  assert.deepEqual(problemsOf(text), [
    "f: version | must be 1",
    "f: tokens[0].ref | must be a reference vAc_ and 8 characters",
    "f: tokens[0].digest | must be 64 lower-case hex digits",
    "f: tokens[0].device_id | must be 16 characters of a-z and 2-7",
    "f: tokens[0].user_id | must be 1 to 200 visible ASCII characters",
    "f: tokens[0].expires_at | must be an RFC 3339 time, such as 2027-01-31T00:00:00Z",
    'f: tokens[1] | Unrecognized key: "device_ids"',
    "f: keys[0].ref | must be a reference hwk_ and 8 characters",
    "f: keys[0].user_id | must be 1 to 200 visible ASCII characters",
    "f: keys[0].devices | must name a device, or be left out for all of the user's",
  ]);
});

test("a reference used twice and a device of two users are problems", () => {
  const text = whole(
    [TOKEN, { ...TOKEN, user_id: "bob" }],
    [KEY, { ...KEY, ref: "hwk_00000002" }, KEY],
  );
  assert.deepEqual(problemsOf(text), [
    "f: tokens[1].ref | is that of tokens[0] too",
    "f: keys[2].ref | is that of keys[0] too",
    "f: tokens[1].user_id | differs from the one of an earlier token of the same device",
  ]);
});

test("a device may have two tokens, for rotation", () => {
  assert.deepEqual(problemsOf(whole([TOKEN, { ...TOKEN, ref: "vAc_00000002" }])), []);
});

for (const { name, text } of [
  { name: "nothing", text: "" },
  { name: "half a file", text: whole([TOKEN]).slice(0, -9) },
  { name: "a stray word", text: '{ "version": 1, "tokens": [], "keys": hunter2 }' },
  { name: "an array", text: "[]" },
  { name: "null", text: "null" },
  { name: "lists missing", text: '{"version":1}' },
]) {
  test(`refused, and none of its text told: ${name}`, () => {
    const problems = problemsOf(text);
    assert.ok(problems.length > 0);
    for (const problem of problems) {
      assert.match(problem, /^f/);
      assert.doesNotMatch(problem, /hunter2|ab{2}|alice/);
    }
  });
}
