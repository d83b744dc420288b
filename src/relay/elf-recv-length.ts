import { type ElfFile, type ElfMachine, type FileRange, refuse, rewriteElf } from "./elf-file.ts";

/** The function of uSockets that is called for each event of a socket. */
const DISPATCH = "us_internal_dispatch_ready_poll";

/** `mov edx, 0x80000; xor ecx, ecx; call …`: the length and the flags that `recv` is called with. */
const X64_CALL = Uint8Array.of(0xba, 0x00, 0x00, 0x08, 0x00, 0x31, 0xc9, 0xe8);
/** Where the constant begins in it. */
const X64_CONSTANT_AT = 1;

/** `mov w2, #0x80000`, and the same with the new length. */
const ARM64_MOVE = 0x52a0_0102;
const ARM64_SHORTER = 0x52a0_00e2;

/**
 * What `recv` is to take at most: 448 KiB, so that together with the rest of a TLS record, 16 KiB and some bytes, it
 * stays below the 512 KiB at which uSockets hands over what is decrypted before all is.
 */
const LENGTH = 0x7_0000;

function x64Matches({ bytes }: ElfFile, { start, end }: FileRange): number[] {
  const found: number[] = [];
  for (let at = start; at + X64_CALL.length <= end; at++) {
    if (X64_CALL.every((byte, i) => bytes[at + i] === byte)) found.push(at);
  }
  return found;
}

function arm64Matches({ view }: ElfFile, { start, end }: FileRange): number[] {
  if (start % 4 !== 0) refuse(`${DISPATCH} is not aligned`);
  const found: number[] = [];
  for (let at = start; at + 4 <= end; at += 4) {
    if (view.getUint32(at, true) === ARM64_MOVE) found.push(at);
  }
  return found;
}

interface Call {
  /** File offsets of all places in the range where the buffer's length is handed over. */
  matches(file: ElfFile, range: FileRange): number[];
  shorten(view: DataView, at: number): void;
}

const CALLS: Readonly<Record<ElfMachine, Call>> = {
  x64: {
    matches: x64Matches,
    shorten: (view, at) => view.setUint32(at + X64_CONSTANT_AT, LENGTH, true),
  },
  arm64: {
    matches: arm64Matches,
    shorten: (view, at) => view.setUint32(at, ARM64_SHORTER, true),
  },
};

/**
 * Gives a copy of uWebSockets.js that reads less at a time than its buffer holds. As delivered, a `recv` that fills the
 * buffer of 512 KiB can decrypt to as much, and uSockets then hands that over while input is left. Whoever writes to any
 * TLS socket meanwhile, as the relay does, throws that input away: the next record makes no sense, and the connection
 * ends. Uploads of more than 512 KiB broke so, and tunnels with fast downloads.
 *
 * The constant of one instruction is written; the size does not change.
 *
 * @param bytes the whole file; not changed
 * @throws AppError `ERR_UWS_ELF` where the function does not hold exactly one such call
 * @see uSockets, src/crypto/openssl.c, `ssl_on_data` and `us_internal_ssl_socket_write`;
 *   docs/adr/0002-uwebsockets-package-and-glibc.md
 */
export function shortRecvElf(bytes: Uint8Array): Uint8Array {
  return rewriteElf(bytes, (file) => {
    const { matches, shorten } = CALLS[file.machine];
    const [at, second] = matches(file, file.functionRange(DISPATCH));
    if (at === undefined) refuse("it does not receive as much as its buffer holds");
    if (second !== undefined) refuse("it receives in more than one place");
    shorten(file.view, at);
  });
}
