import assert from "node:assert/strict";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type TestContext, test } from "node:test";
import { retargetElf } from "../../../src/relay/elf-retarget.ts";
import { KNOWN_BINARIES, loadNative, thisHost, type UwsHost } from "../../../src/relay/uws.ts";
import { cachedFile, cacheFolders, sha256 } from "../../../src/relay/uws-cache.ts";

const host = thisHost();
const { packageFolder, uid } = host;
const NAME = "uws_linux_x64_115.node";
const known = KNOWN_BINARIES[NAME];
assert.ok(known);
const original = readFileSync(join(packageFolder, NAME));
const { retargeted } = known;
const COPY = `uws-${retargeted}.node`;
const TOO_NEW = "/lib/libc.so.6: version `GLIBC_2.38' not found (required by x.node)";

function folderOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "hawser-test-"));
  t.after(() => {
    chmodSync(folder, 0o700);
    rmSync(folder, { recursive: true });
  });
  return folder;
}

/** A host on an old glibc: the plain file does not load, any other does and is given back as its path. */
function oldHost(folder: string, changes: Partial<UwsHost> = {}): UwsHost {
  return {
    platform: "linux",
    arch: "x64",
    abi: "115",
    packageFolder,
    cacheFolders: [join(folder, "cache")],
    uid,
    glibcVersion: () => "2.36",
    dlopen: (path) => {
      if (dirname(path) === (changes.packageFolder ?? packageFolder)) throw new Error(TOO_NEW);
      return path;
    },
    ...changes,
  };
}

test("every listed Linux binary of the package becomes its listed copy", () => {
  const names = readdirSync(packageFolder).filter((name) => name.startsWith("uws_linux_"));
  assert.deepEqual(names.sort(), Object.keys(KNOWN_BINARIES).sort());
  for (const [name, { original: from, retargeted: to }] of Object.entries(KNOWN_BINARIES)) {
    const bytes = readFileSync(join(packageFolder, name));
    assert.equal(sha256(bytes), from, name);
    const copy = retargetElf(bytes);
    assert.equal(copy.length, bytes.length, name);
    assert.equal(sha256(copy), to, name);
  }
});

test("a file that loads as it is gets no copy", (t) => {
  const folder = folderOf(t);
  const loaded = loadNative(oldHost(folder, { dlopen: (path) => path }));
  assert.equal(loaded, join(packageFolder, NAME));
  assert.deepEqual(readdirSync(folder), []);
});

test("a file that needs glibc 2.38 is loaded as a copy in a folder of mode 0700", (t) => {
  const folder = folderOf(t);
  const path = loadNative(oldHost(folder));
  assert.equal(path, join(folder, "cache", COPY));
  assert.equal(lstatSync(join(folder, "cache")).mode & 0o777, 0o700);
  assert.equal(sha256(readFileSync(join(folder, "cache", COPY))), retargeted);
  assert.deepEqual(readdirSync(join(folder, "cache")), [COPY], "no temporary file is left");
});

test("an intact copy is used again, not written again", (t) => {
  const folder = folderOf(t);
  loadNative(oldHost(folder));
  const before = lstatSync(join(folder, "cache", COPY));
  loadNative(oldHost(folder));
  assert.equal(lstatSync(join(folder, "cache", COPY)).ino, before.ino);
});

test("a copy that was changed, cut or made writable by others is replaced before it is used", (t) => {
  const folder = folderOf(t);
  const path = join(folder, "cache", COPY);
  const changed = Buffer.from(original);
  const damages: ReadonlyArray<readonly [string, () => void]> = [
    ["other bytes", () => writeFileSync(path, changed)],
    ["cut", () => writeFileSync(path, retargetElf(original).subarray(0, 1_000))],
    ["writable", () => chmodSync(path, 0o722)],
    [
      "a link",
      () => {
        rmSync(path);
        symlinkSync(join(packageFolder, NAME), path);
      },
    ],
  ];
  for (const [name, damage] of damages) {
    loadNative(oldHost(folder));
    chmodSync(path, 0o700);
    damage();
    assert.equal(loadNative(oldHost(folder)), path, name);
    assert.equal(sha256(readFileSync(path)), retargeted, name);
    assert.ok(lstatSync(path).isFile(), name);
  }
});

test("a folder that others can write to or read is refused", (t) => {
  const folder = folderOf(t);
  for (const mode of [0o770, 0o707, 0o755]) {
    mkdirSync(join(folder, "cache"), { recursive: true });
    chmodSync(join(folder, "cache"), mode);
    assert.throws(() => loadNative(oldHost(folder)), { code: "ERR_UWS_CACHE_FOLDER" });
    assert.deepEqual(readdirSync(join(folder, "cache")), []);
  }
});

