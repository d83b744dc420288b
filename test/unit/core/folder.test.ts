import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { makeFolder, statIfThere } from "../../../src/core/folder.ts";

function base(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), "hawser-folder-"));
  t.after(() => rmSync(path, { recursive: true }));
  return path;
}

test("folder: made with all that are missing above it, each with the mode, once", (t) => {
  const above = join(base(t), "a");
  const folder = join(above, "b/c");
  assert.equal(makeFolder(folder, 0o700), true);
  for (const path of [above, folder]) assert.equal(statSync(path).mode & 0o777, 0o700);
  assert.equal(makeFolder(folder, 0o755), false);
  assert.equal(statSync(folder).mode & 0o777, 0o700);
});

test("folder: a trailing slash, dots and a link to a folder are taken", (t) => {
  const path = base(t);
  mkdirSync(join(path, "real"));
  symlinkSync("real", join(path, "link"));
  assert.equal(makeFolder(`${path}/real/`, 0o700), false);
  assert.equal(makeFolder(`${path}/real/../real/./one/`, 0o700), true);
  assert.equal(makeFolder(join(path, "link/two"), 0o700), true);
  assert.ok(statSync(join(path, "real/two")).isDirectory());
});

test("folder: what cannot be made is told, and not tried for ever", (t) => {
  const path = base(t);
  writeFileSync(join(path, "file"), "");
  symlinkSync("nowhere", join(path, "dangling"));
  assert.throws(() => makeFolder(join(path, "file"), 0o700), { code: "EEXIST" });
  assert.throws(() => makeFolder(join(path, "dangling"), 0o700), { code: "EEXIST" });
  assert.throws(() => makeFolder(join(path, "file/x/y"), 0o700), { code: "ENOTDIR" });
  // A file system that makes no folders, as the system's own view of its processes.
  assert.throws(() => makeFolder("/proc/hawser", 0o700), { code: /^E[A-Z]+$/ });
  assert.throws(() => makeFolder("/proc/hawser/x", 0o700), { code: /^E[A-Z]+$/ });
});

test("folder: nothing is at a path below a file, nor where nothing was made", (t) => {
  const path = base(t);
  writeFileSync(join(path, "file"), "text");
  assert.equal(statIfThere(join(path, "file"))?.size, 4);
  for (const name of ["none", "none/x", "file/x"]) {
    assert.equal(statIfThere(join(path, name)), undefined, name);
  }
});
