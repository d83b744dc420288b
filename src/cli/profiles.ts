import { chmod, readFile, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { z } from "zod";
import { lockFile, replaceFile } from "../core/credentials-edit.ts";
import { ConfigError } from "../core/errors.ts";
import { makeFolder } from "../core/folder.ts";
import { parseToken } from "../core/token.ts";

const profile = z.looseObject({
  key: z.string().refine((text) => {
    const parsed = parseToken(text);
    return parsed.ok && parsed.kind === "key";
  }),
  ref: z.string(),
  name: z.string(),
  scopes: z.array(z.string()),
  expires_at: z.string(),
  user: z.looseObject({ email: z.string().nullable(), name: z.string().nullable() }),
  /** File of certificates that the server's is checked against. */
  ca: z.string().nullable().default(null),
});

const fileShape = z.looseObject({
  version: z.literal(1),
  /** The API server that commands without `--api` talk to. */
  current: z.string().nullable(),
  apis: z.record(z.string(), profile),
});

/** What is stored of an API server. Holds the key. */
export type Profile = z.output<typeof profile>;
export type Profiles = z.output<typeof fileShape>;

const NONE: Profiles = { version: 1, current: null, apis: {} };
const BYTES_MAX = 1 << 20;

/** `credentials.json` in the user's configuration folder, by the XDG rules. */
export function profilesPath(environment: Readonly<Record<string, string | undefined>>): string {
  const folder = environment["XDG_CONFIG_HOME"];
  const base = folder === undefined || folder === "" ? join(homedir(), ".config") : folder;
  return join(base, "hawser", "credentials.json");
}

/**
 * What the file holds; nothing where there is none.
 *
 * @throws ConfigError where it cannot be read, is not one of ours, or others can open it
 */
export async function readProfiles(path: string): Promise<Profiles> {
  let text: string;
  try {
    await checkOwn(path);
    text = await readFile(path, "utf8");
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    if (codeOf(error) === "ENOENT") return NONE;
    throw new ConfigError([{ setting: path, problem: `cannot be read (${codeOf(error)})` }]);
  }
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    // What JSON.parse says may quote a key.
    throw unusable(path, "is not JSON");
  }
  const result = fileShape.safeParse(parsed);
  if (!result.success) {
    const where = result.error.issues[0]?.path.map(String).join(".") ?? "";
    throw unusable(path, `is not a file of keys that this version knows${where && ` (${where})`}`);
  }
  return result.data;
}

/** Nothing is overwritten that we do not understand. */
function unusable(path: string, problem: string): ConfigError {
  return new ConfigError([
    { setting: path, problem: `${problem}; it was left as it is: mend it or move it away` },
  ]);
}

async function checkOwn(path: string): Promise<void> {
  const { mode, size, uid } = await stat(path);
  if ((mode & 0o077) !== 0) {
    const problem = `other users can open it, and it holds keys: chmod 600 '${path}', and revoke the keys if that may have been used`;
    throw new ConfigError([{ setting: path, problem }]);
  }
  if (process.getuid !== undefined && uid !== process.getuid() && process.getuid() !== 0) {
    throw new ConfigError([{ setting: path, problem: "belongs to another user" }]);
  }
  if (size > BYTES_MAX) throw new ConfigError([{ setting: path, problem: "is over 1 MiB" }]);
}

/**
 * Changes the file at one stroke, one editor at a time; makes it (0600) and its folder (0700) where they are missing.
 *
 * @throws ConfigError as {@link readProfiles} does: nothing has changed then
 */
export async function editProfiles(
  path: string,
  change: (present: Profiles) => Profiles,
): Promise<void> {
  const folder = dirname(path);
  try {
    if (makeFolder(folder, 0o700)) await chmod(folder, 0o700);
  } catch (error) {
    throw new ConfigError([{ setting: folder, problem: `cannot be made (${codeOf(error)})` }]);
  }
  const unlock = await lockFile(path);
  try {
    const next = change(await readProfiles(path));
    await replaceFile(path, `${JSON.stringify(next, null, 2)}\n`);
  } finally {
    await unlock();
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "unknown reason";
}
