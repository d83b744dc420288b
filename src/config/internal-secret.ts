import { randomBytes } from "node:crypto";
import { linkSync, mkdirSync, readFileSync, statSync, unlinkSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { ConfigError } from "../core/errors.ts";

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

/** The data folder: as set, or the user's state folder by the XDG rules. */
export function dataFolder(
  dataDir: string | null,
  environment: Readonly<Record<string, string | undefined>>,
): string {
  if (dataDir !== null) return dataDir;
  const state = environment["XDG_STATE_HOME"];
  return join(
    state === undefined || state === "" ? join(homedir(), ".local/state") : state,
    "hawser",
  );
}

/** Path of the secret that the relay makes for itself. */
export function internalSecretPath(folder: string): string {
  return join(folder, "internal.secret");
}

/**
 * Finds the shared secret of the internal API; at the first start makes one in the data folder (mode 0600).
 * Several processes that start at once agree on one.
 *
 * @throws ConfigError where the secret cannot be read, made or sent in a header
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
  const path = internalSecretPath(folder);
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    makeOnce(path);
  } catch (error) {
    const problem = `the internal secret cannot be made in ${folder} (${reason(error)})`;
    throw new ConfigError([{ setting: "dataDir", problem }]);
  }
  return fromFile(path);
}

/** Leaves a whole secret at `path`, ours or that of whoever was faster. */
function makeOnce(path: string): void {
  try {
    statSync(path);
    return;
  } catch {
    // Not there yet, or not visible to us: then the link below fails with the reason.
  }
  const draft = `${path}.${process.pid}.${randomBytes(4).toString("hex")}`;
  const text = `${randomBytes(SECRET_BYTES).toString("base64url")}\n`;
  writeFileSync(draft, text, { mode: 0o600, flag: "wx" });
  try {
    linkSync(draft, path);
  } catch (error) {
    if (reason(error) !== "EEXIST") throw error;
  } finally {
    unlinkSync(draft);
  }
}

function fromFile(path: string): InternalSecret {
  let text: string;
  let mode: number;
  try {
    text = readFileSync(path, "utf8");
    mode = statSync(path).mode;
  } catch (error) {
    const problem = `${path} cannot be read (${reason(error)})`;
    throw new ConfigError([{ setting: "internalSecretFile", problem }]);
  }
  const open = (mode & 0o077) !== 0;
  const warning = open ? `Other users can open ${path}; its mode should be 0600.` : null;
  return { secret: checked(text.trim(), path), origin: path, warning };
}

/** It travels in a header: visible ASCII, no spaces. */
function checked(secret: string, origin: string): string {
  if (/^[\x21-\x7e]{1,1024}$/.test(secret)) return secret;
  const problem = "wanted 1 to 1,024 visible ASCII characters on one line";
  throw new ConfigError([{ setting: origin, problem }]);
}

function reason(error: unknown): string {
  const code: unknown = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" ? code : "unknown reason";
}
