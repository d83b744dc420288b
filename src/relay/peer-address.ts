import type { HttpResponse, TemplatedApp } from "uWebSockets.js";

/** IPv4 addresses whose text is remembered. */
const REMEMBERED_MAX = 4_096;

const ipv4Texts = new Map<number, string>();

/** Big-endian number of four bytes that exist. */
function uint32At(bytes: Uint8Array, at: number): number {
  const high = ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
  const low = ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0);
  return ((high << 16) | low) >>> 0;
}

function ipv4Text(bytes: Uint8Array, at: number): string {
  const key = uint32At(bytes, at);
  let text = ipv4Texts.get(key);
  if (text === undefined) {
    text = bytes.subarray(at, at + 4).join(".");
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

/**
 * The addresses that the connections of one app come from. Asking for the one of a request is a system call and an
 * allocation, 0.8 µs together, and uWS does not say which connection a request came on. But while all that are open
 * come from one address, as behind a proxy in front or from a load harness, there is nothing to ask.
 *
 * Invariant: `#open` is at least the number of open HTTP connections, and `#mixed` is true or all of them come from
 * `#address`.
 */
export class PeerAddresses {
  #open = 0;
  #address = "";
  #mixed = false;

  /** Follows the connections of `app`, which must not listen yet. */
  constructor(app: TemplatedApp) {
    const follow = (res: HttpResponse, change: unknown): void => {
      if (Number(change) > 0) this.#opened(res);
      else this.#closed();
    };
    app.filter(follow);
  }

  /** The address of the connection that a request came on. */
  of(res: HttpResponse): string {
    return this.#mixed ? peerAddress(res) : this.#address;
  }

  /** A connection is a WebSocket from now on: uWS will not tell of its end. To be called once for each. */
  upgraded(): void {
    this.#closed();
  }

  #opened(res: HttpResponse): void {
    if (this.#open === 0) {
      this.#address = peerAddress(res);
      this.#mixed = false;
    } else if (!this.#mixed) {
      this.#mixed = peerAddress(res) !== this.#address;
    }
    this.#open += 1;
  }

  #closed(): void {
    this.#open -= 1;
  }
}
