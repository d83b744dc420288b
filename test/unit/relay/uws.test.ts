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
import {
  adaptBinary,
  KNOWN_BINARIES,
  loadNative,
  thisHost,
  type UwsHost,
} from "../../../src/relay/uws.ts";
import { cachedFile, cacheFolders, sha256 } from "../../../src/relay/uws-cache.ts";

const host = thisHost();
const { packageFolder, uid } = host;
const NAME = "uws_linux_x64_115.node";
const known = KNOWN_BINARIES[NAME];
assert.ok(known);
const original = readFileSync(join(packageFolder, NAME));
const { adapted } = known;
const COPY = `uws-${adapted}.node`;
const NOEXEC = "failed to map segment from shared object";
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
  for (const [name, { original: from, adapted: to }] of Object.entries(KNOWN_BINARIES)) {
    const bytes = readFileSync(join(packageFolder, name));
    assert.equal(sha256(bytes), from, name);
    const copy = adaptBinary(bytes);
    assert.equal(copy.length, bytes.length, name);
    assert.equal(sha256(copy), to, name);
  }
});

/** Where `recv` is compared with its buffer's length: file offset of the first byte that differs, and the bytes. */
const READ_ONCE: Readonly<Record<string, readonly [number, readonly number[]]>> = {
  "uws_linux_x64_115.node": [0x1211bd, [0xff, 0xff, 0xff, 0x7f]],
  "uws_linux_x64_127.node": [0x121b6d, [0xff, 0xff, 0xff, 0x7f]],
  "uws_linux_x64_137.node": [0x121ead, [0xff, 0xff, 0xff, 0x7f]],
  "uws_linux_x64_141.node": [0x12411d, [0xff, 0xff, 0xff, 0x7f]],
  "uws_linux_arm64_115.node": [0x118b4d, [0xfe, 0x7f]],
  "uws_linux_arm64_127.node": [0x119441, [0xfe, 0x7f]],
  "uws_linux_arm64_137.node": [0x11981d, [0xfe, 0x7f]],
  "uws_linux_arm64_141.node": [0x11b079, [0xfe, 0x7f]],
};

/** The length that `recv` is called with, in the same way. */
const SHORT_RECV: Readonly<Record<string, readonly [number, readonly number[]]>> = {
  "uws_linux_x64_115.node": [0x121191, [7]],
  "uws_linux_x64_127.node": [0x121b41, [7]],
  "uws_linux_x64_137.node": [0x121e81, [7]],
  "uws_linux_x64_141.node": [0x1240f1, [7]],
  "uws_linux_arm64_115.node": [0x118b0c, [0xe2, 0]],
  "uws_linux_arm64_127.node": [0x119400, [0xe2, 0]],
  "uws_linux_arm64_137.node": [0x1197dc, [0xe2, 0]],
  "uws_linux_arm64_141.node": [0x11b038, [0xe2, 0]],
};

/** The length that a WebSocket adds to its socket: over TLS, and without. */
const LONG_UPGRADE: Readonly<Record<string, readonly [number, number]>> = {
  "uws_linux_x64_115.node": [0xf080b, 0x107b98],
  "uws_linux_x64_127.node": [0xf0a2b, 0x107ed8],
  "uws_linux_x64_137.node": [0xf0d7b, 0x108258],
  "uws_linux_x64_141.node": [0xf0f7b, 0x109098],
  "uws_linux_arm64_115.node": [0xe9259, 0xfef81],
  "uws_linux_arm64_127.node": [0xe940d, 0xff1dd],
  "uws_linux_arm64_137.node": [0xe983d, 0xff62d],
  "uws_linux_arm64_141.node": [0xe9909, 0xfffbd],
};

/** Offsets at which two files of the same size differ. */
function differences(a: Uint8Array, b: Uint8Array): number[] {
  assert.equal(a.length, b.length);
  const found: number[] = [];
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) found.push(i);
  return found;
}

test("the copy differs from the file in the names of the functions and in four constants, and nowhere else", () => {
  for (const name of Object.keys(KNOWN_BINARIES)) {
    const bytes = readFileSync(join(packageFolder, name));
    const retargeted = retargetElf(bytes);
    assert.equal(differences(bytes, retargeted).length, name.includes("x64") ? 7 : 5, name);
    const copy = adaptBinary(bytes);
    const expected: number[] = [...(LONG_UPGRADE[name] ?? [])];
    const length = name.includes("x64") ? 0xb0 : 0x16;
    for (const at of expected) assert.equal(copy[at], length, name);
    for (const [at, values] of [SHORT_RECV[name] ?? [0, []], READ_ONCE[name] ?? [0, []]] as const) {
      expected.push(...values.map((_, i) => at + i));
      assert.deepEqual([...copy.subarray(at, at + values.length)], values, name);
    }
    assert.deepEqual(differences(retargeted, copy), expected, name);
  }
});

test("a listed file is loaded as a copy on a newer glibc too", (t) => {
  const folder = folderOf(t);
  const newHost = oldHost(folder, { glibcVersion: () => "2.39", dlopen: (path) => path });
  assert.deepEqual(loadNative(newHost), { native: join(folder, "cache", COPY), isAdapted: true });
});