test("a folder of another user, a link to a folder and a file are refused", (t) => {
  const folder = folderOf(t);
  assert.throws(() => loadNative(oldHost(folder, { uid: uid + 1 })), {
    code: "ERR_UWS_CACHE_FOLDER",
    message: /belongs to another user/,
  });
  mkdirSync(join(folder, "real"), { mode: 0o700 });
  symlinkSync(join(folder, "real"), join(folder, "link"));
  assert.throws(() => loadNative(oldHost(folder, { cacheFolders: [join(folder, "link")] })), {
    code: "ERR_UWS_CACHE_FOLDER",
    message: /is not a folder/,
  });
  writeFileSync(join(folder, "file"), "");
  assert.throws(() => loadNative(oldHost(folder, { cacheFolders: [join(folder, "file")] })), {
    code: "ERR_UWS_CACHE_FOLDER",
  });
});

test("the next folder serves where the first cannot", (t) => {
  const folder = folderOf(t);
  writeFileSync(join(folder, "file"), "");
  const second = join(folder, "second");
  const path = loadNative(oldHost(folder, { cacheFolders: [join(folder, "file", "x"), second] }));
  assert.equal(path, join(second, COPY));
});

test("a copy without the recorded digest is never written", (t) => {
  const folder = folderOf(t);
  assert.throws(
    () =>
      cachedFile({
        name: "copy",
        digest: retargeted,
        make: () => original,
        folders: [folder],
        uid,
      }),
    { code: "ERR_UWS_CACHE_MISMATCH" },
  );
  assert.deepEqual(readdirSync(folder), []);
});

test("a file with another digest is not touched", (t) => {
  const folder = folderOf(t);
  const changed = Buffer.from(original);
  changed[changed.length - 1] = (changed[changed.length - 1] ?? 0) ^ 1;
  writeFileSync(join(folder, NAME), changed);
  assert.throws(() => loadNative(oldHost(folder, { packageFolder: folder })), {
    code: "ERR_UWS_UNKNOWN_BINARY",
  });
  assert.equal(existsSync(join(folder, "cache")), false);
});

test("a file under the name of another one of the list is not touched", (t) => {
  const folder = folderOf(t);
  copyFileSync(join(packageFolder, NAME), join(folder, "uws_linux_x64_127.node"));
  assert.throws(() => loadNative(oldHost(folder, { packageFolder: folder, abi: "127" })), {
    code: "ERR_UWS_UNKNOWN_BINARY",
  });
});

test("below glibc 2.36 one sentence says which systems work", (t) => {
  const folder = folderOf(t);
  assert.throws(() => loadNative(oldHost(folder, { glibcVersion: () => "2.35" })), {
    code: "ERR_UWS_GLIBC_TOO_OLD",
    message: /Debian 12.*This system has 2\.35\.$/,
  });
  const dlopen = (path: string): never => {
    throw new Error(
      dirname(path) === packageFolder ? TOO_NEW : "version `GLIBC_2.36' not found (required by x)",
    );
  };
  assert.throws(() => loadNative(oldHost(folder, { glibcVersion: () => null, dlopen })), {
    code: "ERR_UWS_GLIBC_TOO_OLD",
  });
});

test("any other failure is told as it is, and makes no copy", (t) => {
  const folder = folderOf(t);
  const dlopen = (): never => {
    throw new Error("wrong ELF class");
  };
  assert.throws(() => loadNative(oldHost(folder, { dlopen })), {
    code: "ERR_UWS_LOAD",
    message: /wrong ELF class/,
  });
  assert.throws(() => loadNative(oldHost(folder, { abi: "83" })), { code: "ERR_UWS_UNSUPPORTED" });
  assert.deepEqual(readdirSync(folder), []);
});

test("the cache folder is the told one alone, else the user's, else one below the temporary folder", () => {
  const below = join(tmpdir(), "hawser-7");
  assert.deepEqual(cacheFolders({ HAWSER_CACHE_DIR: "/x" }, 7), ["/x"]);
  assert.deepEqual(cacheFolders({ XDG_CACHE_HOME: "/y" }, 7), ["/y/hawser", below]);
  assert.deepEqual(cacheFolders({ XDG_CACHE_HOME: "relative" }, 7), [below]);
  assert.deepEqual(cacheFolders({}, 7).slice(-1), [below]);
});
