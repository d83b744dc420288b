import { type ElfFile, type ElfMachine, type FileRange, refuse, rewriteElf } from "./elf-file.ts";

/** The function of uSockets that gives a socket's block its new length; all code lies in one section with it. */
const ADOPT = "us_socket_context_adopt_socket";

/** `mov rsi, rbp; mov rdx, r14; mov ecx, 0x88; call …`: context, socket and length of what a WebSocket adds to it. */
const X64_CALL = Uint8Array.of(0x48, 0x89, 0xee, 0x4c, 0x89, 0xf2, 0xb9, 0x88, 0, 0, 0, 0xe8);
/** Where the constant begins in it, and how far the call reaches; its target is relative to the end. */
const X64_CONSTANT_AT = 7;
const X64_CALL_BYTES = X64_CALL.length + 4;

/** `mov w3, #0x88; ldr x8, [x8]; ldr x19, [x8, #0x198]`, then `bl …`; and the first with the new length. */
const ARM64_CALL = [0x5280_1103, 0xf940_0108, 0xf940_cd13] as const;
const ARM64_LONGER = 0x5280_1603;
const ARM64_BRANCH = 0x9400_0000;
const ARM64_BRANCH_MASK = 0xfc00_0000;

/**
 * What a WebSocket is to add to its socket: 176 bytes in place of 136. With the 64 that a plain socket counts for, and
 * the 80 of one over TLS, the block ends right behind the state of the HTTP response, at 236 and at 252.
 */
const LENGTH = 0xb0;

/** One place where the length is handed over. */
interface Call {
  /** File offset of its first byte. */
  readonly at: number;
  /** File offset of what is called. */
  readonly target: number;
}

function x64Calls({ bytes, view }: ElfFile, { start, end }: FileRange): Call[] {
  const code = Buffer.from(bytes.buffer, bytes.byteOffset, end);
  const found: Call[] = [];
  for (let at = code.indexOf(X64_CALL, start); at >= 0; at = code.indexOf(X64_CALL, at + 1)) {
    if (at + X64_CALL_BYTES > end) break;
    const distance = view.getInt32(at + X64_CALL.length, true);
    found.push({ at, target: at + X64_CALL_BYTES + distance });
  }
  return found;
}

function arm64Calls({ view }: ElfFile, { start, end }: FileRange): Call[] {
  if (start % 4 !== 0) refuse("its code is not aligned");
  const found: Call[] = [];
  for (let at = start; at + 16 <= end; at += 4) {
    if (!ARM64_CALL.every((word, i) => view.getUint32(at + 4 * i, true) === word)) continue;
    const branch = view.getUint32(at + 12, true);
    if ((branch & ARM64_BRANCH_MASK) >>> 0 !== ARM64_BRANCH) continue;
    // The low 26 bits count words, from the branch on.
    found.push({ at, target: at + 12 + ((branch << 6) >> 4) });
  }
  return found;
}

interface Machine {
  calls(file: ElfFile, range: FileRange): Call[];
  lengthen(view: DataView, at: number): void;
}

const BY_MACHINE: Readonly<Record<ElfMachine, Machine>> = {
  x64: {
    calls: x64Calls,
    lengthen: (view, at) => view.setUint32(at + X64_CONSTANT_AT, LENGTH, true),
  },
  arm64: {
    calls: arm64Calls,
    lengthen: (view, at) => view.setUint32(at, ARM64_LONGER, true),
  },
};

/**
 * Gives a copy of uWebSockets.js whose upgrades leave the state of the HTTP response in the socket's block. As delivered,
 * an upgrade shortens the block to what a WebSocket needs. `HttpResponse::cork`, under which an upgrade outside the route
 * handler happens, tells by the block's address alone that the response is no more, and `realloc` mostly leaves that as
 * it was: so it reads the state from freed memory, and ends the connection where that reads as "close". No WebSocket
 * writes to where the state is, which an upgrade has left as "done".
 *
 * The constants of two instructions are written, one for plain sockets and one for TLS; the size does not change.
 *
 * @param bytes the whole file; not changed
 * @throws AppError `ERR_UWS_ELF` where the file does not hold exactly two such calls, of one function
 * @see uWebSockets, src/HttpResponse.h, `upgrade` and `cork`; docs/adr/0002-uwebsockets-package-and-glibc.md
 */
export function longUpgradeElf(bytes: Uint8Array): Uint8Array {
  return rewriteElf(bytes, (file) => {
    const { calls, lengthen } = BY_MACHINE[file.machine];
    const [first, second, third] = calls(file, file.codeAround(ADOPT));
    if (first === undefined) refuse("it does not make WebSockets of sockets");
    if (second === undefined) refuse("it makes WebSockets of sockets in one place only");
    if (third !== undefined) refuse("it makes WebSockets of sockets in more than two places");
    if (first.target !== second.target) refuse("it makes WebSockets of sockets in two ways");
    for (const { at } of [first, second]) lengthen(file.view, at);
  });
}
