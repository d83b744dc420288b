import { BlockList, isIP, isIPv4, isIPv6 } from "node:net";
import { ConfigError } from "./errors.ts";

/** Proxies in a row that are walked back through; a longer list ends there. */
const HOPS_MAX = 32;
/** Peers remembered with their verdict; the table starts anew when it is full. */
const PEERS_MAX = 4_096;

/**
 * Names besides `X-Forwarded-For` and `Forwarded` by which proxies tell whom they speak for, and servers take their word,
 * in all spellings that a server may read as the same.
 */
const ADDRESS_FIELD =
  /^(?:x[^0-9a-z](?:real|client|cluster[^0-9a-z]client)|(?:true|fastly)[^0-9a-z]client|cf[^0-9a-z]connecting)[^0-9a-z]ip$/;

/**
 * Whether a field tells a client's address, as proxies say it: `x-real-ip`, `true-client-ip` and the like.
 *
 * @param name in lower case
 */
export function tellsClientAddress(name: string): boolean {
  return ADDRESS_FIELD.test(name);
}

/** The text of an IPv4 address that IPv6 carries in its last four bytes, or "". */
function mappedIPv4(groups: readonly number[]): string {
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, high = 0, low = 0] = groups;
  if ((a | b | c | d | e) !== 0 || f !== 0xffff) return "";
  return `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`;
}

/** The eight groups of a valid IPv6 text without zone. */
function groupsOf(text: string): number[] {
  let hex = text;
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(text);
  if (dotted !== null) {
    const [, head = "", a = "0", b = "0", c = "0", d = "0"] = dotted;
    hex = `${head}${((+a << 8) | +b).toString(16)}:${((+c << 8) | +d).toString(16)}`;
  }
  const [left = "", right] = hex.split("::");
  const before = left === "" ? [] : left.split(":");
  const after = right === undefined || right === "" ? [] : right.split(":");
  const zeros = right === undefined ? 0 : 8 - before.length - after.length;
  return [...before, ...Array<string>(zeros).fill("0"), ...after].map((part) =>
    Number.parseInt(part, 16),
  );
}

/**
 * The one spelling of an address: IPv4 dotted, IPv6 by RFC 5952, IPv4 mapped into IPv6 as IPv4. "" for a text that
 * is no address.
 *
 * uWS spells an IPv6 peer out in full, Node shortens it; a listener on `::` sees IPv4 peers as mapped ones.
 *
 * @see RFC 5952, section 4
 */
export function canonicalAddress(text: string): string {
  if (isIPv4(text)) return text;
  const zone = text.indexOf("%");
  const bare = zone < 0 ? text : text.slice(0, zone);
  if (!isIPv6(bare)) return "";
  const groups = groupsOf(bare);
  const mapped = mappedIPv4(groups);
  if (mapped !== "") return mapped;
  // The longest run of at least two zero groups becomes "::"; the first one where two are equally long.
  let best = -1;
  let bestLength = 1;
  for (let start = 0; start < 8; start++) {
    let length = 0;
    while (start + length < 8 && groups[start + length] === 0) length++;
    if (length > bestLength) {
      best = start;
      bestLength = length;
    }
    if (length > 0) start += length - 1;
  }
  const hex = groups.map((group) => group.toString(16));
  if (best < 0) return hex.join(":");
  return `${hex.slice(0, best).join(":")}::${hex.slice(best + bestLength).join(":")}`;
}

/** The address of one element of `X-Forwarded-For`: bare, in brackets, with a port or quoted. "" for nonsense. */
function elementAddress(element: string): string {
  let text = element.trim();
  if (text.startsWith('"') && text.endsWith('"')) text = text.slice(1, -1);
  if (text.startsWith("[")) {
    const end = text.indexOf("]");
    return end < 0 ? "" : canonicalAddress(text.slice(1, end));
  }
  const colon = text.indexOf(":");
  // One colon: an IPv4 address and its port.
  if (colon >= 0 && colon === text.lastIndexOf(":")) text = text.slice(0, colon);
  return canonicalAddress(text);
}

/** Whether `text` is an address or `address/prefix` of right length. */
function addCidr(list: BlockList, text: string): boolean {
  const slash = text.indexOf("/");
  const address = slash < 0 ? text : text.slice(0, slash);
  const family = isIP(address);
  if (family === 0) return false;
  const bits = family === 4 ? 32 : 128;
  const prefix = slash < 0 ? String(bits) : text.slice(slash + 1);
  if (!/^\d{1,3}$/.test(prefix) || Number(prefix) > bits) return false;
  list.addSubnet(address, Number(prefix), family === 4 ? "ipv4" : "ipv6");
  return true;
}

/** What is known of one peer address. */
interface Peer {
  readonly address: string;
  readonly trusted: boolean;
}

/**
 * Whose address a request came from. Only proxies of the configured blocks are believed what they forward.
 *
 * Throws `ConfigError` for a block that is none.
 */
export class ClientAddressRule {
  readonly #list: BlockList | null;
  readonly #peers = new Map<string, Peer>();

  constructor(trustedProxyCidrs: readonly string[]) {
    const list = new BlockList();
    const wrong = trustedProxyCidrs.filter((cidr) => !addCidr(list, cidr));
    if (wrong.length > 0) {
      throw new ConfigError([
        { setting: "trustedProxyCidrs", problem: `not an address block: ${wrong.join(", ")}` },
      ]);
    }
    this.#list = trustedProxyCidrs.length > 0 ? list : null;
  }

  #isTrusted(address: string): boolean {
    if (this.#list === null || address === "") return false;
    return this.#list.check(address, isIPv4(address) ? "ipv4" : "ipv6");
  }

  #peer(text: string): Peer {
    const known = this.#peers.get(text);
    if (known !== undefined) return known;
    const address = canonicalAddress(text);
    const peer = { address, trusted: this.#isTrusted(address) };
    if (this.#peers.size >= PEERS_MAX) this.#peers.clear();
    this.#peers.set(text, peer);
    return peer;
  }

  /** Whether what this peer forwards (`X-Forwarded-*`, `Forwarded`) is believed. */
  trusts(peer: string): boolean {
    return this.#list !== null && this.#peer(peer).trusted;
  }

  /**
   * The client's address in its one spelling. Behind trusted proxies it is the last element of `X-Forwarded-For`
   * that is not such a proxy itself; an element that is no address ends the walk.
   *
   * @param peer address of the connection, in any spelling
   * @param xForwardedFor the field as received, several lines joined by commas; "" for none
   */
  clientOf(peer: string, xForwardedFor: string): string {
    const { address, trusted } = this.#peer(peer);
    if (!trusted || xForwardedFor === "") return address;
    let client = address;
    let end = xForwardedFor.length;
    for (let hop = 0; hop < HOPS_MAX && end >= 0; hop++) {
      const comma = end === 0 ? -1 : xForwardedFor.lastIndexOf(",", end - 1);
      const element = elementAddress(xForwardedFor.slice(comma + 1, end));
      if (element === "") break;
      client = element;
      if (!this.#isTrusted(element)) break;
      end = comma;
    }
    return client;
  }
}
