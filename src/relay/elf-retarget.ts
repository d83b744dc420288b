import { AppError } from "../core/errors.ts";

/**
 * What the rewriting is about: a binary that was linked on glibc 2.38 asks for the C23 names of three old
 * functions. The older glibc has the same functions under their old names.
 */
export interface ElfRetarget {
  /** The version that the older glibc lacks. */
  readonly missingVersion: string;
  /** The version that the same functions have in every glibc, by machine. */
  readonly baseVersion: Readonly<Record<ElfMachine, string>>;
  /** What stands before the old name in the new one. */
  readonly prefix: string;
  /** The old names that may be meant; any other is refused. */
  readonly functions: readonly string[];
}

/** `e_machine` of the two machines that the package has Linux binaries for. */
export type ElfMachine = "x64" | "arm64";

/** From glibc 2.38 back to any older one, for the three functions that differ only in reading `0b…`. */
export const FROM_GLIBC_2_38: ElfRetarget = {
  missingVersion: "GLIBC_2.38",
  baseVersion: { x64: "GLIBC_2.2.5", arm64: "GLIBC_2.17" },
  prefix: "__isoc23_",
  functions: ["strtol", "strtoul", "sscanf"],
};

const ELF_MAGIC_64_LITTLE = 0x7f454c46_0201n;
const MACHINES = new Map<number, ElfMachine>([
  [62, "x64"],
  [183, "arm64"],
]);

/** Section types, from the System V ABI and the GNU extensions. */
const SECTION_DYNSYM = 11;
const SECTION_VERNEED = 0x6fff_fffe;
const SECTION_VERSYM = 0x6fff_ffff;

const SYMBOL_BYTES = 24;
/** Size of an entry of the version-needs section, of a library and of a version alike. */
const NEED_BYTES = 16;
const VERSION_HIDDEN = 0x8000;
/** `VER_FLG_WEAK`: the loader does not mind if the version is absent. */
const VERSION_FLAG_WEAK = 2;

interface Section {
  readonly offset: number;
  readonly bytes: number;
  readonly link: number;
  readonly info: number;
}

/** One entry of the version-needs section: a version that is asked of a library. */
interface NeededVersion {
  readonly offset: number;
  readonly library: string;
  readonly name: string;
  readonly index: number;
}

function refuse(why: string): never {
  throw new AppError("ERR_UWS_ELF", `The native file cannot be adapted to this glibc: ${why}.`);
}

/** Reads a 64-bit little-endian ELF file. Offsets outside the file are errors, never undefined. */
class ElfFile {
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
      const type = this.view.getUint32(at + 4, true);
      const section: Section = {
        offset: this.uint64(at + 24),
        bytes: this.uint64(at + 32),
        link: this.view.getUint32(at + 40, true),
        info: this.view.getUint32(at + 44, true),
      };
      this.#byIndex.push(section);
      if (!this.#sections.has(type)) this.#sections.set(type, section);
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
}

function neededVersions(file: ElfFile): NeededVersion[] {
  const section = file.section(SECTION_VERNEED, "version-needs");
  const strings = file.linked(section);
  const { view } = file;
  const found: NeededVersion[] = [];
  let at = section.offset;
  for (let i = 0; i < section.info; i++) {
    const library = file.string(strings, view.getUint32(at + 4, true));
    const count = view.getUint16(at + 2, true);
    let entry = at + view.getUint32(at + 8, true);
    for (let j = 0; j < count; j++) {
      found.push({
        offset: entry,
        library,
        name: file.string(strings, view.getUint32(entry + 8, true)),
        index: view.getUint16(entry + 6, true) & ~VERSION_HIDDEN,
      });
      entry = nextEntry(view, entry, j === count - 1);
    }
    at = nextEntry(view, at, i === section.info - 1);
  }
  return found;
}

/** Both kinds of entry give the distance to the next one in their last word; it must lead on. */
function nextEntry(view: DataView, at: number, isLast: boolean): number {
  const distance = view.getUint32(at + 12, true);
  if (!isLast && distance < NEED_BYTES) refuse("its list of versions does not lead on");
  return at + distance;
}

/** Renames the symbols that carry the missing version; the string table shares suffixes, so none is written. */
function moveSymbols(file: ElfFile, from: number, to: number, retarget: ElfRetarget): number {
  const symbols = file.section(SECTION_DYNSYM, "dynamic symbol");
  const versions = file.section(SECTION_VERSYM, "symbol version");
  const strings = file.linked(symbols);
  const count = symbols.bytes / SYMBOL_BYTES;
  if (versions.bytes !== count * 2) refuse("its symbols and their versions differ in number");
  let moved = 0;
  for (let i = 0; i < count; i++) {
    const versionAt = versions.offset + i * 2;
    if ((file.view.getUint16(versionAt, true) & ~VERSION_HIDDEN) !== from) continue;
    const symbolAt = symbols.offset + i * SYMBOL_BYTES;
    const nameAt = file.view.getUint32(symbolAt, true);
    const name = file.string(strings, nameAt);
    if (file.view.getUint16(symbolAt + 6, true) !== 0)
      refuse("it defines a symbol of that version");
    if (!name.startsWith(retarget.prefix)) refuse("it needs a function that has no older name");
    if (!retarget.functions.includes(name.slice(retarget.prefix.length))) {
      refuse("it needs a function that is not on the list");
    }
    file.view.setUint32(symbolAt, nameAt + retarget.prefix.length, true);
    file.view.setUint16(versionAt, to, true);
    moved++;
  }
  return moved;
}

function retargeted(bytes: Uint8Array, retarget: ElfRetarget): Uint8Array {
  const file = new ElfFile(Uint8Array.from(bytes));
  const needed = neededVersions(file);
  const missing = needed.filter(({ name }) => name === retarget.missingVersion);
  const [from] = missing;
  if (from === undefined) refuse(`it does not ask for ${retarget.missingVersion}`);
  if (missing.length > 1) refuse(`two libraries are asked for ${retarget.missingVersion}`);
  const baseName = retarget.baseVersion[file.machine];
  const base = needed.find(({ library, name }) => library === from.library && name === baseName);
  if (base === undefined) refuse(`it does not ask for ${baseName}`);
  if (moveSymbols(file, from.index, base.index, retarget) === 0) {
    refuse(`no symbol asks for ${retarget.missingVersion}`);
  }
  const flagsAt = from.offset + 4;
  file.view.setUint16(flagsAt, file.view.getUint16(flagsAt, true) | VERSION_FLAG_WEAK, true);
  return file.bytes;
}

/**
 * Gives a copy of a shared object in which the functions of the missing glibc version are asked for by their
 * old names and base version, and in which the missing version itself is optional. The size does not change;
 * nothing but the symbols' name offsets and version indexes and one flag is written.
 *
 * @param bytes the whole file; not changed
 * @throws AppError `ERR_UWS_ELF` where the file is not exactly of the expected shape
 * @see System V ABI, "Symbol Table"; LSB Core, "Symbol Versioning" (Elfxx_Verneed, Elfxx_Vernaux)
 */
export function retargetElf(
  bytes: Uint8Array,
  retarget: ElfRetarget = FROM_GLIBC_2_38,
): Uint8Array {
  try {
    return retargeted(bytes, retarget);
  } catch (error) {
    if (error instanceof RangeError) refuse("an offset lies outside it");
    throw error;
  }
}
