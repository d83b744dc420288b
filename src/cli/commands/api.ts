import { Command } from "commander";
import type { Logger } from "pino";
import type { ApiApp } from "../../api/index.ts";
import {
  dataFolder,
  internalSecret,
  internalSecretPath,
  type Loaded,
  loadSettings,
  makeDataFolder,
} from "../../config/index.ts";
import { apiProblems, apiSetup, startOwnApi } from "../api-config.ts";
import { printConfig } from "../check-config.ts";
import { serveUntilStopped } from "../server-command.ts";
import { addSettings } from "../settings-flags.ts";

const EXAMPLES = `
Examples:
  $ hawser api --config hawser.json
  $ hawser api --config hawser.json --check-config
  $ hawser relay --api http://127.0.0.1:3722

A relay runs beside it, with the same internal secret; several API servers share one PostgreSQL database and the same
secrets. Log lines are JSON and go to standard output. SIGTERM and SIGINT let running requests finish, a second one does
not wait; SIGHUP reads the TLS certificate again and opens the audit log anew. hawser up runs both in one process.
`;

/** `hawser api`: sign-in, devices, pairing, keys and audit, for a relay that runs elsewhere. */
export function apiCommand(): Command {
  const command = new Command("api")
    .description("Run an API server: people sign in, devices pair, keys are made")
    .option("--check-config", "check everything, print the effective settings, start nothing")
    .option("--json", "print errors and --check-config as JSON")
    .addHelpText("after", EXAMPLES)
    .action(async (flags: Record<string, unknown>) => {
      const sources = { flags, environment: process.env };
      const loaded = loadSettings("api", sources, ({ values }) =>
        apiProblems(values, "api", process.env),
      );
      if (flags["checkConfig"] === true) checkConfig(loaded, flags["json"] === true);
      else await serveUntilStopped(loaded, (logger) => start(loaded, logger));
    });
  return addSettings(command, "api");
}

async function start({ values }: Loaded, logger: Logger): Promise<ApiApp> {
  const environment = process.env;
  const { secret, origin, warning } = internalSecret(values, environment);
  if (warning !== null) logger.warn(warning);
  logger.info({ origin }, "internal secret");
  if (values.databaseUrl === null && values.databaseUrlFile === null) {
    makeDataFolder(dataFolder(values.dataDir, environment));
  }
  const { options, warnings } = apiSetup(values, {
    internalSecret: secret,
    relayUrl: values.relayInternalUrl,
    relay: null,
    makeRings: false,
    environment,
  });
  for (const sentence of warnings) logger.warn(sentence);
  return await startOwnApi(options, logger);
}

function checkConfig(loaded: Loaded, json: boolean): void {
  const { values } = loaded;
  const file =
    values.internalSecretFile ?? internalSecretPath(dataFolder(values.dataDir, process.env));
  const note = `The internal secret is kept in ${file}.`;
  printConfig("api", loaded, values.internalSecret === null ? [note] : [], json);
}
