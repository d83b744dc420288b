import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { ConfigError } from "../core/errors.ts";
import { isPlaceholder } from "../core/placeholder.ts";
import { dataFolder, makeSecretOnce, readSecretFile } from "./secret-files.ts";

/** Where the internal secret comes from. The first that is not null counts. */
export interface InternalSecretSource {
  readonly internalSecret: string | null;
  readonly internalSecretFile: string | null;
  /** Null for the user's state folder. */
  readonly dataDir: string | null;
}

export interface InternalSecret {
  readonly secret: string;
  /** For people: `HAWSER_INTERNAL_SECRET` or the path of a file. */
  readonly origin: string;
  /** Null, or a sentence about a file that others can read. */
  readonly warning: string | null;
}

/** 32 random bytes: what a listener on another address than loopback asks for. */
const SECRET_BYTES = 32;
/** The least that may be given, on loopback too: every program of the machine can try there. */
const CHARACTERS_MIN = 16;
const FILE_NAME = "internal.secret";

/** Path of the secret that is made at the first start. */
export function internalSecretPath(folder: string): string {
  return join(folder, FILE_NAME);
}

/**
 * Finds the shared secret of the internal API; at the first start makes one in the data folder (mode 0600).
 * Several processes that start at once agree on one.
 *
 * @throws ConfigError where the secret cannot be read, made or sent in a header, is short or a placeholder
 */
export function internalSecret(
  source: InternalSecretSource,
  environment: Readonly<Record<string, string | undefined>>,
): InternalSecret {
  if (source.internalSecret !== null) {
    const origin = "HAWSER_INTERNAL_SECRET";
    return { secret: checked(source.internalSecret, origin), origin, warning: null };
  }
  if (source.internalSecretFile !== null) return fromFile(source.internalSecretFile);
  const folder = dataFolder(source.dataDir, environment);
  const make = (): string => randomBytes(SECRET_BYTES).toString("base64url");
  return fromFile(makeSecretOnce(folder, FILE_NAME, make));
}

function fromFile(path: string): InternalSecret {
  const { text, warning } = readSecretFile(path, "internalSecretFile");
  return { secret: checked(text, path), origin: path, warning };
}

/** It travels in a header: visible ASCII, no spaces. */
function checked(secret: string, origin: string): string {
  const problem = problemOf(secret);
  if (problem === null) return secret;
  throw new ConfigError([{ setting: origin, problem }]);
}

function problemOf(secret: string): string | null {
  if (!/^[\x21-\x7e]{0,1024}$/.test(secret)) {
    return `wanted ${CHARACTERS_MIN} to 1,024 visible ASCII characters on one line`;
  }
  if (isPlaceholder(secret)) return `this is a placeholder, not a secret; ${ADVICE}`;
  if (secret.length >= CHARACTERS_MIN) return null;
  return `a secret of less than ${CHARACTERS_MIN} characters can be guessed; ${ADVICE}`;
}

const ADVICE = "take what `openssl rand -base64 32` prints, or leave it out: one is made then";
