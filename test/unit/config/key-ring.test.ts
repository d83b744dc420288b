import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { chmodSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import { keyRing, loadSettings, newKeyRing, parseKeyRing } from "../../../src/config/index.ts";
import { ConfigError } from "../../../src/core/errors.ts";

const DEFAULTS = loadSettings("up", { flags: {}, environment: {} }).values;

function folderOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "hawser-ring-"));
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

function problemOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.problems.map(({ setting, problem }) => `${setting}: ${problem}`).join("\n");
  }
  return assert.fail("nothing was wrong");
}

test("key ring: names and keys in base64, base64url and hex, in their order", () => {
  const [first, second, third] = [randomBytes(32), randomBytes(48), randomBytes(32)];
  const text = `k3:${third.toString("hex")}, k2:${second.toString("base64url")}\nk1:${first.toString("base64")}`;
  const ring = parseKeyRing(text);
  assert.ok(typeof ring !== "string", String(ring));
  assert.deepEqual(
    ring.map(({ id }) => id),
    ["k3", "k2", "k1"],
  );
  assert.deepEqual(
    ring.map(({ key }) => key.toString("hex")),
    [third, second, first].map((key) => key.toString("hex")),
  );
});

test("key ring: short keys, placeholders and other forms are refused and not shown", () => {
  const good = newKeyRing();
  const cases: readonly (readonly [string, RegExp])[] = [
    ["", /^wanted k2/],
    [randomBytes(32).toString("base64"), /^key 1: wanted/],
    ["k1:changeme", /^key 1 has 6 bytes, wanted 32 or more$/],
    [`k1:${randomBytes(31).toString("base64")}`, /^key 1 has 31 bytes/],
    [`k1:${randomBytes(31).toString("base64url")}`, /^key 1 has 31 bytes/],
    [`k1:${Buffer.alloc(32).toString("base64")}`, /^key 1 is a placeholder/],
    [`k1:${Buffer.alloc(64, "x").toString("hex")}`, /^key 1 is a placeholder/],
    [`k1:${Buffer.from("changeme".repeat(8)).toString("base64")}`, /^key 1 is a placeholder/],
    [`k.1:${randomBytes(32).toString("base64")}`, /^key 1: wanted/],
    [`k1:${"ä".repeat(64)}`, /^key 1: wanted/],
    [`${good},${newKeyRing()}`, /^key 2 has the name of another one$/],
    [Array(17).fill("k1:x").join(), /^wanted at most 16 keys$/],
  ];
  for (const [text, expected] of cases) {
    const problem = parseKeyRing(text);
    assert.equal(typeof problem, "string", text);
    assert.match(String(problem), expected);
    for (const part of text.split(/[:,]/))
      assert.ok(part.length < 9 || !`${problem}`.includes(part));
  }
});

test("key ring: a key of exactly 32 bytes is taken, in each encoding", () => {
  const key = randomBytes(32);
  for (const encoding of ["base64", "base64url", "hex"] as const) {
    const ring = parseKeyRing(`k1:${key.toString(encoding)}`);
    assert.ok(typeof ring !== "string");
    assert.deepEqual(ring[0].key, key);
  }
});

test("key ring: the variable wins over the file, the file over the data folder", (t) => {
  const folder = folderOf(t);
  const [variable, file, kept] = [newKeyRing(), newKeyRing(), newKeyRing()];
  const path = join(folder, "ring");
  writeFileSync(path, file, { mode: 0o600 });
  writeFileSync(join(folder, "session.keys"), kept, { mode: 0o600 });
  const search = { folder, make: false };
  const keyOf = (values: typeof DEFAULTS) =>
    keyRing(values, "sessionSecrets", search).ring[0].key.toString("base64");
  const both = { ...DEFAULTS, sessionSecrets: variable, sessionSecretsFile: path };
  assert.equal(`k1:${keyOf(both)}`, variable);
  assert.equal(`k1:${keyOf({ ...both, sessionSecrets: null })}`, file);
  assert.equal(`k1:${keyOf(DEFAULTS)}`, kept);
});

test("key ring: made once, for its owner alone, and found again; each ring has a key of its own", (t) => {
  const folder = join(folderOf(t), "state");
  const search = { folder, make: true };
  const first = keyRing(DEFAULTS, "sessionSecrets", search);
  const again = keyRing(DEFAULTS, "sessionSecrets", { folder, make: false });
  const other = keyRing(DEFAULTS, "tokenEncKeys", search);
  assert.deepEqual(first.ring, again.ring);
  assert.notDeepEqual(first.ring[0].key, other.ring[0].key);
  assert.deepEqual(readdirSync(folder).sort(), ["session.keys", "token-encryption.keys"]);
  assert.equal(statSync(first.origin).mode & 0o777, 0o600);
  assert.equal(first.warning, null);
  chmodSync(first.origin, 0o644);
  assert.match(keyRing(DEFAULTS, "sessionSecrets", search).warning ?? "", /mode should be 0600/);
});

test("key ring: where none may be made, the problem names the setting and a command that makes one", (t) => {
  const folder = folderOf(t);
  const problem = problemOf(() => keyRing(DEFAULTS, "tokenEncKeys", { folder, make: false }));
  assert.match(problem, /^tokenEncKeys: required/);
  assert.match(problem, /openssl rand -base64 32/);
  assert.deepEqual(readdirSync(folder), []);
});
