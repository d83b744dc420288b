import assert from "node:assert/strict";
import { test } from "node:test";
import { shortRecvElf } from "../../../src/relay/elf-recv-length.ts";
import {
  ARM64,
  build,
  differences,
  NAME,
  TEXT_AT,
  words,
} from "../../support/relay/synthetic-elf.ts";

/** `mov edx, 0x80000; xor ecx, ecx; call …`, and the same with flags, which is not what is looked for. */
const X64_MATCH = [0xba, 0, 0, 8, 0, 0x31, 0xc9, 0xe8];
const X64_FLAGS = [0xba, 0, 0, 8, 0, 0xb9, 0x40, 0xe8];
const NOP = 0x90;
/** `mov w2, #0x80000`, and the same for w3. */
const ARM64_MATCH = words(0x52a0_0102);
const ARM64_OTHER = words(0x52a0_0103);

test("x64: 512 KiB become 448 in the one call, and nothing else changes", () => {
  const bytes = build({ text: [NOP, ...X64_FLAGS, ...X64_MATCH, NOP] });
  const before = bytes.slice();
  assert.deepEqual(differences(bytes, shortRecvElf(bytes)), [[12, 7]]);
  assert.deepEqual(bytes, before, "the input is left alone");
});

test("arm64: 512 KiB become 448 in the one instruction, and nothing else changes", () => {
  const bytes = build({ machine: ARM64, text: [...ARM64_OTHER, ...ARM64_MATCH] });
  const after = shortRecvElf(bytes);
  assert.deepEqual(differences(bytes, after), [
    [4, 0xe2],
    [5, 0x00],
  ]);
  // `mov w2, #0x70000`
  assert.equal(new DataView(after.buffer).getUint32(TEXT_AT + 4, true), 0x52a0_00e2);
});

test("a call outside the function does not count", () => {
  const bytes = build({ text: [...X64_MATCH, ...X64_MATCH, ...X64_MATCH], inFunction: [8, 16] });
  assert.deepEqual(differences(bytes, shortRecvElf(bytes)), [[11, 7]]);
});

const REFUSED: ReadonlyArray<readonly [string, Uint8Array, RegExp]> = [
  ["a file of zeros", new Uint8Array(4_096), /64-bit/],
  ["no call on x64", build({ text: X64_FLAGS }), /does not receive/],
  ["no call on arm64", build({ machine: ARM64, text: ARM64_OTHER }), /does not receive/],
  ["two calls on x64", build({ text: [...X64_MATCH, ...X64_MATCH] }), /more than one place/],
  [
    "two calls on arm64",
    build({ machine: ARM64, text: [...ARM64_MATCH, ...ARM64_MATCH] }),
    /more than one place/,
  ],
  [
    "a call that the function's end cuts",
    build({ text: [...X64_MATCH, NOP], inFunction: [0, 7] }),
    /does not receive/,
  ],
  [
    "a call that is not aligned on arm64",
    build({ machine: ARM64, text: [NOP, NOP, ...ARM64_MATCH], inFunction: [2, 6] }),
    /not aligned/,
  ],
  ["no such function", build({ text: X64_MATCH, names: ["other"] }), /exports no function/],
  ["two such functions", build({ text: X64_MATCH, names: [NAME, NAME] }), /two functions/],
];

for (const [name, bytes, message] of REFUSED) {
  test(`refuses ${name}`, () => {
    assert.throws(() => shortRecvElf(bytes), { code: "ERR_UWS_ELF", message });
  });
}