test("a file that needs glibc 2.38 is loaded as a copy in a folder of mode 0700", (t) => {
  const folder = folderOf(t);
  const { native, isAdapted } = loadNative(oldHost(folder));
  assert.equal(native, join(folder, "cache", COPY));
  assert.equal(isAdapted, true);
  assert.equal(lstatSync(join(folder, "cache")).mode & 0o777, 0o700);
  assert.equal(sha256(readFileSync(join(folder, "cache", COPY))), adapted);
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
    ["cut", () => writeFileSync(path, adaptBinary(original).subarray(0, 1_000))],
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
    assert.equal(loadNative(oldHost(folder)).native, path, name);
    assert.equal(sha256(readFileSync(path)), adapted, name);
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
  const cacheFolders = [join(folder, "file", "x"), second];
  assert.equal(loadNative(oldHost(folder, { cacheFolders })).native, join(second, COPY));
});

test("where no folder can hold a copy, the file is loaded as it is if it can be", (t) => {
  const folder = folderOf(t);
  writeFileSync(join(folder, "file"), "");
  const cacheFolders = [join(folder, "file")];
  const loaded = loadNative(oldHost(folder, { cacheFolders, dlopen: (path) => path }));
  assert.deepEqual(loaded, { native: join(packageFolder, NAME), isAdapted: false });
});

test("where the copy cannot be executed, the file is loaded as it is if it can be", (t) => {
  const folder = folderOf(t);
  const onlyPlain = (path: string): string => {
    if (dirname(path) === packageFolder) return path;
    throw new Error(NOEXEC);
  };
  assert.deepEqual(loadNative(oldHost(folder, { dlopen: onlyPlain })), {
    native: join(packageFolder, NAME),
    isAdapted: false,
  });
  const neither = (path: string): never => {
    throw new Error(dirname(path) === packageFolder ? TOO_NEW : NOEXEC);
  };
  assert.throws(() => loadNative(oldHost(folder, { dlopen: neither })), {
    code: "ERR_UWS_LOAD",
    message: /failed to map segment/,
  });
});

test("on another system the file is loaded as it is", (t) => {
  const folder = folderOf(t);
  const path = join(folder, "uws_darwin_x64_115.node");
  writeFileSync(path, "");
  const loaded = loadNative(
    oldHost(folder, { platform: "darwin", packageFolder: folder, dlopen: (file) => file }),
  );
  assert.deepEqual(loaded, { native: path, isAdapted: false });
  assert.equal(existsSync(join(folder, "cache")), false);
});

test("a copy without the recorded digest is never written", (t) => {
  const folder = folderOf(t);
  assert.throws(
    () =>
      cachedFile({
        name: "copy",
        digest: adapted,
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
  const loaded = loadNative(oldHost(folder, { packageFolder: folder, dlopen: (path) => path }));
  assert.deepEqual(loaded, { native: join(folder, NAME), isAdapted: false });
  assert.equal(existsSync(join(folder, "cache")), false);
});

test("a file under the name of another one of the list is not touched", (t) => {
  const folder = folderOf(t);
  copyFileSync(join(packageFolder, NAME), join(folder, "uws_linux_x64_127.node"));
  assert.throws(() => loadNative(oldHost(folder, { packageFolder: folder, abi: "127" })), {
    code: "ERR_UWS_UNKNOWN_BINARY",
  });
});

test("the version of glibc is not asked for where the copy can be loaded", (t) => {
  const glibcVersion = (): never => assert.fail("it takes Node long to say");
  assert.equal(loadNative(oldHost(folderOf(t), { glibcVersion })).isAdapted, true);
});

test("every copy asks for glibc 2.36, so that none can be loaded below it", () => {
  for (const name of Object.keys(KNOWN_BINARIES)) {
    const copy = Buffer.from(adaptBinary(readFileSync(join(packageFolder, name))));
    assert.ok(copy.includes("\0GLIBC_2.36\0"), name);
  }
});

test("below glibc 2.36 one sentence says which systems work", (t) => {
  const folder = folderOf(t);
  const dlopen = (path: string): never => {
    throw new Error(
      dirname(path) === packageFolder ? TOO_NEW : "version `GLIBC_2.36' not found (required by x)",
    );
  };
  const told = { code: "ERR_UWS_GLIBC_TOO_OLD", message: /Debian 12.*This system has 2\.35\.$/ };
  const old = { glibcVersion: () => "2.35", dlopen };
  assert.throws(() => loadNative(oldHost(folder, old)), told);
  const nowhere = { ...old, cacheFolders: [] };
  assert.throws(() => loadNative(oldHost(folder, nowhere)), told, "without a folder too");
  assert.throws(() => loadNative(oldHost(folder, { glibcVersion: () => null, dlopen })), {
    code: "ERR_UWS_GLIBC_TOO_OLD",
  });
});

test("any other failure is told as it is", (t) => {
  const folder = folderOf(t);
  const dlopen = (): never => {
    throw new Error("wrong ELF class");
  };
  assert.throws(() => loadNative(oldHost(folder, { dlopen })), {
    code: "ERR_UWS_LOAD",
    message: /wrong ELF class/,
  });
  assert.throws(() => loadNative(oldHost(folder, { abi: "83" })), { code: "ERR_UWS_UNSUPPORTED" });
});

test("the cache folder is the told one alone, else the user's, else one below the temporary folder", () => {
  const below = join(tmpdir(), "hawser-7");
  assert.deepEqual(cacheFolders({ HAWSER_CACHE_DIR: "/x" }, 7), ["/x"]);
  assert.deepEqual(cacheFolders({ XDG_CACHE_HOME: "/y" }, 7), ["/y/hawser", below]);
  assert.deepEqual(cacheFolders({ XDG_CACHE_HOME: "relative" }, 7), [below]);
  assert.deepEqual(cacheFolders({}, 7).slice(-1), [below]);
});
