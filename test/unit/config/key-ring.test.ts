import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import { keyRing, loadSettings, newKeyRing } from "../../../src/config/index.ts";
import { ConfigError } from "../../../src/core/errors.ts";

const DEFAULTS = loadSettings("up", { flags: {}, environment: {} }).values;

function folderOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "hawser-ring-"));
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

test("key ring: a new one has one key of 32 random bytes", () => {
  const [, encoded = ""] = /^k1:(\S+)$/.exec(newKeyRing()) ?? [];
  assert.equal(Buffer.from(encoded, "base64").length, 32);
  assert.notEqual(newKeyRing(), newKeyRing());
});

test("key ring: the variable wins over the file, the file over the data folder", (t) => {
  const folder = folderOf(t);
  const path = join(folder, "ring");
  writeFileSync(path, "k3:in-file\n", { mode: 0o600 });
  writeFileSync(join(folder, "session.keys"), "k2:kept\nk1:kept\n", { mode: 0o600 });
  const search = { folder, make: false };
  const both = { ...DEFAULTS, sessionSecrets: "k4:variable, k3:x", sessionSecretsFile: path };
  const variable = keyRing(both, "sessionSecrets", search);
  assert.deepEqual(
    [variable.text, variable.origin],
    ["k4:variable,k3:x", "HAWSER_SESSION_SECRETS"],
  );
  const file = keyRing({ ...both, sessionSecrets: null }, "sessionSecrets", search);
  assert.deepEqual([file.text, file.origin], ["k3:in-file", path]);
  assert.equal(keyRing(DEFAULTS, "sessionSecrets", search).text, "k2:kept,k1:kept");
});

test("key ring: made once, for its owner alone, and found again; each ring has a key of its own", (t) => {
  const folder = join(folderOf(t), "state");
  const search = { folder, make: true };
  const first = keyRing(DEFAULTS, "sessionSecrets", search);
  const again = keyRing(DEFAULTS, "sessionSecrets", { folder, make: false });
  assert.equal(first.text, again.text);
  assert.notEqual(first.text, keyRing(DEFAULTS, "tokenEncKeys", search).text);
  assert.deepEqual(readdirSync(folder).sort(), ["session.keys", "token-encryption.keys"]);
  assert.equal(statSync(first.origin).mode & 0o777, 0o600);
  assert.equal(first.warning, null);
  chmodSync(first.origin, 0o644);
  assert.match(keyRing(DEFAULTS, "sessionSecrets", search).warning ?? "", /mode should be 0600/);
});

test("key ring: where none may be made, the problem names the setting and a command that makes one", (t) => {
  const folder = folderOf(t);
  assert.throws(
    () => keyRing(DEFAULTS, "tokenEncKeys", { folder, make: false }),
    (error) => {
      assert.ok(error instanceof ConfigError);
      const [{ setting, problem } = { setting: "", problem: "" }] = error.problems;
      assert.equal(setting, "tokenEncKeys");
      assert.match(problem, /^required/);
      assert.match(problem, /openssl rand -base64 32/);
      return true;
    },
  );
  assert.deepEqual(readdirSync(folder), []);
});
