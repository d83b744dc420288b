import assert from "node:assert/strict";
import { test } from "node:test";
import { retargetElf } from "../../../src/relay/elf-retarget.ts";

/** A symbol of the synthetic file: its name, its version index, and whether the file defines it. */
interface SymbolEntry {
  readonly name: string;
  readonly version: number;
  readonly section?: number;
}

interface Synthetic {
  readonly machine?: number;
  readonly symbols?: readonly SymbolEntry[];
  readonly needs?: ReadonlyArray<{
    readonly library: string;
    readonly versions: ReadonlyArray<{ readonly name: string; readonly index: number }>;
  }>;
}

const LIBC = {
  library: "libc.so.6",
  versions: [
    { name: "GLIBC_2.38", index: 3 },
    { name: "GLIBC_2.2.5", index: 2 },
  ],
};
const LIBM = { library: "libm.so.6", versions: [{ name: "GLIBC_2.2.5", index: 4 }] };

const SYMBOLS: readonly SymbolEntry[] = [
  { name: "", version: 0 },
  { name: "puts", version: 2 },
  { name: "__isoc23_strtol", version: 3 },
  { name: "__isoc23_sscanf", version: 3 | 0x8000 },
  { name: "ours", version: 1, section: 7 },
];

/** Offsets of the parts of a built file, for comparing. */
interface Built {
  readonly bytes: Uint8Array;
  readonly symbolsAt: number;
  readonly versionsAt: number;
  readonly needsAt: number;
  readonly stringsAt: number;
}

/** Builds a shared object with the four sections that matter and nothing else. */
function build({ machine = 62, symbols = SYMBOLS, needs = [LIBM, LIBC] }: Synthetic = {}): Built {
  let strings = "\0";
  const name = (text: string): number => {
    if (text === "") return 0;
    const found = strings.indexOf(`\0${text}\0`);
    if (found >= 0) return found + 1;
    strings += `${text}\0`;
    return strings.length - text.length - 1;
  };
  const bytes = new Uint8Array(4_096);
  const view = new DataView(bytes.buffer);
  const symbolsAt = 64;
  const versionsAt = symbolsAt + symbols.length * 24;
  symbols.forEach((symbol, i) => {
    view.setUint32(symbolsAt + i * 24, name(symbol.name), true);
    view.setUint16(symbolsAt + i * 24 + 6, symbol.section ?? 0, true);
    view.setUint16(versionsAt + i * 2, symbol.version, true);
  });
  const needsAt = versionsAt + symbols.length * 2;
  let at = needsAt;
  needs.forEach(({ library, versions }, i) => {
    const bytesOfNeed = 16 + versions.length * 16;
    view.setUint16(at, 1, true);
    view.setUint16(at + 2, versions.length, true);
    view.setUint32(at + 4, name(library), true);
    view.setUint32(at + 8, 16, true);
    view.setUint32(at + 12, i === needs.length - 1 ? 0 : bytesOfNeed, true);
    versions.forEach((version, j) => {
      const entry = at + 16 + j * 16;
      view.setUint16(entry + 6, version.index, true);
      view.setUint32(entry + 8, name(version.name), true);
      view.setUint32(entry + 12, j === versions.length - 1 ? 0 : 16, true);
    });
    at += bytesOfNeed;
  });
  const needsBytes = at - needsAt;
  const stringsAt = at;
  bytes.set(Buffer.from(strings, "latin1"), stringsAt);
  const table = stringsAt + strings.length;
  const section = (i: number, fields: readonly [number, number, number, number, number]): void => {
    const entry = table + i * 64;
    const [type, offset, size, link, info] = fields;
    view.setUint32(entry + 4, type, true);
    view.setBigUint64(entry + 24, BigInt(offset), true);
    view.setBigUint64(entry + 32, BigInt(size), true);
    view.setUint32(entry + 40, link, true);
    view.setUint32(entry + 44, info, true);
  };
  section(1, [11, symbolsAt, symbols.length * 24, 4, 1]);
  section(2, [0x6fff_ffff, versionsAt, symbols.length * 2, 1, 0]);
  section(3, [0x6fff_fffe, needsAt, needsBytes, 4, needs.length]);
  section(4, [3, stringsAt, strings.length, 0, 0]);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1], 0);
  view.setUint16(16, 3, true);
  view.setUint16(18, machine, true);
  view.setBigUint64(40, BigInt(table), true);
  view.setUint16(58, 64, true);
  view.setUint16(60, 5, true);
  return { bytes: bytes.slice(0, table + 5 * 64), symbolsAt, versionsAt, needsAt, stringsAt };
}

