import { Command } from "commander";
import type { Logger } from "pino";
import {
  dataFolder,
  internalSecret,
  type Loaded,
  loadSettings,
  makeDataFolder,
  type Values,
} from "../../config/index.ts";
import type { ConfigProblem } from "../../core/errors.ts";
import type { LineSink } from "../../relay/index.ts";
import { apiProblems } from "../api-config.ts";
import { type BothServers, startBothServers } from "../both-servers.ts";
import { printConfig } from "../check-config.ts";
import { relayProblems } from "../relay-config.ts";
import { serveUntilStopped } from "../server-command.ts";
import { addSettings } from "../settings-flags.ts";

const EXAMPLES = `
Examples:
  $ export HAWSER_PUBLIC_BASE_URL=https://hawser.example.org
  $ export HAWSER_OIDC_ISSUER=https://idp.example.org HAWSER_OIDC_CLIENT_ID=hawser
  $ export HAWSER_OIDC_CLIENT_SECRET_FILE=/etc/hawser/client.secret
  $ hawser up --data-dir /var/lib/hawser
  $ hawser up --data-dir /var/lib/hawser --check-config

Database and secrets are made in the data folder at the first start. Log lines are JSON and go to standard output.
SIGTERM and SIGINT let running requests finish, a second one does not wait; SIGHUP reads the TLS certificates again and
opens the audit log anew.
`;

/** `hawser up`: API server and relay in one process, for an installation of one machine. */
export function upCommand(): Command {
  const command = new Command("up")
    .description("Run API server and relay in one process, with a data folder of their own")
    .option("--check-config", "check everything, print the effective settings, start nothing")
    .option("--json", "print errors and --check-config as JSON")
    .addHelpText("after", EXAMPLES)
    .action(async (flags: Record<string, unknown>) => {
      const sources = { flags, environment: process.env };
      const loaded = loadSettings("up", sources, ({ values }) => problemsOf(values));
      if (flags["checkConfig"] === true) checkConfig(loaded, flags["json"] === true);
      else await serveUntilStopped(loaded, (logger, lines) => start(loaded, logger, lines));
    });
  return addSettings(command, "up");
}

function problemsOf(values: Values): ConfigProblem[] {
  const problems = apiProblems(values, "up", process.env);
  // The relay asks the API server beside it, whatever its port will be.
  const ofRelay = relayProblems({ ...values, api: "http://127.0.0.1", credentials: null });
  const told = new Set(problems.map(({ setting }) => setting));
  return [...problems, ...ofRelay.filter(({ setting }) => !told.has(setting))];
}

async function start(
  { values }: Loaded,
  logger: Logger,
  accessLines: LineSink,
): Promise<BothServers> {
  const environment = process.env;
  makeDataFolder(dataFolder(values.dataDir, environment));
  const { secret, origin, warning } = internalSecret(values, environment);
  if (warning !== null) logger.warn(warning);
  logger.info({ origin }, "internal secret");
  return await startBothServers(values, {
    internalSecret: secret,
    environment,
    logger,
    accessLines,
  });
}

function checkConfig(loaded: Loaded, json: boolean): void {
  const folder = dataFolder(loaded.values.dataDir, process.env);
  printConfig("up", loaded, [`Secrets and database are kept in ${folder}.`], json);
}
