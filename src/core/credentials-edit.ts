import { randomBytes } from "node:crypto";
import { open, readFile, realpath, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import {
  type Credentials,
  formatCredentials,
  NO_CREDENTIALS,
  parseCredentials,
} from "./credentials.ts";
import { ConfigError } from "./errors.ts";

const LOCK_ATTEMPTS = 100;
const LOCK_RETRY_MS = 50;

/**
 * Changes a credentials file, at one stroke: whoever reads it sees the old or the new one, never a part. One editor
 * at a time; a second waits up to 5 s. The file is made where there is none, and has mode 0600 afterwards.
 *
 * @param change gets the present content and returns the new one, which is checked before it is written. Whatever it
 *   throws ends the edit without a change.
 * @throws ConfigError where the present or the new content is not valid, or the file cannot be had
 */
export async function editCredentials(
  path: string,
  change: (present: Credentials) => Credentials | Promise<Credentials>,
): Promise<void> {
  const target = await realpath(path).catch(() => path);
  const unlock = await lockFile(target);
  try {
    const present = await readPresent(target, path);
    const text = formatCredentials(await change(present));
    parseCredentials(text, path);
    await replaceFile(target, text);
  } finally {
    await unlock();
  }
}

/** Puts a file of mode 0600 in place by a rename, so that no reader meets half of it. */
export async function replaceFile(path: string, text: string): Promise<void> {
  const name = `.${basename(path)}.${randomBytes(6).toString("hex")}.tmp`;
  const temporary = join(dirname(path), name);
  try {
    const file = await open(temporary, "wx", 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    // What went wrong is told, not that there is nothing to take away.
    await rm(temporary, { force: true }).catch(() => undefined);
    throw new ConfigError([{ setting: path, problem: `cannot be written (${codeOf(error)})` }]);
  }
}

async function readPresent(target: string, path: string): Promise<Credentials> {
  let text: string;
  try {
    text = await readFile(target, "utf8");
  } catch (error) {
    if (codeOf(error) === "ENOENT") return NO_CREDENTIALS;
    throw new ConfigError([{ setting: path, problem: `cannot be read (${codeOf(error)})` }]);
  }
  return parseCredentials(text, path);
}

/**
 * Keeps other editors of a file out; a second waits up to 5 s.
 *
 * @returns lets them in again
 * @throws ConfigError where the folder cannot be written, or the other editor does not end
 */
export async function lockFile(path: string): Promise<() => Promise<void>> {
  const lockPath = `${path}.lock`;
  for (let attempt = 1; ; attempt++) {
    try {
      const file = await open(lockPath, "wx", 0o600);
      await file.close();
      return () => rm(lockPath, { force: true });
    } catch (error) {
      const code = codeOf(error);
      if (code !== "EEXIST") {
        throw new ConfigError([{ setting: path, problem: `cannot be written (${code})` }]);
      }
      if (attempt === LOCK_ATTEMPTS) {
        const problem = `is being edited: ${lockPath} exists; remove it if no editor runs`;
        throw new ConfigError([{ setting: path, problem }]);
      }
      await delay(LOCK_RETRY_MS);
    }
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "unknown reason";
}
