import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { ConfigError } from "../core/errors.ts";
import { type FoundSecret, givenSecret, makeSecretOnce, readSecretFile } from "./secret-files.ts";
import type { Values } from "./settings.ts";

/** A key of a ring: at least 32 bytes, by a name of 1 to 16 letters and digits. */
export interface RingKey {
  readonly id: string;
  readonly key: Buffer;
}

/** Keys of which the first signs or encrypts, and all verify or decrypt. Never empty; names are unique. */
export type KeyRing = readonly [RingKey, ...RingKey[]];

/** The settings that are key rings, and the files of the data folder that stand in for them. */
export const RING_FILES = {
  sessionSecrets: "session.keys",
  tokenEncKeys: "token-encryption.keys",
} as const;

export type RingSetting = keyof typeof RING_FILES;

const KEY_BYTES_MIN = 32;
const KEYS_MAX = 16;
/** Of 32 random bytes about 30 are distinct; fewer than 12 do not come in the life of the universe. */
const DISTINCT_BYTES_MIN = 12;
const FORM = "wanted k2:<key>,k1:<key>, each key 32 random bytes or more in base64 or hex";

/**
 * Reads a ring: `name:key` entries with commas or line breaks between them, each key in base64, base64url or hex.
 *
 * @returns the ring, or a sentence that says what is wrong and shows nothing of it
 */
export function parseKeyRing(text: string): KeyRing | string {
  const entries = text.split(/[,\s]+/).filter((entry) => entry !== "");
  if (entries.length === 0) return FORM;
  if (entries.length > KEYS_MAX) return `wanted at most ${KEYS_MAX} keys`;
  const keys: RingKey[] = [];
  for (const [index, entry] of entries.entries()) {
    const [, id = "", encoded = ""] = /^([A-Za-z0-9]{1,16}):([^:]+)$/.exec(entry) ?? [];
    const key = decodeKey(encoded);
    const place = `key ${index + 1}`;
    if (key === null) return `${place}: ${FORM}`;
    if (key.length < KEY_BYTES_MIN) {
      return `${place} has ${key.length} bytes, wanted ${KEY_BYTES_MIN} or more`;
    }
    if (new Set(key).size < DISTINCT_BYTES_MIN) {
      return `${place} is a placeholder, not random: make one with openssl rand -base64 32`;
    }
    if (keys.some((other) => other.id === id)) return `${place} has the name of another one`;
    keys.push({ id, key });
  }
  return keys as unknown as KeyRing;
}

function decodeKey(encoded: string): Buffer | null {
  if (/^(?:[0-9a-f]{2})+$/i.test(encoded) && encoded.length >= 2 * KEY_BYTES_MIN) {
    return Buffer.from(encoded, "hex");
  }
  return /^[A-Za-z0-9+/_-]+={0,2}$/.test(encoded) ? Buffer.from(encoded, "base64") : null;
}

/** A ring of one new key, as it is written. */
export function newKeyRing(): string {
  return `k1:${randomBytes(KEY_BYTES_MIN).toString("base64")}`;
}

export interface FoundRing {
  readonly ring: KeyRing;
  readonly origin: string;
  readonly warning: string | null;
}

/** How a ring is looked for. */
export interface RingSearch {
  readonly folder: string;
  /** Makes one in the data folder where there is none. */
  readonly make: boolean;
}

/**
 * Finds a key ring: from its variable, its file, or the data folder, where `make` may put a new one (mode 0600).
 *
 * @throws ConfigError where there is none or it cannot be used; nothing of it is shown
 */
export function keyRing(values: Values, name: RingSetting, search: RingSearch): FoundRing {
  const { text, origin, warning } = findRing(values, name, search);
  const ring = parseKeyRing(text);
  if (typeof ring === "string") throw new ConfigError([{ setting: origin, problem: ring }]);
  return { ring, origin, warning };
}

function findRing(values: Values, name: RingSetting, { folder, make }: RingSearch): FoundSecret {
  const given = givenSecret(values, name);
  if (given !== null) return given;
  const fileName = RING_FILES[name];
  const path = join(folder, fileName);
  if (make) makeSecretOnce(folder, fileName, newKeyRing);
  else if (!existsSync(path)) throw new ConfigError([{ setting: name, problem: missing(path) }]);
  return readSecretFile(path, name);
}

function missing(path: string): string {
  return `required: all API servers share it. Make it once: (umask 077; echo "k1:$(openssl rand -base64 32)" > ${path})`;
}
