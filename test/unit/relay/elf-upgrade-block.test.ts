import assert from "node:assert/strict";
import { test } from "node:test";
import { longUpgradeElf } from "../../../src/relay/elf-upgrade-block.ts";
import {
  ARM64,
  build,
  differences,
  type Synthetic,
  TEXT_AT,
  words,
} from "../../support/relay/synthetic-elf.ts";

const NAME = "us_socket_context_adopt_socket";
const NOP = 0x90;
/** Bytes of one such call on x64 and on arm64. */
const X64_BYTES = 16;
const ARM64_BYTES = 16;

/** `mov rsi, rbp; mov rdx, r14; mov ecx, 0x88; call …`, to so many bytes behind itself. */
const x64Call = (distance: number): number[] => {
  return [0x48, 0x89, 0xee, 0x4c, 0x89, 0xf2, 0xb9, 0x88, 0, 0, 0, 0xe8, ...words(distance)];
};
/** The same with another length, which is not what is looked for. */
const X64_OTHER = [0x48, 0x89, 0xee, 0x4c, 0x89, 0xf2, 0xb9, 0x90, 0, 0, 0, 0xe8, 0, 0, 0, 0];

/** `mov w3, #0x88; ldr x8, [x8]; ldr x19, [x8, #0x198]; bl …`, to so many instructions from the last. */
const arm64Call = (distance: number): number[] => {
  const branch = (0x9400_0000 | (distance & 0x03ff_ffff)) >>> 0;
  return words(0x5280_1103, 0xf940_0108, 0xf940_cd13, branch);
};
/** The same without a call behind it. */
const ARM64_OTHER = words(0x5280_1103, 0xf940_0108, 0xf940_cd13, 0xd503_201f);

/** A file that exports the function, which is none of the places where it is called. */
function file(text: readonly number[], more: Partial<Synthetic> = {}): Uint8Array {
  return build({ text, names: ["other", NAME], inFunction: [0, 0], ...more });
}

/** Two calls of what lies at the beginning. */
const X64_BOTH = [...x64Call(-X64_BYTES), NOP, ...x64Call(-2 * X64_BYTES - 1)];
const ARM64_BOTH = [...arm64Call(-3), ...arm64Call(-7)];

test("x64: 136 bytes become 176 in both calls, and nothing else changes", () => {
  const bytes = file([...X64_BOTH, ...X64_OTHER]);
  const before = bytes.slice();
  assert.deepEqual(differences(bytes, longUpgradeElf(bytes)), [
    [7, 0xb0],
    [X64_BYTES + 1 + 7, 0xb0],
  ]);
  assert.deepEqual(bytes, before, "the input is left alone");
});

test("arm64: 136 bytes become 176 in both calls, and nothing else changes", () => {
  const bytes = file([...ARM64_BOTH, ...ARM64_OTHER], { machine: ARM64 });
  const after = longUpgradeElf(bytes);
  assert.deepEqual(differences(bytes, after), [
    [1, 0x16],
    [ARM64_BYTES + 1, 0x16],
  ]);
  // `mov w3, #0xb0`
  assert.equal(new DataView(after.buffer).getUint32(TEXT_AT, true), 0x5280_1603);
});

const arm64 = (text: readonly number[], more: Partial<Synthetic> = {}): Uint8Array =>
  file(text, { machine: ARM64, ...more });

const REFUSED: ReadonlyArray<readonly [string, Uint8Array, RegExp]> = [
  ["a file of zeros", new Uint8Array(4_096), /64-bit/],
  ["no call on x64", file(X64_OTHER), /does not make WebSockets/],
  ["no call on arm64", arm64(ARM64_OTHER), /does not make WebSockets/],
  ["one call on x64", file(x64Call(0)), /in one place only/],
  ["one call on arm64", arm64(arm64Call(0)), /in one place only/],
  ["three calls on x64", file([...X64_BOTH, ...x64Call(0)]), /more than two places/],
  ["three calls on arm64", arm64([...ARM64_BOTH, ...arm64Call(0)]), /more than two places/],
  ["calls of two functions on x64", file([...x64Call(8), ...x64Call(8)]), /in two ways/],
  ["calls of two functions on arm64", arm64([...arm64Call(8), ...arm64Call(8)]), /in two ways/],
  ["a call on x64 that the end of the code cuts", file(X64_BOTH.slice(0, -1)), /one place only/],
  ["a call on arm64 that the end cuts", arm64(ARM64_BOTH.slice(0, -1)), /one place only/],
  ["no such function", file(X64_BOTH, { names: ["other"] }), /exports no function/],
  ["two such functions", file(X64_BOTH, { names: [NAME, NAME] }), /two functions/],
  ["a variable of that name", file(X64_BOTH, { symbolType: 1 }), /as a function/],
  ["a function beyond its section", file(X64_BOTH, { inFunction: [0, 64] }), /outside its section/],
];

for (const [name, bytes, message] of REFUSED) {
  test(`refuses ${name}`, () => {
    assert.throws(() => longUpgradeElf(bytes), { code: "ERR_UWS_ELF", message });
  });
}

test("a file cut at any byte, or with any one byte changed, is refused or rewritten, never worse", () => {
  for (const bytes of [file(X64_BOTH), arm64(ARM64_BOTH)]) {
    for (let i = 0; i < bytes.length; i++) {
      // The last 16 bytes are fields of the last section that nothing asks for.
      if (i < bytes.length - 16) {
        assert.throws(() => longUpgradeElf(bytes.slice(0, i)), { code: "ERR_UWS_ELF" });
      }
      for (const value of [0, 1, 0x7f, 0xff]) {
        const changed = bytes.slice();
        changed[i] = value;
        try {
          assert.equal(longUpgradeElf(changed).length, bytes.length);
        } catch (error) {
          assert.equal((error as { code?: unknown }).code, "ERR_UWS_ELF");
        }
      }
    }
  }
});
