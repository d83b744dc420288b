import {
  createPrivateKey,
  createPublicKey,
  type JsonWebKey,
  type KeyObject,
  sign,
  verify,
} from "node:crypto";
import { readdirSync, statSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { basename, extname, join } from "node:path";
import type { JWK } from "jose";
import type { Logger } from "pino";
import { ConfigError, type ConfigProblem } from "../../core/errors.ts";
import { fileSignature } from "../../core/folder-watch.ts";
import type { SigningAlgorithm } from "../../core/signing-algorithms.ts";
import { chooseKey } from "../key-choice.ts";
import type { KeyStore } from "../ports.ts";
import { isObject } from "../unsigned-jwt.ts";
import { readText, type Source, systemCode, Watched, type WatchedOptions } from "./watched.ts";

const KEYS_MAX = 100;
const RSA_BITS_MIN = 2_048;
const JWK_FILE = ".json";
const PEM_FILES: ReadonlySet<string> = new Set([".pem", ".key"]);

/** What the keys are for: at least one of them must do. */
export interface KeysContext {
  readonly sigAlg: SigningAlgorithm;
  /** Empty for any key. */
  readonly sigKid: string;
}

/** Names of the files that hold keys, in their order. Hidden ones and other endings are no keys. */
function keyFiles(names: readonly string[]): string[] {
  return names
    .filter((name) => !name.startsWith(".") && isKeyFile(extname(name).toLowerCase()))
    .sort();
}

function isKeyFile(ending: string): boolean {
  return ending === JWK_FILE || PEM_FILES.has(ending);
}

/** Why a key cannot sign, or null. */
function keyProblem(key: KeyObject): string | null {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  if (type === "rsa") {
    return (details?.modulusLength ?? 0) < RSA_BITS_MIN
      ? `is an RSA key of less than ${RSA_BITS_MIN} bits`
      : null;
  }
  const isCurve = /^(?:prime256v1|secp384r1|secp521r1)$/.test(details?.namedCurve ?? "");
  return type === "ec" && isCurve ? null : "is neither an RSA key nor one of P-256, P-384 or P-521";
}

/** Whether what the private part signs is good by the public one: a key is taken however its members fit together. */
function signs(key: KeyObject, { d: _, ...publicPart }: JWK): boolean {
  const text = Buffer.from("probe");
  try {
    const publicKey = createPublicKey({ key: publicPart as JsonWebKey, format: "jwk" });
    return verify("sha256", text, publicKey, sign("sha256", text, key));
  } catch {
    return false;
  }
}

/** Gives the key as a JWK that is checked, or tells why there is none. */
function fromJwk(value: unknown): JWK | string {
  if (!isObject(value)) return "is no JWK";
  const jwk = value as JWK;
  if (jwk.kid !== undefined && (typeof jwk.kid !== "string" || jwk.kid === "")) {
    return "has a kid that is no text";
  }
  if (jwk.kty === "oct") return "is a shared secret, no private key";
  if (jwk.d === undefined) return "is a public key: its private part (d) is missing";
  let key: KeyObject;
  try {
    key = createPrivateKey({ key: jwk as JsonWebKey, format: "jwk" });
  } catch {
    return "is not a private key that can be read";
  }
  return keyProblem(key) ?? (signs(key, jwk) ? jwk : "has a private part that is not its own");
}

/** The kid of a key in PEM is the file's name without its ending. */
function fromPem(text: string, kid: string): JWK | string {
  let key: KeyObject;
  try {
    key = createPrivateKey(text);
  } catch {
    return "holds no private key in PEM that is not encrypted";
  }
  return keyProblem(key) ?? { ...(key.export({ format: "jwk" }) as JWK), kid };
}

/** What a file of JWKs holds: one, an array, or a key set. */
function jwksIn(text: string): readonly unknown[] | null {
  try {
    const value: unknown = JSON.parse(text);
    const keys = isObject(value) && "keys" in value ? value["keys"] : value;
    if (Array.isArray(keys)) return keys;
    return isObject(keys) ? [keys] : null;
  } catch {
    return null;
  }
}

function readFileOf(path: string, problems: ConfigProblem[]): JWK[] {
  const keys: JWK[] = [];
  const take = (place: string, key: JWK | string): void => {
    if (typeof key === "string") problems.push({ setting: place, problem: key });
    else keys.push(key);
  };
  try {
    const text = readText(path);
    const ending = extname(path);
    if (ending.toLowerCase() !== JWK_FILE) take(path, fromPem(text, basename(path, ending)));
    else {
      const values = jwksIn(text);
      if (values === null) take(path, "is neither a JWK, nor an array of them, nor a key set");
      for (const [index, value] of values?.entries() ?? []) {
        take(values?.length === 1 ? path : `${path}: [${index}]`, fromJwk(value));
      }
    }
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    problems.push(...error.problems);
  }
  return keys;
}

function namesIn(folder: string): string[] {
  try {
    return keyFiles(readdirSync(folder));
  } catch (error) {
    const code = systemCode(error);
    const problem =
      code === "ENOENT"
        ? "does not exist; hawser access-proxy keys new makes it, with a key"
        : `the folder cannot be read (${code})`;
    throw new ConfigError([{ setting: folder, problem }]);
  }
}

/**
 * Reads all private keys of a folder.
 *
 * @throws ConfigError with every problem, by file; and where no key does what is wanted of it
 */
export function readKeysFolder(folder: string, { sigAlg, sigKid }: KeysContext): readonly JWK[] {
  const problems: ConfigProblem[] = [];
  const keys: JWK[] = [];
  const places = new Map<string, string>();
  for (const name of namesIn(folder)) {
    const path = join(folder, name);
    for (const key of readFileOf(path, problems)) {
      const { kid } = key;
      const other = kid === undefined ? undefined : places.get(kid);
      if (other !== undefined) {
        problems.push({ setting: path, problem: `has the kid of a key in ${other}` });
      }
      if (kid !== undefined) places.set(kid, name);
      keys.push(key);
    }
  }
  if (keys.length > KEYS_MAX) {
    problems.push({ setting: folder, problem: `has more than ${KEYS_MAX} keys` });
  }
  const kid = sigKid === "" ? undefined : sigKid;
  const isUsable = chooseKey(keys, { alg: sigAlg, kid, operation: "sign" }) !== undefined;
  if (problems.length === 0 && !isUsable) {
    const wanted = kid === undefined ? sigAlg : `${sigAlg} with the configured kid`;
    const problem = `has no private key for ${wanted}; hawser access-proxy keys new makes one`;
    problems.push({ setting: folder, problem });
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return keys;
}

async function folderSignature(folder: string): Promise<string> {
  const names = keyFiles(await readdir(folder));
  const files = names.map(async (name) => {
    const path = join(folder, name);
    return `${name} ${await fileSignature(path).catch(() => "missing")}`;
  });
  return (await Promise.all(files)).join("\n");
}

/** The folder of private keys as a place to read from. */
export function keysSource(folder: string, context: KeysContext): Source<readonly JWK[]> {
  return {
    what: "private keys",
    path: folder,
    folder,
    signature: () => folderSignature(folder),
    read: () => readKeysFolder(folder, context),
  };
}

/**
 * Private keys of a folder, read again when it changes: `.json` files with a JWK, an array of them or a key set, and `.pem`
 * and `.key` files with one key each.
 */
export class KeysFolder implements KeyStore {
  readonly folder: Watched<readonly JWK[]>;
  readonly #path: string;

  private constructor(folder: Watched<readonly JWK[]>, path: string) {
    this.folder = folder;
    this.#path = path;
  }

  /** @throws ConfigError with every problem of the folder */
  static async open(
    path: string,
    logger: Logger,
    context: KeysContext,
    options?: WatchedOptions,
  ): Promise<KeysFolder> {
    const folder = await Watched.open(keysSource(path, context), logger, options);
    return new KeysFolder(folder, path);
  }

  get(): readonly JWK[] {
    return this.folder.value;
  }

  /** Files that users other than the owner can open. */
  get openFiles(): readonly string[] {
    return namesIn(this.#path)
      .map((name) => join(this.#path, name))
      .filter((path) => (statSync(path, { throwIfNoEntry: false })?.mode ?? 0) & 0o077);
  }
}
