import {
  type ElfFile,
  type ElfMachine,
  refuse,
  rewriteElf,
  SECTION_DYNSYM,
  SYMBOL_BYTES,
} from "./elf-file.ts";

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

/** From glibc 2.38 back to any older one, for the three functions that differ only in reading `0b…`. */
export const FROM_GLIBC_2_38: ElfRetarget = {
  missingVersion: "GLIBC_2.38",
  baseVersion: { x64: "GLIBC_2.2.5", arm64: "GLIBC_2.17" },
  prefix: "__isoc23_",
  functions: ["strtol", "strtoul", "sscanf"],
};

/** Section types of the GNU extensions. */
const SECTION_VERNEED = 0x6fff_fffe;
const SECTION_VERSYM = 0x6fff_ffff;

/** Size of an entry of the version-needs section, of a library and of a version alike. */
const NEED_BYTES = 16;
const VERSION_HIDDEN = 0x8000;
/** `VER_FLG_WEAK`: the loader does not mind if the version is absent. */
const VERSION_FLAG_WEAK = 2;

/** One entry of the version-needs section: a version that is asked of a library. */
interface NeededVersion {
  readonly offset: number;
  readonly library: string;
  readonly name: string;
  readonly index: number;
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

function moveToBase(file: ElfFile, retarget: ElfRetarget): void {
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
  return rewriteElf(bytes, (file) => moveToBase(file, retarget));
}
