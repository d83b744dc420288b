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

/** What `hawser api` does: checks, and serves until a signal stops it. */
export async function runApiCommand(flags: Record<string, unknown>): Promise<void> {
  const sources = { flags, environment: process.env };
  const loaded = loadSettings("api", sources, ({ values }) =>
    apiProblems(values, "api", process.env),
  );
  if (flags["checkConfig"] === true) checkConfig(loaded, flags["json"] === true);
  else await serveUntilStopped(loaded, (logger) => start(loaded, logger));
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
