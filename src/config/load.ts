import { accessSync, constants, readFileSync, statSync } from "node:fs";
import { ConfigError, type ConfigProblem } from "../core/errors.ts";
import {
  allSettings,
  defaultOf,
  flagName,
  SETTINGS,
  type Setting,
  type SettingName,
  type SettingsCommand,
  settingsOf,
  type Values,
  variableName,
} from "./settings.ts";

/** Where a value came from. */
export type Origin = "flag" | "variable" | "file" | "default";

/** What settings are read from. Flags win over variables, variables over the file. */
export interface Sources {
  /** By setting name, as commander's `opts()` gives them; names that are no settings are left alone. */
  readonly flags: Readonly<Record<string, unknown>>;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

export interface Loaded {
  readonly values: Values;
  readonly origins: ReadonlyMap<SettingName, Origin>;
  /** Sentences for the operator about what was found odd but is no error. */
  readonly warnings: readonly string[];
  /** How the operator spelled a setting; as a flag where nobody did. Other names come back as they are. */
  spell(name: string): string;
}

interface Candidate {
  readonly origin: Origin;
  /** How the operator spelled it: `--listen-port`, `HAWSER_LISTEN_PORT`, `listenPort in hawser.json`. */
  readonly spelling: string;
  readonly input: unknown;
}

const CONFIG_FILE_BYTES_MAX = 1_048_576;
/** `HAWSER_…` variables that are no settings: the file itself, the native file's cache, the seed of tests, and those of client commands. */
const OTHER_VARIABLES: ReadonlySet<string> = new Set([
  "HAWSER_CONFIG",
  "HAWSER_CACHE_DIR",
  "HAWSER_SEED",
  "HAWSER_API_URL",
  "HAWSER_API_KEY",
  "HAWSER_CODE",
]);

/** Finds what single settings cannot tell: which of them do not go together. */
export type SettingsCheck = (loaded: Loaded) => readonly ConfigProblem[];

/** The same, where what it needs has to be loaded first. */
export type LateSettingsCheck = (loaded: Loaded) => Promise<readonly ConfigProblem[]>;

/**
 * Reads the settings of one command from flags, environment and the file that `--config` or
 * `HAWSER_CONFIG` names.
 *
 * @param check may tell of problems by the names of settings. Where a setting is broken its default stands in, and
 *   what `check` says of that setting is left out
 * @throws ConfigError `ERR_CONFIG_INVALID` with every problem found, by the operator's own spelling
 */
export function loadSettings(
  command: SettingsCommand,
  sources: Sources,
  check: SettingsCheck = () => [],
): Loaded {
  const { loaded, problems } = readSettings(command, sources);
  throwProblems(loaded, problems, check(loaded));
  return loaded;
}

/** {@link loadSettings} with a check that has to load something first. */
export async function loadSettingsLate(
  command: SettingsCommand,
  sources: Sources,
  check: LateSettingsCheck,
): Promise<Loaded> {
  const { loaded, problems } = readSettings(command, sources);
  throwProblems(loaded, problems, await check(loaded));
  return loaded;
}

/** What was read, with the default in place of each broken setting, and what is wrong with single settings. */
function readSettings(
  command: SettingsCommand,
  sources: Sources,
): { loaded: Loaded; problems: ConfigProblem[] } {
  const problems: ConfigProblem[] = [];
  const fileName = configFileName(sources);
  const fileValues = fileName === null ? {} : readConfigFile(fileName, problems);
  reportUnknownKeys(fileName, fileValues, problems);

  const values: Record<string, unknown> = {};
  const origins = new Map<SettingName, Origin>();
  const spellings = new Map<string, string>();
  const own = new Set(settingsOf(command).map(([name]) => name));
  for (const [name, setting] of allSettings()) {
    const candidate = own.has(name)
      ? findCandidate(name, setting, sources, fileName, fileValues, problems)
      : null;
    const fallback = defaultOf(setting, command);
    values[name] = candidate === null ? fallback : takeValue(setting, candidate, problems);
    origins.set(name, candidate?.origin ?? "default");
    spellings.set(name, candidate?.spelling ?? flagName(name));
  }
  const loaded: Loaded = {
    values: values as Values,
    origins,
    warnings: unknownVariables(sources.environment),
    spell: (name) => spellings.get(name) ?? name,
  };
  return { loaded, problems };
}

/** Throws all problems at once. Of a setting that is broken by itself, `together` says nothing that counts. */
function throwProblems(
  loaded: Loaded,
  problems: readonly ConfigProblem[],
  together: readonly ConfigProblem[],
): void {
  const all = [...problems];
  const broken = new Set(problems.map(({ setting }) => setting));
  for (const { setting, problem } of together) {
    const spelling = loaded.spell(setting);
    if (!broken.has(spelling)) all.push({ setting: spelling, problem });
  }
  if (all.length > 0) throw new ConfigError(all);
}

function configFileName(sources: Sources): string | null {
  const flag = sources.flags["config"];
  if (typeof flag === "string" && flag !== "") return flag;
  const variable = sources.environment["HAWSER_CONFIG"];
  return variable === undefined || variable === "" ? null : variable;
}

function readConfigFile(
  path: string,
  problems: ConfigProblem[],
): Readonly<Record<string, unknown>> {
  const problem = (sentence: string): Record<string, unknown> => {
    problems.push({ setting: "--config", problem: sentence });
    return {};
  };
  try {
    if (statSync(path).size > CONFIG_FILE_BYTES_MAX) return problem(`${path} is over 1 MiB`);
    const parsed: unknown = JSON.parse(readFileSync(path, "utf8"));
    if (typeof parsed === "object" && parsed !== null && !Array.isArray(parsed)) {
      return { ...parsed };
    }
    return problem(`${path} must hold one JSON object`);
  } catch (error) {
    // JSON.parse quotes what it could not read, which may be a secret put there by mistake.
    if (error instanceof SyntaxError) return problem(`${path} is not JSON`);
    return problem(`${path} cannot be read (${systemCode(error)})`);
  }
}

function reportUnknownKeys(
  fileName: string | null,
  fileValues: Readonly<Record<string, unknown>>,
  problems: ConfigProblem[],
): void {
  for (const key of Object.keys(fileValues)) {
    if (Object.hasOwn(SETTINGS, key)) continue;
    const name = key.length <= 64 ? JSON.stringify(key) : "a long key";
    problems.push({ setting: `${name} in ${fileName}`, problem: "no such setting" });
  }
}

function findCandidate(
  name: SettingName,
  setting: Setting<unknown>,
  sources: Sources,
  fileName: string | null,
  fileValues: Readonly<Record<string, unknown>>,
  problems: ConfigProblem[],
): Candidate | null {
  const inFile: Candidate | null = Object.hasOwn(fileValues, name)
    ? { origin: "file", spelling: `${name} in ${fileName}`, input: fileValues[name] }
    : null;
  const isSecret = (input: unknown): boolean => setting.secret || setting.holdsSecret(input);
  if (inFile !== null && isSecret(inFile.input)) {
    const instead = `secrets do not belong in it; use ${variableName(name)} or a file of its own`;
    problems.push({ setting: inFile.spelling, problem: instead });
    return null;
  }
  const flag = sources.flags[name];
  if (flag !== undefined && isSecret(flag)) {
    const reason = "a secret in the command line can be read by every user of the machine";
    const instead = `use ${variableName(name)} or a file of its own`;
    problems.push({ setting: flagName(name), problem: `${reason}; ${instead}` });
    return null;
  }
  if (flag !== undefined) return { origin: "flag", spelling: flagName(name), input: flag };
  const variable = sources.environment[variableName(name)];
  // An empty variable is one that is not set: that is how service files and containers clear one.
  if (variable !== undefined && variable !== "") {
    return { origin: "variable", spelling: variableName(name), input: variable };
  }
  return inFile;
}

function takeValue(
  setting: Setting<unknown>,
  candidate: Candidate,
  problems: ConfigProblem[],
): unknown {
  const value = setting.kind.parse(candidate.input);
  if (value === undefined) {
    const isSecret = setting.secret || setting.holdsSecret(candidate.input);
    const found = isSecret ? "" : `, found ${showInput(candidate.input)}`;
    problems.push({
      setting: candidate.spelling,
      problem: `wanted ${setting.kind.wanted}${found}`,
    });
    return setting.default;
  }
  if (setting.mustBeReadable && typeof value === "string") {
    const reason = whyUnreadable(value);
    if (reason !== null) {
      problems.push({ setting: candidate.spelling, problem: `${value} ${reason}` });
      return setting.default;
    }
  }
  return value;
}

function showInput(input: unknown): string {
  const shown = JSON.stringify(input) ?? String(input);
  return shown.length <= 80 ? shown : `${shown.slice(0, 80)}…`;
}

/** Null, or the end of a sentence that begins with the path. */
function whyUnreadable(path: string): string | null {
  try {
    if (!statSync(path).isFile()) return "is not a file";
    accessSync(path, constants.R_OK);
    return null;
  } catch (error) {
    return systemCode(error) === "ENOENT"
      ? "does not exist"
      : `cannot be read (${systemCode(error)})`;
  }
}

function systemCode(error: unknown): string {
  const code: unknown = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" ? code : "unknown reason";
}

/** Only a warning: container platforms set `HAWSER_…` variables for a service of that name. */
function unknownVariables(environment: Sources["environment"]): string[] {
  const known = new Set(allSettings().map(([name]) => variableName(name)));
  return Object.keys(environment)
    .filter((name) => name.startsWith("HAWSER_") && !known.has(name) && !OTHER_VARIABLES.has(name))
    .map((name) => `The variable ${name} is no setting of Hawser and has no effect.`);
}
