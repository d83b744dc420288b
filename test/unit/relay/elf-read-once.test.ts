import assert from "node:assert/strict";
import { test } from "node:test";
import { readOnceElf } from "../../../src/relay/elf-read-once.ts";

const X64 = 62;
const ARM64 = 183;
const NAME = "us_internal_dispatch_ready_poll";
const ADDRESS = 0x7000;

const words = (...values: number[]): number[] =>
  values.flatMap((value) => [...new Uint8Array(Uint32Array.of(value).buffer)]);

/** `cmp r14d, 0x80000; jne …`, and the same with a short jump, which is not what is looked for. */
const X64_MATCH = [0x41, 0x81, 0xfe, 0, 0, 8, 0, 0x0f, 0x85];
const X64_SHORT = [0x41, 0x81, 0xfe, 0, 0, 8, 0, 0x75, 0x10];
const NOP = 0x90;
/** `cmp w20, #0x80, lsl #12; b.ne …`, and the same with `b.eq`. */
const ARM64_MATCH = words(0x7142_029f, 0x5400_0521);
const ARM64_EQUAL = words(0x7142_029f, 0x5400_0520);

interface Synthetic {
  readonly machine?: number;
  /** The bytes of the text section, of which `inFunction` is the function. */
  readonly text: readonly number[];
  readonly inFunction?: readonly [number, number];
  readonly names?: readonly string[];
  readonly symbolType?: number;
  readonly section?: number;
}

const TEXT_AT = 64;

/** Builds a shared object with a text section, a symbol table and nothing else. */
function build(synthetic: Synthetic): Uint8Array {
  const { machine = X64, text, names = ["other", NAME], symbolType = 2, section = 1 } = synthetic;
  const [from, to] = synthetic.inFunction ?? [0, text.length];
  const symbolsAt = TEXT_AT + text.length;
  const strings = `\0${names.join("\0")}\0`;
  const stringsAt = symbolsAt + (names.length + 1) * 24;
  const table = stringsAt + strings.length;
  const bytes = new Uint8Array(table + 4 * 64);
  const view = new DataView(bytes.buffer);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1], 0);
  view.setUint16(18, machine, true);
  view.setBigUint64(40, BigInt(table), true);
  view.setUint16(58, 64, true);
  view.setUint16(60, 4, true);
  bytes.set(text, TEXT_AT);
  names.forEach((name, i) => {
    const at = symbolsAt + (i + 1) * 24;
    view.setUint32(at, strings.indexOf(`\0${name}\0`) + 1, true);
    view.setUint8(at + 4, 0x10 | symbolType);
    view.setUint16(at + 6, section, true);
    view.setBigUint64(at + 8, BigInt(ADDRESS + from), true);
    view.setBigUint64(at + 16, BigInt(to - from), true);
  });
  bytes.set(Buffer.from(strings, "latin1"), stringsAt);
  const header = (i: number, fields: readonly [number, number, number, number, number]): void => {
    const [type, address, offset, size, link] = fields;
    view.setUint32(table + i * 64 + 4, type, true);
    view.setBigUint64(table + i * 64 + 16, BigInt(address), true);
    view.setBigUint64(table + i * 64 + 24, BigInt(offset), true);
    view.setBigUint64(table + i * 64 + 32, BigInt(size), true);
    view.setUint32(table + i * 64 + 40, link, true);
  };
  header(1, [1, ADDRESS, TEXT_AT, text.length, 0]);
  header(2, [11, 0, symbolsAt, (names.length + 1) * 24, 3]);
  header(3, [3, 0, stringsAt, strings.length, 0]);
  return bytes;
}

/** What differs, as offset in the text section and new byte. */
function differences(before: Uint8Array, after: Uint8Array): Array<[number, number]> {
  assert.equal(after.length, before.length);
  const found: Array<[number, number]> = [];
  after.forEach((byte, i) => {
    if (byte !== before[i]) found.push([i - TEXT_AT, byte]);
  });
  return found;
}