function symbolName(bytes: Uint8Array, { symbolsAt, stringsAt }: Built, i: number): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const start = stringsAt + view.getUint32(symbolsAt + i * 24, true);
  return Buffer.from(bytes.subarray(start, bytes.indexOf(0, start))).toString("latin1");
}

test("moves the symbols of the missing version to their old names and the base version", () => {
  const built = build();
  const before = built.bytes.slice();
  const after = retargetElf(built.bytes);
  const view = new DataView(after.buffer, after.byteOffset);
  assert.deepEqual(built.bytes, before, "the input is left alone");
  assert.deepEqual(
    SYMBOLS.map((_, i) => symbolName(after, built, i)),
    ["", "puts", "strtol", "sscanf", "ours"],
  );
  assert.deepEqual(
    SYMBOLS.map((_, i) => view.getUint16(built.versionsAt + i * 2, true)),
    [0, 2, 2, 2, 1],
    "the base version of the same library, not libm's",
  );
});

test("makes the missing version optional, and changes nothing else", () => {
  const built = build();
  const after = retargetElf(built.bytes);
  const missingAt = built.needsAt + 32 + 16;
  const changed: number[] = [];
  after.forEach((byte, i) => {
    if (byte !== built.bytes[i]) changed.push(i);
  });
  assert.equal(after.length, built.bytes.length);
  assert.equal(after[missingAt + 4], 2, "VER_FLG_WEAK");
  assert.deepEqual(changed, [
    built.symbolsAt + 2 * 24,
    built.symbolsAt + 3 * 24,
    built.versionsAt + 2 * 2,
    built.versionsAt + 3 * 2,
    built.versionsAt + 3 * 2 + 1,
    missingAt + 4,
  ]);
});

test("takes the base version of the machine", () => {
  const needs = [
    {
      library: "libc.so.6",
      versions: [
        { name: "GLIBC_2.17", index: 2 },
        { name: "GLIBC_2.38", index: 3 },
      ],
    },
  ];
  const built = build({ machine: 183, needs });
  const view = new DataView(retargetElf(built.bytes).buffer);
  assert.equal(view.getUint16(built.versionsAt + 4, true), 2);
  assert.throws(() => retargetElf(build({ machine: 62, needs }).bytes), /GLIBC_2\.2\.5/);
});

const REFUSED: ReadonlyArray<readonly [string, Uint8Array, RegExp]> = [
  ["an empty file", new Uint8Array(0), /64-bit/],
  ["a file of zeros", new Uint8Array(4_096), /64-bit/],
  ["another machine", build({ machine: 40 }).bytes, /another machine/],
  ["no use of the missing version", build({ needs: [LIBM] }).bytes, /does not ask for GLIBC_2\.38/],
  [
    "two libraries with the missing version",
    build({ needs: [LIBC, { ...LIBC, library: "libm.so.6" }] }).bytes,
    /two libraries/,
  ],
  [
    "a base version in another library only",
    build({ needs: [LIBM, { library: "libc.so.6", versions: LIBC.versions.slice(0, 1) }] }).bytes,
    /does not ask for GLIBC_2\.2\.5/,
  ],
  ["no symbol of that version", build({ symbols: SYMBOLS.slice(0, 2) }).bytes, /no symbol/],
  [
    "a function without the prefix",
    build({ symbols: [...SYMBOLS, { name: "arc4random", version: 3 }] }).bytes,
    /no older name/,
  ],
  [
    "a function that is not listed",
    build({ symbols: [...SYMBOLS, { name: "__isoc23_wcstol", version: 3 }] }).bytes,
    /not on the list/,
  ],
  [
    "a definition of that version",
    build({ symbols: [...SYMBOLS, { name: "__isoc23_strtoul", version: 3, section: 7 }] }).bytes,
    /defines/,
  ],
];

for (const [name, bytes, message] of REFUSED) {
  test(`refuses ${name}`, () => {
    assert.throws(() => retargetElf(bytes), { code: "ERR_UWS_ELF", message });
  });
}

test("a file cut at any byte, or with any one byte changed, is refused or rewritten, never worse", () => {
  const { bytes } = build();
  for (let i = 0; i < bytes.length; i++) {
    // The last 16 bytes are fields of the last section that nothing asks for.
    if (i < bytes.length - 16) {
      assert.throws(() => retargetElf(bytes.slice(0, i)), { code: "ERR_UWS_ELF" });
    }
    for (const value of [0, 1, 0x7f, 0xff]) {
      const changed = bytes.slice();
      changed[i] = value;
      try {
        assert.equal(retargetElf(changed).length, bytes.length);
      } catch (error) {
        assert.equal((error as { code?: unknown }).code, "ERR_UWS_ELF");
      }
    }
  }
});
