import { holdsPlaceholder } from "../../core/placeholder.ts";

/** One key of a ring. */
export interface RingKey {
  /** Public: it stands in what was made with the key. */
  readonly id: string;
  readonly bytes: Buffer;
}

/** Keys by their ids: the first one makes, all of them check. */
export interface KeyRing {
  readonly first: RingKey;
  readonly keys: ReadonlyMap<string, RingKey>;
}

/** A ring, or why the text is none; the reason never repeats the text. */
export type KeyRingReading =
  | { readonly ok: true; readonly ring: KeyRing }
  | { readonly ok: false; readonly problem: string };

export const KEY_BYTES_MIN = 32;
/** Each key is tried by its id, so this bounds memory alone. */
export const RING_KEYS_MAX = 16;
/** Of an id of a key. */
export const KEY_ID = "[A-Za-z0-9_-]{1,16}";

const ENTRY = new RegExp(`^(${KEY_ID}):(\\S+)$`);
const HEX = /^(?:[0-9a-f]{2})+$/i;
const BASE64 = /^[A-Za-z0-9+/_-]+={0,2}$/;
/** 32 random bytes have fewer than this many different values once in 10^20 rings. */
const DIFFERENT_BYTES_MIN = 16;

/**
 * Reads `k2:<key>,k1:<key>`: each key is at least 32 random bytes in base64, base64url or hex. What is evidently no
 * random key is refused.
 */
export function readKeyRing(text: string): KeyRingReading {
  const entries = text.split(",").map((entry) => entry.trim());
  if (entries.length > RING_KEYS_MAX) return refused(`wanted ${RING_KEYS_MAX} keys at most`);
  const keys = new Map<string, RingKey>();
  for (const [index, entry] of entries.entries()) {
    const [, id = "", encoded = ""] = ENTRY.exec(entry) ?? [];
    const where = `key ${index + 1}`;
    if (id === "") return refused(`${where}: wanted <id>:<32 random bytes in base64 or hex>`);
    if (keys.has(id)) return refused(`${where}: its id stands twice`);
    const bytes = decode(encoded);
    if (bytes === null) return refused(`${where}: neither base64 nor hex`);
    if (bytes.length < KEY_BYTES_MIN) return refused(`${where}: shorter than 32 bytes`);
    const isPlaceholder = [encoded, bytes.toString("latin1")].some(holdsPlaceholder);
    if (isPlaceholder || new Set(bytes).size < DIFFERENT_BYTES_MIN) {
      return refused(`${where}: a placeholder, not a random key`);
    }
    keys.set(id, { id, bytes });
  }
  const [first] = keys.values();
  return first === undefined ? refused("wanted a key") : { ok: true, ring: { first, keys } };
}

function refused(problem: string): KeyRingReading {
  return { ok: false, problem };
}

function decode(encoded: string): Buffer | null {
  // No random key is hex in base64 by chance.
  if (HEX.test(encoded)) return Buffer.from(encoded, "hex");
  return BASE64.test(encoded) ? Buffer.from(encoded, "base64") : null;
}
