import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { type KeyEntry, parseCredentials } from "../../../src/core/credentials.ts";
import { editCredentials } from "../../../src/core/credentials-edit.ts";

const key = (count: number): KeyEntry => ({
  ref: `hwk_${String(count).padStart(8, "0")}`,
  digest: "ab".repeat(32),
  user_id: "alice",
});

async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "hawser-edit-"));
  t.after(() => rm(path, { recursive: true }));
  return path;
}

async function keysOf(path: string): Promise<string[]> {
  return parseCredentials(await readFile(path, "utf8"), path).keys.map(({ ref }) => ref);
}

test("a missing file is made, with mode 0600, and nothing is left beside it", async (t) => {
  const path = join(await folder(t), "c.json");
  await editCredentials(path, (present) => ({ ...present, keys: [key(1)] }));
  assert.deepEqual(await keysOf(path), ["hwk_00000001"]);
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  assert.deepEqual(await readdir(join(path, "..")), ["c.json"]);
});

test("editors at the same time lose no entry", async (t) => {
  const path = join(await folder(t), "c.json");
  const edits = Array.from({ length: 8 }, (_, count) =>
    editCredentials(path, (present) => ({ ...present, keys: [...present.keys, key(count)] })),
  );
  await Promise.all(edits);
  assert.equal((await keysOf(path)).length, 8);
});

test("a symbolic link stays one", async (t) => {
  const base = await folder(t);
  const target = join(base, "real.json");
  const link = join(base, "c.json");
  await editCredentials(target, (present) => present);
  await symlink(target, link);
  await editCredentials(link, (present) => ({ ...present, keys: [key(1)] }));
  assert.deepEqual(await keysOf(target), ["hwk_00000001"]);
  assert.deepEqual((await readdir(base)).sort(), ["c.json", "real.json"]);
});

test("a bad file, a bad change and a change that throws leave all as it was", async (t) => {
  const base = await folder(t);
  const bad = join(base, "bad.json");
  await writeFile(bad, "{");
  await assert.rejects(
    editCredentials(bad, (present) => present),
    { code: "ERR_CONFIG_INVALID" },
  );
  assert.equal(await readFile(bad, "utf8"), "{");

  const good = join(base, "good.json");
  await editCredentials(good, (present) => ({ ...present, keys: [key(1)] }));
  const before = await readFile(good, "utf8");
  const twice = editCredentials(good, (present) => ({ ...present, keys: [key(1), key(1)] }));
  await assert.rejects(twice, { code: "ERR_CONFIG_INVALID" });
  const thrown = editCredentials(good, () => {
    throw new Error("no");
  });
  await assert.rejects(thrown, { message: "no" });
  assert.equal(await readFile(good, "utf8"), before);
  assert.deepEqual((await readdir(base)).sort(), ["bad.json", "good.json"]);
});

test("a folder that is not there is told as such", async (t) => {
  const path = join(await folder(t), "missing", "c.json");
  await assert.rejects(
    editCredentials(path, (present) => present),
    {
      code: "ERR_CONFIG_INVALID",
      message: `${path}: cannot be written (ENOENT)`,
    },
  );
});
