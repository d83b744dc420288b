import { accessSync, constants, readFileSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { ConfigError } from "../core/errors.ts";
import { makeFolder, statIfThere } from "../core/folder.ts";
import { makeOnce } from "../core/make-once.ts";
import { type SettingName, type Values, variableName } from "./settings.ts";

/** A secret and where it is from. */
export interface FoundSecret {
  readonly text: string;
  /** For people: the name of a variable or the path of a file. */
  readonly origin: string;
  /** Null, or a sentence about a file that others can read. */
  readonly warning: string | null;
}

/** Secrets that may stand in a variable or in a file, which the setting `<name>File` names. */
export type SecretSetting = {
  [N in SettingName]: `${N}File` extends SettingName ? N : never;
}[SettingName];

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

/**
 * Makes the data folder (mode 0700) where it is missing.
 *
 * @throws ConfigError for `dataDir`
 */
export function makeDataFolder(folder: string): void {
  try {
    makeFolder(folder, 0o700);
  } catch (error) {
    const problem = `the folder ${folder} cannot be made (${reason(error)})`;
    throw new ConfigError([{ setting: "dataDir", problem }]);
  }
}

/**
 * Checks that the data folder is one, or can be made, as far as can be seen without trying. One that is there may be
 * read-only: what is kept in it may all be there.
 *
 * @throws ConfigError for `dataDir`
 */
export function checkDataFolder(folder: string): void {
  const whole = resolve(folder);
  let path = whole;
  let problem = "is no folder";
  try {
    let stat = statIfThere(path);
    while (stat === undefined) {
      path = dirname(path);
      stat = statIfThere(path);
    }
    if (stat.isDirectory()) {
      if (path !== whole) accessSync(path, constants.W_OK | constants.X_OK);
      return;
    }
  } catch (error) {
    problem = `cannot be used (${reason(error)})`;
  }
  throw new ConfigError([{ setting: "dataDir", problem: `${path} ${problem}` }]);
}

/**
 * A secret from its variable, else from the file that is set for it; null where neither is given.
 *
 * @throws ConfigError where the file cannot be read
 */
export function givenSecret(values: Values, name: SecretSetting): FoundSecret | null {
  const given = values[name];
  if (given !== null) return { text: given, origin: variableName(name), warning: null };
  const file = `${name}File` as const;
  const path = values[file];
  return path === null ? null : readSecretFile(path, file);
}

/** @throws ConfigError for `setting` where it cannot be read or is over 64 KiB */
export function readSecretFile(path: string, setting: string): FoundSecret {
  let text: string;
  let mode: number;
  try {
    const stat = statSync(path);
    if (stat.size > 65_536) throw Object.assign(new Error(), { code: "over 64 KiB" });
    text = readFileSync(path, "utf8");
    mode = stat.mode;
  } catch (error) {
    throw new ConfigError([{ setting, problem: `${path} cannot be read (${reason(error)})` }]);
  }
  const open = (mode & 0o077) !== 0;
  const warning = open ? `Other users can open ${path}; its mode should be 0600.` : null;
  return { text: text.trim(), origin: path, warning };
}

/**
 * Leaves a whole secret in a file of the data folder, ours or that of whoever was faster: several processes that start
 * at once agree on one. The file has mode 0600.
 *
 * @param make is called where there is no such file
 * @throws ConfigError for `dataDir`
 */
export function makeSecretOnce(folder: string, name: string, make: () => string): string {
  const path = join(folder, name);
  makeDataFolder(folder);
  try {
    makeOnce(path, make);
  } catch (error) {
    const problem = `${name} cannot be made in ${folder} (${reason(error)})`;
    throw new ConfigError([{ setting: "dataDir", problem }]);
  }
  return path;
}

function reason(error: unknown): string {
  const code: unknown = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" ? code : "unknown reason";
}
