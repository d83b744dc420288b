import type { HttpResponse } from "uWebSockets.js";

/** IPv4 addresses whose text is remembered. */
const REMEMBERED_MAX = 4_096;

const ipv4Texts = new Map<number, string>();
let lastKey = -1;
let lastText = "";

/** Big-endian number of four bytes that exist. */
function uint32At(bytes: Uint8Array, at: number): number {
  const high = ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
  const low = ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0);
  return ((high << 16) | low) >>> 0;
}

function ipv4Text(bytes: Uint8Array, at: number): string {
  const key = uint32At(bytes, at);
  if (key === lastKey) return lastText;
  let text = ipv4Texts.get(key);
  if (text === undefined) {
    text = bytes.subarray(at, at + 4).join(".");
    if (ipv4Texts.size >= REMEMBERED_MAX) ipv4Texts.clear();
    ipv4Texts.set(key, text);
  }
  lastKey = key;
  lastText = text;
  return text;
}

function isMappedIpv4(bytes: Uint8Array): boolean {
  for (let i = 0; i < 10; i++) if (bytes[i] !== 0) return false;
  return bytes[10] === 0xff && bytes[11] === 0xff;
}

/** Text of the address that a connection comes from. An IPv4-mapped IPv6 address is given as IPv4. */
export function peerAddress(res: HttpResponse): string {
  const bytes = new Uint8Array(res.getRemoteAddress());
  if (bytes.length === 4) return ipv4Text(bytes, 0);
  if (bytes.length === 16 && isMappedIpv4(bytes)) return ipv4Text(bytes, 12);
  return Buffer.from(res.getRemoteAddressAsText()).toString("latin1");
}