test("x64: the constant of the one comparison becomes the largest int, and nothing else changes", () => {
  const bytes = build({ text: [NOP, NOP, ...X64_MATCH, NOP, ...X64_SHORT] });
  const before = bytes.slice();
  assert.deepEqual(differences(bytes, readOnceElf(bytes)), [
    [5, 0xff],
    [6, 0xff],
    [7, 0xff],
    [8, 0x7f],
  ]);
  assert.deepEqual(bytes, before, "the input is left alone");
});

test("arm64: all bits of the constant are set, and nothing else changes", () => {
  const text = [...words(0xd503_201f), ...ARM64_MATCH, ...ARM64_EQUAL];
  const bytes = build({ machine: ARM64, text });
  const after = readOnceElf(bytes);
  assert.deepEqual(differences(bytes, after), [
    [5, 0xfe],
    [6, 0x7f],
  ]);
  assert.equal(new DataView(after.buffer).getUint32(TEXT_AT + 4, true), 0x717f_fe9f);
});

test("a comparison outside the function does not count", () => {
  const text = [...X64_MATCH, ...X64_MATCH, ...X64_MATCH];
  const bytes = build({ text, inFunction: [9, 18] });
  assert.deepEqual(
    differences(bytes, readOnceElf(bytes)).map(([at]) => at),
    [12, 13, 14, 15],
  );
});

const REFUSED: ReadonlyArray<readonly [string, Uint8Array, RegExp]> = [
  ["a file of zeros", new Uint8Array(4_096), /64-bit/],
  ["another machine", build({ machine: 40, text: X64_MATCH }), /another machine/],
  ["no comparison on x64", build({ text: X64_SHORT }), /does not compare/],
  ["no comparison on arm64", build({ machine: ARM64, text: ARM64_EQUAL }), /does not compare/],
  ["two comparisons on x64", build({ text: [...X64_MATCH, ...X64_MATCH] }), /more than once/],
  [
    "two comparisons on arm64",
    build({ machine: ARM64, text: [...ARM64_MATCH, ...ARM64_MATCH] }),
    /more than once/,
  ],
  [
    "a comparison that the function's end cuts",
    build({ text: [...X64_MATCH, NOP], inFunction: [0, 8] }),
    /does not compare/,
  ],
  [
    "a comparison that is not aligned on arm64",
    build({ machine: ARM64, text: [NOP, NOP, ...ARM64_MATCH], inFunction: [2, 10] }),
    /not aligned/,
  ],
  ["no such function", build({ text: X64_MATCH, names: ["other"] }), /exports no function/],
  ["two such functions", build({ text: X64_MATCH, names: [NAME, NAME] }), /two functions/],
  ["a variable of that name", build({ text: X64_MATCH, symbolType: 1 }), /as a function/],
  ["a function that it needs of others", build({ text: X64_MATCH, section: 0 }), /as a function/],
  [
    "a function beyond its section",
    build({ text: X64_MATCH, inFunction: [0, 10] }),
    /outside its section/,
  ],
  [
    "a function before its section",
    build({ text: X64_MATCH, inFunction: [-1, 9] }),
    /outside its section/,
  ],
];

for (const [name, bytes, message] of REFUSED) {
  test(`refuses ${name}`, () => {
    assert.throws(() => readOnceElf(bytes), { code: "ERR_UWS_ELF", message });
  });
}

test("a file cut at any byte, or with any one byte changed, is refused or rewritten, never worse", () => {
  const bytes = build({ text: [NOP, ...X64_MATCH, NOP] });
  for (let i = 0; i < bytes.length; i++) {
    // The last 16 bytes are fields of the last section that nothing asks for.
    if (i < bytes.length - 16) {
      assert.throws(() => readOnceElf(bytes.slice(0, i)), { code: "ERR_UWS_ELF" });
    }
    for (const value of [0, 1, 0x7f, 0xff]) {
      const changed = bytes.slice();
      changed[i] = value;
      try {
        assert.equal(readOnceElf(changed).length, bytes.length);
      } catch (error) {
        assert.equal((error as { code?: unknown }).code, "ERR_UWS_ELF");
      }
    }
  }
});
