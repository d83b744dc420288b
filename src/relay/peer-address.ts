import type { HttpResponse } from "uWebSockets.js";

/** IPv4 addresses whose text is remembered. */
const REMEMBERED_MAX = 4_096;

const ipv4Texts = new Map<number, string>();

function ipv4Text(bytes: Uint8Array, at: number): string {
  const [a = 0, b = 0, c = 0, d = 0] = bytes.subarray(at, at + 4);
  const key = ((a << 24) | (b << 16) | (c << 8) | d) >>> 0;
  let text = ipv4Texts.get(key);
  if (text === undefined) {
    text = `${a}.${b}.${c}.${d}`;
    if (ipv4Texts.size >= REMEMBERED_MAX) ipv4Texts.clear();
    ipv4Texts.set(key, text);
  }
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
