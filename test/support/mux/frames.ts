/**
 * Builds and reads yamux frames for the tests, plainly and slowly. Written from the wire description alone
 * and shares nothing with the product's codec, so that a mistake there cannot hide here.
 */

export const TYPE = { DATA: 0, WINDOW_UPDATE: 1, PING: 2, GO_AWAY: 3 } as const;
export const FLAG = { SYN: 1, ACK: 2, FIN: 4, RST: 8 } as const;

/** The window that both ends assume before any credit, in bytes. */
export const DEFAULT_WINDOW = 262_144;

/** One frame as read from the wire. `length` is the raw field; `payload` is empty unless the type is Data. */
export interface WireFrame {
  readonly version: number;
  readonly type: number;
  readonly flags: number;
  readonly id: number;
  readonly length: number;
  readonly payload: Uint8Array;
}

/** Any header, also a malformed one, followed by `payload` as it is. */
export function frame(
  type: number,
  flags: number,
  id: number,
  length: number,
  payload: Uint8Array = new Uint8Array(0),
  version = 0,
): Uint8Array {
  const bytes = new Uint8Array(12 + payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, version);
  view.setUint8(1, type);
  view.setUint16(2, flags);
  view.setUint32(4, id);
  view.setUint32(8, length);
  bytes.set(payload, 12);
  return bytes;
}

export const wu = (id: number, length: number, flags = 0) =>
  frame(TYPE.WINDOW_UPDATE, flags, id, length);
export const syn = (id: number, length = 0) => wu(id, length, FLAG.SYN);
export const ack = (id: number, length = 0) => wu(id, length, FLAG.ACK);
export const fin = (id: number) => wu(id, 0, FLAG.FIN);
export const rst = (id: number, length = 0) => wu(id, length, FLAG.RST);
export const ping = (value: number) => frame(TYPE.PING, FLAG.SYN, 0, value);
export const pong = (value: number) => frame(TYPE.PING, FLAG.ACK, 0, value);
export const goAway = (code: number) => frame(TYPE.GO_AWAY, 0, 0, code);

/** A Data frame. A string is written as Latin-1. */
export function data(id: number, payload: Uint8Array | string, flags = 0): Uint8Array {
  const bytes = typeof payload === "string" ? Buffer.from(payload, "latin1") : payload;
  return frame(TYPE.DATA, flags, id, bytes.length, bytes);
}

/** A Data header without its payload. */
export const dataHeader = (id: number, length: number, flags = 0) =>
  frame(TYPE.DATA, flags, id, length);

/** Bytes from hex; blanks are allowed. */
export function hex(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text.replaceAll(/\s/g, ""), "hex"));
}

export function concat(parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

/** `length` bytes in which every position differs from its neighbours. */
export function pattern(length: number, start = 0): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = ((start + i) * 167 + ((start + i) >>> 8) * 13) & 0xff;
  return bytes;
}

/** Reads the whole frames at the start of a byte stream; `rest` is the begun frame after them. Throws on a bad header. */
export function parseWhole(bytes: Uint8Array): { frames: WireFrame[]; rest: Uint8Array } {
  const frames: WireFrame[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  while (bytes.length - at >= 12) {
    const version = view.getUint8(at);
    const type = view.getUint8(at + 1);
    if (version !== 0 || type > 3) throw new Error(`bad header at byte ${at}`);
    const length = view.getUint32(at + 8);
    const end = at + 12 + (type === TYPE.DATA ? length : 0);
    if (end > bytes.length) break;
    const flags = view.getUint16(at + 2);
    const id = view.getUint32(at + 4);
    frames.push({ version, type, flags, id, length, payload: bytes.subarray(at + 12, end) });
    at = end;
  }
  return { frames, rest: bytes.subarray(at) };
}

/** Splits a whole byte stream into frames. Throws when it ends inside a frame or holds a bad header. */
export function parseFrames(bytes: Uint8Array): WireFrame[] {
  const { frames, rest } = parseWhole(bytes);
  if (rest.length > 0) throw new Error(`the stream ends ${rest.length} bytes into a frame`);
  return frames;
}

/** A frame in the notation of the conformance list: `WU+SYN(1,0)`, `Data(1,5)`, `Ping+ACK(0,deadbeef)`, `GoAway(1)`. */
export function notation(one: WireFrame): string {
  const names = ["Data", "WU", "Ping", "GoAway"];
  const flags = (["SYN", "ACK", "FIN", "RST"] as const).filter((name) => one.flags & FLAG[name]);
  const name = [names[one.type] ?? `type${one.type}`, ...flags].join("+");
  if (one.type === TYPE.GO_AWAY) return `${name}(${one.length})`;
  if (one.type === TYPE.PING) return `${name}(${one.id},${one.length.toString(16)})`;
  return `${name}(${one.id},${one.length})`;
}

/** The notation of every frame of a byte stream; what cannot be parsed is shown as hex. */
export function describe(bytes: Uint8Array): string[] {
  try {
    return parseFrames(bytes).map(notation);
  } catch {
    return [`unparsable ${Buffer.from(bytes.subarray(0, 64)).toString("hex")}`];
  }
}
