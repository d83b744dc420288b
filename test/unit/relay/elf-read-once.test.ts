import assert from "node:assert/strict";
import { test } from "node:test";
import { readOnceElf } from "../../../src/relay/elf-read-once.ts";
import {
  ARM64,
  build,
  differences,
  NAME,
  TEXT_AT,
  words,
} from "../../support/relay/synthetic-elf.ts";

/** `cmp r14d, 0x80000; jne …`, and the same with a short jump, which is not what is looked for. */
const X64_MATCH = [0x41, 0x81, 0xfe, 0, 0, 8, 0, 0x0f, 0x85];
const X64_SHORT = [0x41, 0x81, 0xfe, 0, 0, 8, 0, 0x75, 0x10];
const NOP = 0x90;
/** `cmp w20, #0x80, lsl #12; b.ne …`, and the same with `b.eq`. */
const ARM64_MATCH = words(0x7142_029f, 0x5400_0521);
const ARM64_EQUAL = words(0x7142_029f, 0x5400_0520);

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
