import { AppError } from "../core/errors.ts";

/** `e_machine` of the two machines that the package has Linux binaries for. */
export type ElfMachine = "x64" | "arm64";

const ELF_MAGIC_64_LITTLE = 0x7f454c46_0201n;
const MACHINES = new Map<number, ElfMachine>([
  [62, "x64"],
  [183, "arm64"],
]);

/** Section types, from the System V ABI. */
export const SECTION_PROGBITS = 1;
export const SECTION_DYNSYM = 11;

/** Size of an entry of the symbol table. */
export const SYMBOL_BYTES = 24;
/** Type of a symbol that names a function, in the low four bits of `st_info`. */
const SYMBOL_FUNCTION = 2;

/** One section, as its header has it. */
export interface Section {
  readonly type: number;
  /** Where its bytes are mapped; symbols give their values in these terms. */
  readonly address: number;
  /** Where its bytes are in the file. */
  readonly offset: number;
  readonly bytes: number;
  readonly link: number;
  readonly info: number;
}

/** A range of bytes of the file. */
export interface FileRange {
  readonly start: number;
  readonly end: number;
}

/** Says why a file is left alone. */
export function refuse(why: string): never {
  throw new AppError("ERR_UWS_ELF", `The native file cannot be adapted: ${why}.`);
}

/** Reads a 64-bit little-endian ELF file. Offsets outside the file are errors, never undefined. */
export class ElfFile {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly machine: ElfMachine;
  readonly #sections = new Map<number, Section>();
  readonly #byIndex: Section[] = [];

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (bytes.length < 64 || this.view.getBigUint64(0) >> 16n !== ELF_MAGIC_64_LITTLE) {
      refuse("it is not a 64-bit little-endian ELF file");
    }
    const machine = MACHINES.get(this.view.getUint16(18, true));
    if (machine === undefined) refuse("it is for another machine");
    this.machine = machine;
    const table = this.uint64(40);
    const entryBytes = this.view.getUint16(58, true);
    const count = this.view.getUint16(60, true);
    for (let i = 0; i < count; i++) {
      const at = table + i * entryBytes;
      const section: Section = {
        type: this.view.getUint32(at + 4, true),
        address: this.uint64(at + 16),
        offset: this.uint64(at + 24),
        bytes: this.uint64(at + 32),
        link: this.view.getUint32(at + 40, true),
        info: this.view.getUint32(at + 44, true),
      };
      this.#byIndex.push(section);
      if (!this.#sections.has(section.type)) this.#sections.set(section.type, section);
    }
  }

  uint64(offset: number): number {
    return Number(this.view.getBigUint64(offset, true));
  }

  section(type: number, name: string): Section {
    const section = this.#sections.get(type);
    if (section === undefined) refuse(`it has no ${name} section`);
    if (section.offset + section.bytes > this.bytes.length)
      refuse(`its ${name} section is cut off`);
    return section;
  }

  linked(section: Section): Section {
    const linked = this.#byIndex[section.link];
    if (linked === undefined || linked.offset + linked.bytes > this.bytes.length) {
      refuse("its string table is cut off");
    }
    return linked;
  }

  /** The zero-terminated string at `index` of a string table. */
  string(table: Section, index: number): string {
    const start = table.offset + index;
    const limit = table.offset + table.bytes;
    if (index >= table.bytes) refuse("a name lies outside its string table");
    const end = this.bytes.indexOf(0, start);
    if (end < 0 || end >= limit) refuse("a name is not terminated");
    return String.fromCharCode(...this.bytes.subarray(start, end));
  }

  /** Where the code of an exported function is in the file. */
  functionRange(name: string): FileRange {
    const symbolAt = this.#symbolOf(name);
    const { offset, address } = this.#codeSection(symbolAt, name);
    const start = offset + this.uint64(symbolAt + 8) - address;
    return { start, end: start + this.uint64(symbolAt + 16) };
  }

  /** Where all code is in the file that lies in one section with an exported function. */
  codeAround(name: string): FileRange {
    const { offset, bytes } = this.#codeSection(this.#symbolOf(name), name);
    if (offset + bytes > this.bytes.length) refuse("its code is cut off");
    return { start: offset, end: offset + bytes };
  }

  /** File offset of the symbol of that name; there must be exactly one. */
  #symbolOf(name: string): number {
    const symbols = this.section(SECTION_DYNSYM, "dynamic symbol");
    const strings = this.linked(symbols);
    let found: number | null = null;
    for (let at = symbols.offset; at < symbols.offset + symbols.bytes; at += SYMBOL_BYTES) {
      if (this.string(strings, this.view.getUint32(at, true)) !== name) continue;
      if (found !== null) refuse(`it has two functions ${name}`);
      found = at;
    }
    if (found === null) refuse(`it exports no function ${name}`);
    return found;
  }

  /** The section that holds the function of a symbol, the whole of it. */
  #codeSection(symbolAt: number, name: string): Section {
    const section = this.#byIndex[this.view.getUint16(symbolAt + 6, true)];
    if (
      (this.view.getUint8(symbolAt + 4) & 0xf) !== SYMBOL_FUNCTION ||
      section?.type !== SECTION_PROGBITS
    ) {
      refuse(`it does not define ${name} as a function`);
    }
    const inSection = this.uint64(symbolAt + 8) - section.address;
    const bytes = this.uint64(symbolAt + 16);
    const end = section.offset + inSection + bytes;
    if (inSection < 0 || inSection + bytes > section.bytes || end > this.bytes.length) {
      refuse(`${name} lies outside its section`);
    }
    return section;
  }
}

/**
 * Gives a copy of the file, changed by `change`.
 *
 * @param bytes the whole file; not changed
 * @throws AppError `ERR_UWS_ELF` where the file is not of the expected shape
 */
export function rewriteElf(bytes: Uint8Array, change: (file: ElfFile) => void): Uint8Array {
  try {
    const file = new ElfFile(Uint8Array.from(bytes));
    change(file);
    return file.bytes;
  } catch (error) {
    if (error instanceof RangeError) refuse("an offset lies outside it");
    throw error;
  }
}
