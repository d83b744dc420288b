import { type ElfFile, type ElfMachine, type FileRange, refuse, rewriteElf } from "./elf-file.ts";

/** The function of uSockets that is called for each event of a socket. */
const DISPATCH = "us_internal_dispatch_ready_poll";

/** `cmp r14d, 0x80000; jne …`: the length of a `recv` against that of the buffer, 512 KiB. */
const X64_COMPARISON = Uint8Array.of(0x41, 0x81, 0xfe, 0x00, 0x00, 0x08, 0x00, 0x0f, 0x85);
/** Where the constant begins in it, and what takes its place: the largest `int`. */
const X64_CONSTANT_AT = 3;
const INT_MAX = 0x7fff_ffff;

/** `cmp wN, #0x80, lsl #12`, for any register N. */
const ARM64_COMPARISON = 0x7142_001f;
const ARM64_COMPARISON_MASK = 0xffff_fc1f;
/** `b.ne …`, which has to follow. */
const ARM64_BRANCH = 0x5400_0001;
const ARM64_BRANCH_MASK = 0xff00_001f;
/** All bits of the constant: `cmp wN, #0xfff, lsl #12`, which is just below 16 MiB. */
const ARM64_CONSTANT_BITS = 0xfff << 10;

function x64Matches({ bytes }: ElfFile, { start, end }: FileRange): number[] {
  const found: number[] = [];
  for (let at = start; at + X64_COMPARISON.length <= end; at++) {
    if (X64_COMPARISON.every((byte, i) => bytes[at + i] === byte)) found.push(at);
  }
  return found;
}

function arm64Matches({ view }: ElfFile, { start, end }: FileRange): number[] {
  if (start % 4 !== 0) refuse(`${DISPATCH} is not aligned`);
  const found: number[] = [];
  const isAt = (at: number, mask: number, word: number): boolean =>
    (view.getUint32(at, true) & mask) >>> 0 === word;
  for (let at = start; at + 8 <= end; at += 4) {
    if (
      isAt(at, ARM64_COMPARISON_MASK, ARM64_COMPARISON) &&
      isAt(at + 4, ARM64_BRANCH_MASK, ARM64_BRANCH)
    ) {
      found.push(at);
    }
  }
  return found;
}

interface Comparison {
  /** File offsets of all comparisons with the buffer's length in the range. */
  matches(file: ElfFile, range: FileRange): number[];
  /** Puts a length in place that no `recv` reaches. */
  disable(view: DataView, at: number): void;
}

const COMPARISONS: Readonly<Record<ElfMachine, Comparison>> = {
  x64: {
    matches: x64Matches,
    disable: (view, at) => view.setUint32(at + X64_CONSTANT_AT, INT_MAX, true),
  },
  arm64: {
    matches: arm64Matches,
    disable: (view, at) =>
      view.setUint32(at, (view.getUint32(at, true) | ARM64_CONSTANT_BITS) >>> 0, true),
  },
};

/**
 * Gives a copy of uWebSockets.js that reads once per event. As delivered, it repeats `recv` for as long as one fills
 * the buffer, and does not look at `pause()` in between: whoever sends faster than we take keeps the loop to himself
 * and fills our memory. What stays in the kernel is reported again in the next turn, unless the socket is paused.
 *
 * The constant of one comparison is written; the size does not change.
 *
 * @param bytes the whole file; not changed
 * @throws AppError `ERR_UWS_ELF` where the function does not hold exactly one such comparison
 * @see uSockets, src/loop.c, `us_internal_dispatch_ready_poll`; docs/adr/0002-uwebsockets-package-and-glibc.md
 */
export function readOnceElf(bytes: Uint8Array): Uint8Array {
  return rewriteElf(bytes, (file) => {
    const { matches, disable } = COMPARISONS[file.machine];
    const [at, second] = matches(file, file.functionRange(DISPATCH));
    if (at === undefined) refuse("it does not compare what it received with its buffer's length");
    if (second !== undefined) refuse("it compares what it received more than once");
    disable(file.view, at);
  });
}
