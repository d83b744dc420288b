import assert from "node:assert/strict";
import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import { dataFolder, internalSecret } from "../../../src/config/index.ts";
import { ConfigError } from "../../../src/core/errors.ts";

const NOWHERE = { internalSecret: null, internalSecretFile: null, dataDir: null };

function folderOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "hawser-secret-"));
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

test("internal secret: the variable wins over the file, the file over the data folder", (t) => {
  const folder = folderOf(t);
  const path = join(folder, "secret");
  writeFileSync(path, "whole-from-the-file\n", { mode: 0o600 });
  const all = {
    internalSecret: "whole-from-the-variable",
    internalSecretFile: path,
    dataDir: folder,
  };
  assert.equal(internalSecret(all, {}).secret, "whole-from-the-variable");
  const { secret, origin, warning } = internalSecret({ ...all, internalSecret: null }, {});
  assert.deepEqual([secret, origin, warning], ["whole-from-the-file", path, null]);
  assert.deepEqual(readdirSync(folder), ["secret"]);
});

test("internal secret: made once, for its owner alone, and found again", (t) => {
  const dataDir = join(folderOf(t), "state", "hawser");
  const first = internalSecret({ ...NOWHERE, dataDir }, {});
  const second = internalSecret({ ...NOWHERE, dataDir }, {});
  assert.equal(first.secret, second.secret);
  assert.match(first.secret, /^[\w-]{43}$/);
  assert.equal(first.warning, null);
  assert.equal(first.origin, join(dataDir, "internal.secret"));
  assert.equal(statSync(first.origin).mode & 0o777, 0o600);
  assert.equal(statSync(dataDir).mode & 0o777, 0o700);
  assert.deepEqual(readdirSync(dataDir), ["internal.secret"]);
  assert.equal(readFileSync(first.origin, "utf8").trim(), first.secret);
});

test("internal secret: another folder has another secret", (t) => {
  const secrets = [folderOf(t), folderOf(t)].map(
    (dataDir) => internalSecret({ ...NOWHERE, dataDir }, {}).secret,
  );
  assert.notEqual(secrets[0], secrets[1]);
});

test("internal secret: the data folder follows the XDG rules", () => {
  assert.equal(dataFolder("/srv/hawser", {}), "/srv/hawser");
  assert.equal(dataFolder(null, { XDG_STATE_HOME: "/state" }), "/state/hawser");
  assert.equal(dataFolder(null, {}), join(homedir(), ".local/state/hawser"));
});

test("internal secret: a file that others can open is warned of", (t) => {
  const path = join(folderOf(t), "secret");
  writeFileSync(path, "0123456789abcdef");
  chmodSync(path, 0o644);
  const { warning } = internalSecret({ ...NOWHERE, internalSecretFile: path }, {});
  assert.equal(warning, `Other users can open ${path}; its mode should be 0600.`);
});

test("internal secret: what cannot travel in a header is refused without being shown", (t) => {
  const path = join(folderOf(t), "secret");
  for (const bad of ["", "two words", "two\nlines", "grün", "x".repeat(1_025)]) {
    writeFileSync(path, bad);
    assert.throws(
      () => internalSecret({ ...NOWHERE, internalSecretFile: path }, {}),
      (error) => error instanceof ConfigError && (bad === "" || !error.message.includes(bad)),
    );
  }
});

test("internal secret: a placeholder, or less than 16 characters, is refused wherever it stands, unseen", (t) => {
  const path = join(folderOf(t), "secret");
  const table = [
    ["changeme", /placeholder/],
    ["ChangeMe-changeme-changeme", /placeholder/],
    ["z".repeat(43), /placeholder/],
    ["8f3a0c77d1e95b2", /less than 16 characters/],
  ] as const;
  for (const [text, why] of table) {
    writeFileSync(path, text, { mode: 0o600 });
    const given = [
      ["HAWSER_INTERNAL_SECRET", { ...NOWHERE, internalSecret: text }],
      [path, { ...NOWHERE, internalSecretFile: path }],
    ] as const;
    for (const [setting, source] of given) {
      assert.throws(
        () => internalSecret(source, {}),
        (error) =>
          error instanceof ConfigError &&
          error.problems[0]?.setting === setting &&
          why.test(error.problems[0].problem) &&
          !error.message.includes(text),
      );
    }
  }
  const least = { ...NOWHERE, internalSecret: "8f3a0c77d1e95b26" };
  assert.equal(internalSecret(least, {}).secret, least.internalSecret);
});

test("internal secret: a folder that cannot be made is a problem of dataDir", (t) => {
  const file = join(folderOf(t), "file");
  writeFileSync(file, "");
  assert.throws(
    () => internalSecret({ ...NOWHERE, dataDir: join(file, "hawser") }, {}),
    (error) => error instanceof ConfigError && error.problems[0]?.setting === "dataDir",
  );
});
