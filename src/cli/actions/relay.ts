import { type Logger, pino } from "pino";
import {
  dataFolder,
  inSettingNames,
  internalSecret,
  internalSecretPath,
  type Loaded,
  loadSettingsLate,
  relayOptions,
} from "../../config/index.ts";
import type { LineSink } from "../../core/ascii-lines.ts";
import { ConfigError } from "../../core/errors.ts";
import { type Relay, startRelay } from "../../relay/index.ts";
import { printConfig } from "../check-config.ts";
import { LogDestination } from "../log-destination.ts";
import { relayProblems } from "../relay-config.ts";
import { openGate } from "../relay-gate.ts";
import { onStopSignals } from "../stop-signals.ts";

/** What `hawser relay` does: checks, and serves until a signal stops it. */
export async function runRelayCommand(flags: Record<string, unknown>): Promise<void> {
  const sources = { flags, environment: process.env };
  const loaded = await loadSettingsLate("relay", sources, ({ values }) => relayProblems(values));
  if (flags["checkConfig"] === true) checkConfig(loaded, flags["json"] === true);
  else await runRelay(loaded);
}

async function runRelay(loaded: Loaded): Promise<void> {
  const { values } = loaded;
  const { secret, origin, warning } = internalSecret(values, process.env);

  const destination = new LogDestination();
  const logger = pino({ level: values.logLevel }, destination);
  for (const sentence of loaded.warnings) logger.warn(sentence);
  if (warning !== null) logger.warn(warning);
  logger.info({ origin }, "internal secret");
  try {
    await serve(loaded, secret, logger, destination);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const problems = inSettingNames(error.problems).map(({ setting, problem }) => ({
      setting: loaded.spell(setting),
      problem,
    }));
    throw new ConfigError(problems);
  } finally {
    await destination.end();
  }
}

/** Runs the relay until a signal stops it. */
async function serve(
  loaded: Loaded,
  secret: string,
  logger: Logger,
  accessLines: LineSink,
): Promise<void> {
  const { values } = loaded;
  // Before anything listens: a signal that comes during the start must find its listener.
  let relay: Relay | null = null;
  const onHangup = (): void => relay?.reloadTls();
  process.on("SIGHUP", onHangup);
  const stopSignal = new Promise<NodeJS.Signals>((resolve) => onStopSignals(resolve));
  const gate = await openGate(values, secret, logger);
  try {
    relay = await startRelay(relayOptions(values, secret), {
      ...gate.gates,
      logger,
      accessLines,
    });
    gate.attach(relay);
    logger.info({ signal: await stopSignal }, "stopping");
    await relay.drain();
    logger.info("stopped");
  } finally {
    await gate.close();
    process.off("SIGHUP", onHangup);
  }
}

/** Prints what the relay would run with. Makes nothing. */
function checkConfig(loaded: Loaded, json: boolean): void {
  const { values } = loaded;
  const file =
    values.internalSecretFile ?? internalSecretPath(dataFolder(values.dataDir, process.env));
  const note = `The internal secret is kept in ${file}.`;
  printConfig("relay", loaded, values.internalSecret === null ? [note] : [], json);
}
