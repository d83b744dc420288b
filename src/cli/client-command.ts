import type { Command } from "commander";
import { ConfigError } from "../core/errors.ts";
import { ApiClient, apiAddress } from "./api-client.ts";
import { type CliErrorCode, CommandError } from "./errors.ts";
import { type Profile, profilesPath, readProfiles } from "./profiles.ts";

/** Flags that every command has which talks to the API server. */
export interface ClientFlags {
  readonly api?: string;
  readonly ca?: string;
  readonly timeout?: string;
  readonly json?: boolean;
}

const NOT_SIGNED_IN: CliErrorCode = "ERR_CLI_NOT_SIGNED_IN";

/** Adds those flags to a command. */
export function addClientFlags(command: Command): Command {
  return command
    .option(
      "--api <url>",
      "address of the API server (HAWSER_API_URL; default: where you signed in)",
    )
    .option("--ca <file>", "certificates in PEM that the server's is checked against")
    .option("--timeout <seconds>", "for each call (default: 30)")
    .option("--json", "print JSON");
}

/** Where a command's calls go, and with what. */
export interface Connection {
  readonly api: string;
  /** Of the file; null where the key came from the variable or there is none. */
  readonly profile: Profile | null;
  readonly key: string | null;
  readonly ca: string | null;
  readonly timeoutMs: number;
  readonly profilesFile: string;
}

/**
 * Finds the API server and the key: `--api`, `HAWSER_API_URL` or the server signed in to last; `HAWSER_API_KEY` or the
 * key that is stored for that server.
 *
 * @throws ConfigError where no server is named, or the file of keys cannot be used
 */
export async function connectionOf(
  flags: ClientFlags,
  environment: NodeJS.ProcessEnv = process.env,
): Promise<Connection> {
  const timeoutMs = secondsOf("--timeout", flags.timeout ?? "30", 3_600) * 1_000;
  const file = profilesPath(environment);
  const named = flags.api ?? nonEmpty(environment["HAWSER_API_URL"]);
  const givenKey = nonEmpty(environment["HAWSER_API_KEY"]);
  // A key from the variable and a server by name need no file: it is not even looked at.
  const profiles = named !== null && givenKey !== null ? null : await readProfiles(file);
  const address = named ?? profiles?.current ?? null;
  if (address === null) {
    const problem = "is required: no API server was signed in to on this machine";
    throw new ConfigError([{ setting: "--api", problem }]);
  }
  const api = apiAddress(address);
  const profile = profiles?.apis[api] ?? null;
  return {
    api,
    profile,
    key: givenKey ?? profile?.key ?? null,
    ca: flags.ca ?? profile?.ca ?? null,
    timeoutMs,
    profilesFile: file,
  };
}

/** Runs `work` with a client that has a key. */
export async function withClient<T>(
  flags: ClientFlags,
  work: (client: ApiClient) => Promise<T>,
): Promise<T> {
  const { api, key, ca, timeoutMs } = await connectionOf(flags);
  if (key === null) throw notSignedIn(api);
  const client = new ApiClient({ api, key, ca, timeoutMs });
  try {
    return await work(client);
  } finally {
    await client.close();
  }
}

export function notSignedIn(api: string): CommandError {
  return new CommandError(
    NOT_SIGNED_IN,
    `There is no key of ${api} on this machine.`,
    `\`hawser login --api ${api}\` gets one; HAWSER_API_KEY may hold one as well.`,
  );
}

/** A whole number of a flag. @throws ConfigError */
export function numberOf(flag: string, text: string, least: number, most: number): number {
  const value = /^[0-9]{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= least && value <= most) return value;
  const problem = `wanted a whole number from ${least} to ${most}`;
  throw new ConfigError([{ setting: flag, problem }]);
}

/** Seconds of a flag. @throws ConfigError */
export function secondsOf(flag: string, text: string, most: number): number {
  return numberOf(flag, text, 1, most);
}

/** Null for a variable that is not set, or set to nothing. */
export function nonEmpty(text: string | undefined): string | null {
  return text === undefined || text === "" ? null : text;
}

/**
 * An id as one segment of a path. What cannot be one is no id, so the server need not be asked.
 *
 * @throws ConfigError
 */
export function segment(name: string, id: string): string {
  if (/^[A-Za-z0-9_-]{1,64}$/.test(id)) return id;
  throw new ConfigError([{ setting: name, problem: "is no id; the listing shows ids" }]);
}
