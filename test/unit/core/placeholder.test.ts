import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { isPlaceholder } from "../../../src/core/placeholder.ts";

test("placeholder: what people leave where a secret was wanted", () => {
  const placeholders = [
    ...["changeme", "change-me", "Change_Me!", "CHANGEME123", "changemechangemechangeme"],
    ...[
      "secret",
      "my-secret",
      "your-secret-here",
      "hawser-internal-secret-1",
      "please change this",
    ],
    ...[
      "password",
      "replace-me",
      "placeholder",
      "todo",
      "example",
      "xxx",
      "0000000000000000",
      "ss",
    ],
  ];
  for (const text of placeholders) assert.equal(isPlaceholder(text), true, text);
});

test("placeholder: a secret is none, and a long text is looked at quickly", () => {
  const secrets = [
    "hunter2",
    "correct-horse-battery",
    "secretary",
    "exhausted",
    "mexico",
    "8f3a0c",
  ];
  for (const text of secrets) assert.equal(isPlaceholder(text), false, text);
  for (let made = 0; made < 200; made++) {
    assert.equal(isPlaceholder(randomBytes(16).toString("base64url")), false);
  }
  for (const text of [
    `${"x".repeat(4_000)}!y`,
    `${"me".repeat(4_000)}y`,
    `${"0".repeat(8_000)}y`,
  ]) {
    assert.equal(isPlaceholder(text), false);
  }
});
