import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { ConfigError } from "../core/errors.ts";
import { type FoundSecret, givenSecret, makeSecretOnce, readSecretFile } from "./secret-files.ts";
import type { Values } from "./settings.ts";

/** The settings that are key rings, and the files of the data folder that stand in for them. */
export const RING_FILES = {
  sessionSecrets: "session.keys",
  tokenEncKeys: "token-encryption.keys",
} as const;

export type RingSetting = keyof typeof RING_FILES;

const KEY_BYTES = 32;

/** A ring of one new key, as it is written. */
export function newKeyRing(): string {
  return `k1:${randomBytes(KEY_BYTES).toString("base64")}`;
}

/** How a ring is looked for. */
export interface RingSearch {
  readonly folder: string;
  /** Makes one in the data folder where there is none. */
  readonly make: boolean;
}

/**
 * Finds a key ring: in its variable, its file, or the data folder, where `make` may put a new one (mode 0600). What it
 * holds is checked by whoever uses it.
 *
 * @returns `name:key` entries with commas between them; a file may have them on lines
 * @throws ConfigError where there is none or its file cannot be read
 */
export function keyRing(
  values: Values,
  name: RingSetting,
  { folder, make }: RingSearch,
): FoundSecret {
  const found = givenSecret(values, name) ?? fromFolder(name, folder, make);
  const entries = found.text.split(/[,\s]+/).filter((entry) => entry !== "");
  return { ...found, text: entries.join(",") };
}

function fromFolder(name: RingSetting, folder: string, make: boolean): FoundSecret {
  const fileName = RING_FILES[name];
  const path = join(folder, fileName);
  if (make) makeSecretOnce(folder, fileName, newKeyRing);
  else if (!existsSync(path)) throw new ConfigError([{ setting: name, problem: missing(path) }]);
  return readSecretFile(path, name);
}

function missing(path: string): string {
  return `required: all API servers share it. Make it once: (umask 077; echo "k1:$(openssl rand -base64 32)" > ${path})`;
}
