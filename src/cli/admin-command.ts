import type { Command } from "commander";
import type { Operator } from "../api/index.ts";
import { databaseUrl, internalSecret, loadSettings, type Values } from "../config/index.ts";
import { CHANGES_MAX } from "../core/contract.ts";
import { type CliErrorCode, CommandError } from "./errors.ts";

/** Flags that every command has which works on the database. */
export interface AdminFlags {
  readonly config?: string;
  readonly dataDir?: string;
  readonly databaseUrl?: string;
  readonly databaseUrlFile?: string;
  readonly relayInternalUrl?: string;
  readonly json?: boolean;
}

/** Adds those flags to a command. */
export function addAdminFlags(command: Command): Command {
  return command
    .option("--config <file>", "JSON file with the settings of the API server (HAWSER_CONFIG)")
    .option("--data-dir <folder>", "data folder of the API server (HAWSER_DATA_DIR)")
    .option(
      "--database-url <url>",
      "its database (HAWSER_DATABASE_URL; default: in the data folder)",
    )
    .option("--database-url-file <file>", "file with that URL (HAWSER_DATABASE_URL_FILE)")
    .option("--json", "print JSON");
}

/** Adds the flag of commands of which a relay should hear. */
export function addRelayFlag(command: Command): Command {
  return command.option(
    "--relay-internal-url <url>",
    "tell this relay at once, by its internal address such as http://127.0.0.1:3801",
  );
}

/** The settings of the API server, as far as these commands look at them. */
function settingsOf(flags: AdminFlags): Values {
  const { config, dataDir, databaseUrl, databaseUrlFile } = flags;
  const given = { config, dataDir, databaseUrl, databaseUrlFile };
  return loadSettings("api", { flags: given, environment: process.env }).values;
}

/** Runs `work` on the database of the API server; no server need run. */
export async function withOperator<T>(
  flags: AdminFlags,
  work: (operator: Operator) => Promise<T>,
): Promise<T> {
  const url = databaseUrl(settingsOf(flags), process.env);
  // Loaded here, so that commands without a database do not load its drivers.
  const { Operator } = await import("../api/index.ts");
  const operator = await Operator.open(url, "--database-url");
  try {
    return await work(operator);
  } finally {
    await operator.close();
  }
}

/** What people are told of when a change takes effect, after the relay was told where it was named. */
export async function tellRelay(flags: AdminFlags, refs: readonly string[]): Promise<string> {
  const url = flags.relayInternalUrl;
  if (url === undefined) {
    return "Running API servers see it with the next request; relays within a minute, or at once with --relay-internal-url.\n";
  }
  const { secret } = internalSecret(settingsOf(flags), process.env);
  const { RelayClient } = await import("../api/index.ts");
  const relay = new RelayClient({ baseUrl: url, secret, logger: { debug: () => {} } });
  try {
    for (let from = 0; from < refs.length; from += CHANGES_MAX) {
      const revoked = refs.slice(from, from + CHANGES_MAX);
      await relay.announce({ revoked, changed: [], devices: [] });
    }
    return "The relay has been told: tunnels and keys are closed.\n";
  } catch (error) {
    const code: CliErrorCode = "ERR_CLI_RELAY_NOT_TOLD";
    const reason = error instanceof Error ? error.message : "";
    throw new CommandError(
      code,
      `The change is made, but the relay could not be told: ${reason}`,
      "It learns of it within a minute. The internal secret is that of the relay: HAWSER_INTERNAL_SECRET, or the data folder.",
      error,
    );
  } finally {
    await relay.destroy();
  }
}

/** The error for what the database does not have. */
export function nothingFound(what: string): CommandError {
  const code: CliErrorCode = "ERR_CLI_NOT_FOUND";
  return new CommandError(code, `The database has no ${what}.`, "The listing shows what there is.");
}
