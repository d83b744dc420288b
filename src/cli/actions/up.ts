import type { Logger } from "pino";
import {
  checkDataFolder,
  dataFolder,
  internalSecret,
  type Loaded,
  loadSettingsLate,
  makeDataFolder,
  type Values,
} from "../../config/index.ts";
import type { LineSink } from "../../core/ascii-lines.ts";
import type { ConfigProblem } from "../../core/errors.ts";
import { apiProblems } from "../api-config.ts";
import { type BothServers, startBothServers } from "../both-servers.ts";
import { printConfig } from "../check-config.ts";
import { collect, relayProblems } from "../relay-config.ts";
import { serveUntilStopped } from "../server-command.ts";

/** What `hawser up` does: checks, and serves until a signal stops it. */
export async function runUpCommand(flags: Record<string, unknown>): Promise<void> {
  const sources = { flags, environment: process.env };
  const loaded = await loadSettingsLate("up", sources, ({ values }) => problemsOf(values));
  if (flags["checkConfig"] === true) checkConfig(loaded, flags["json"] === true);
  else await serveUntilStopped(loaded, (logger, lines) => start(loaded, logger, lines));
}

async function problemsOf(values: Values): Promise<ConfigProblem[]> {
  const problems = apiProblems(values, "up", process.env);
  // The relay asks the API server beside it, whatever its port will be.
  const ofRelay = await relayProblems({ ...values, api: "http://127.0.0.1", credentials: null });
  collect(problems, () => {
    checkDataFolder(dataFolder(values.dataDir, process.env));
    return [];
  });
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
