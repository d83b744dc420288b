/** Synthetic shared objects whose code is looked at and changed. */
import assert from "node:assert/strict";

export const X64 = 62;
export const ARM64 = 183;
/** The function that is looked into. */
export const NAME = "us_internal_dispatch_ready_poll";
const ADDRESS = 0x7000;

/** Little-endian words as bytes. */
export const words = (...values: number[]): number[] =>
  values.flatMap((value) => [...new Uint8Array(Uint32Array.of(value).buffer)]);

/** What such a file has. */
export interface Synthetic {
  readonly machine?: number;
  /** The bytes of the text section, of which `inFunction` is the function. */
  readonly text: readonly number[];
  readonly inFunction?: readonly [number, number];
  readonly names?: readonly string[];
  readonly symbolType?: number;
  readonly section?: number;
}

/** Where the text section begins in the file. */
export const TEXT_AT = 64;

/** Builds a shared object with a text section, a symbol table and nothing else. */
export function build(synthetic: Synthetic): Uint8Array {
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
export function differences(before: Uint8Array, after: Uint8Array): Array<[number, number]> {
  assert.equal(after.length, before.length);
  const found: Array<[number, number]> = [];
  after.forEach((byte, i) => {
    if (byte !== before[i]) found.push([i - TEXT_AT, byte]);
  });
  return found;
}
