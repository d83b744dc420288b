import { createHash, randomBytes } from "node:crypto";
import {
  chmodSync,
  closeSync,
  lstatSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { homedir, tmpdir } from "node:os";
import { isAbsolute, join } from "node:path";
import { AppError } from "../core/errors.ts";
import { makeFolder } from "../core/folder.ts";

/** SHA-256 as 64 lower-case hexadecimal digits. */
export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Bytes that are read at a time: a file of 7 MB in one piece costs half as much again, for the memory it wants. */
const PIECE_BYTES = 1 << 16;

/** {@link sha256} of a file's content. Throws what reading it throws. */
export function sha256OfFile(path: string): string {
  const hash = createHash("sha256");
  const piece = Buffer.allocUnsafe(PIECE_BYTES);
  const file = openSync(path, "r");
  try {
    for (let read = -1; read !== 0; ) {
      read = readSync(file, piece);
      hash.update(piece.subarray(0, read));
    }
  } finally {
    closeSync(file);
  }
  return hash.digest("hex");
}

/**
 * The folders that may hold the copy, best first: `HAWSER_CACHE_DIR` alone where it is set, else the user's
 * cache folder, else one below the temporary folder.
 */
export function cacheFolders(env: NodeJS.ProcessEnv, uid: number): string[] {
  const { HAWSER_CACHE_DIR: told, XDG_CACHE_HOME: xdg } = env;
  if (told !== undefined && told !== "") return [told];
  const folders: string[] = [];
  if (xdg !== undefined && isAbsolute(xdg)) folders.push(join(xdg, "hawser"));
  else if (xdg === undefined && isAbsolute(homedir()))
    folders.push(join(homedir(), ".cache", "hawser"));
  folders.push(join(tmpdir(), `hawser-${uid}`));
  return folders;
}

/** Why a folder may not hold a file that this process will execute; null when it may. */
function folderProblem(folder: string, uid: number): string | null {
  const stat = lstatSync(folder);
  if (!stat.isDirectory()) return "is not a folder";
  if (stat.uid !== uid) return "belongs to another user";
  if ((stat.mode & 0o077) !== 0) return "is open to other users (its mode must be 0700)";
  return null;
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Makes the folder (0700) where it is absent; says what is wrong with one that is there. */
function prepareFolder(folder: string, uid: number): string | null {
  try {
    if (makeFolder(folder, 0o700)) chmodSync(folder, 0o700);
    return folderProblem(folder, uid);
  } catch (error) {
    return reason(error);
  }
}

/** True when the path is a plain file of this user, closed to writing by others, with exactly that digest. */
function isIntact(path: string, uid: number, digest: string): boolean {
  try {
    const stat = lstatSync(path);
    if (!stat.isFile() || stat.uid !== uid || (stat.mode & 0o022) !== 0) return false;
    return sha256OfFile(path) === digest;
  } catch {
    return false;
  }
}

function writeByRename(path: string, bytes: Uint8Array): void {
  const temporary = `${path}.${process.pid}.${randomBytes(6).toString("hex")}`;
  try {
    writeFileSync(temporary, bytes, { flag: "wx", mode: 0o500 });
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

/** What to keep, and where. */
export interface CachedFile {
  /** File name without folder; should contain the digest. */
  readonly name: string;
  /** SHA-256 that the file must have, now and at every later use. */
  readonly digest: string;
  /** Called only when there is no intact copy. */
  readonly make: () => Uint8Array;
  readonly folders: readonly string[];
  readonly uid: number;
}

/**
 * Gives the path of an intact copy in the first folder that can be used, and makes it where there is none.
 * The bytes are compared with the recorded digest before every use and again after a write, in a folder that
 * only this user can write to, so that the file that is loaded is the file that was checked.
 *
 * @throws AppError `ERR_UWS_CACHE_MISMATCH` where what was made has not the recorded digest,
 *   `ERR_UWS_CACHE_FOLDER` where no folder can be used
 */
export function cachedFile({ name, digest, make, folders, uid }: CachedFile): string {
  const problems: string[] = [];
  for (const folder of folders) {
    const problem = prepareFolder(folder, uid);
    if (problem !== null) {
      problems.push(`${folder}: ${problem}`);
      continue;
    }
    const path = join(folder, name);
    if (isIntact(path, uid, digest)) return path;
    const bytes = make();
    if (sha256(bytes) !== digest) {
      throw new AppError(
        "ERR_UWS_CACHE_MISMATCH",
        "The adapted copy of uWebSockets.js has not the digest that is on record for it.",
      );
    }
    try {
      writeByRename(path, bytes);
    } catch (error) {
      problems.push(`${folder}: ${reason(error)}`);
      continue;
    }
    if (isIntact(path, uid, digest)) return path;
    problems.push(`${folder}: what was written cannot be read back unchanged`);
  }
  throw new AppError(
    "ERR_UWS_CACHE_FOLDER",
    "No folder can hold the adapted copy of uWebSockets.js; " +
      `set HAWSER_CACHE_DIR to a folder of your own. ${problems.join("; ")}`,
  );
}
