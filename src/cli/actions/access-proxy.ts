import type { Logger } from "pino";
import { type AccessProxyApp, startAccessProxy } from "../../access-proxy/index.ts";
import {
  accessProxyOptions,
  accessProxyWarnings,
  dataFolder,
  internalSecret,
  internalSecretPath,
  type Loaded,
  loadSettings,
  makeDataFolder,
} from "../../config/index.ts";
import type { LineSink } from "../../core/ascii-lines.ts";
import { accessProxyProblems } from "../access-proxy-config.ts";
import { printConfig } from "../check-config.ts";
import { serveUntilStopped } from "../server-command.ts";

/** What `hawser access-proxy` does: checks, and serves until a signal stops it. */
export async function runAccessProxyCommand(flags: Record<string, unknown>): Promise<void> {
  const sources = { flags, environment: process.env };
  const loaded = loadSettings("access-proxy", sources, ({ values }) => accessProxyProblems(values));
  if (flags["checkConfig"] === true) checkConfig(loaded, flags["json"] === true);
  else await serveUntilStopped(loaded, (logger, lines) => start(loaded, logger, lines));
}

async function start(
  { values }: Loaded,
  logger: Logger,
  accessLines: LineSink,
): Promise<AccessProxyApp> {
  const environment = process.env;
  makeDataFolder(dataFolder(values.dataDir, environment));
  const { secret, origin, warning } = internalSecret(values, environment);
  if (warning !== null) logger.warn(warning);
  logger.info({ origin }, "internal secret");
  for (const sentence of accessProxyWarnings(values, environment)) logger.warn(sentence);
  const options = accessProxyOptions(values, secret, environment);
  const app = await startAccessProxy(options, { logger, accessLines });
  const { listenSocket, listenHost, internalHost, selfId } = values;
  logger.info(
    {
      listen: listenSocket ?? `${bracketed(listenHost)}:${app.port}`,
      internal: `${bracketed(internalHost)}:${app.internalPort}`,
      self_id: selfId,
    },
    "access proxy listens",
  );
  return app;
}

function bracketed(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}

function checkConfig(loaded: Loaded, json: boolean): void {
  const { values } = loaded;
  const folder = dataFolder(values.dataDir, process.env);
  const file = values.internalSecretFile ?? internalSecretPath(folder);
  const notes = [`Tokens and sessions are kept in ${folder}.`];
  if (values.internalSecret === null) notes.push(`The internal secret is kept in ${file}.`);
  printConfig("access-proxy", loaded, notes, json);
}
