import { type Logger, pino } from "pino";
import { inApiSettingNames, inSettingNames, type Loaded } from "../config/index.ts";
import type { LineSink } from "../core/ascii-lines.ts";
import { ConfigError } from "../core/errors.ts";
import { LogDestination } from "./log-destination.ts";
import { onStopSignals } from "./stop-signals.ts";

/** What a server's command starts. */
export interface RunningServer {
  /** Lets running requests finish, then ends. */
  stop(): Promise<void>;
  /** Ends at once. Idempotent. */
  close(): Promise<void>;
  /** Reads again what may have changed. */
  reload(): void;
}

/**
 * Runs a server until a signal stops it: log lines on standard output, SIGHUP reloads, SIGTERM and SIGINT let running
 * requests finish.
 *
 * @throws ConfigError by the operator's spelling of settings, or what `start` threw
 */
export async function serveUntilStopped(
  loaded: Loaded,
  start: (logger: Logger, accessLines: LineSink) => Promise<RunningServer>,
): Promise<void> {
  const destination = new LogDestination();
  const logger = pino({ level: loaded.values.logLevel }, destination);
  for (const sentence of loaded.warnings) logger.warn(sentence);
  // Before anything listens: a signal that comes during the start must find its listener.
  let server: RunningServer | null = null;
  const onHangup = (): void => server?.reload();
  process.on("SIGHUP", onHangup);
  const stopSignal = new Promise<NodeJS.Signals>((resolve) => onStopSignals(resolve));
  try {
    server = await start(logger, destination);
    logger.info({ signal: await stopSignal }, "stopping");
    await server.stop();
    logger.info("stopped");
  } catch (error) {
    throw inOperatorsWords(error, loaded);
  } finally {
    await server?.close();
    process.off("SIGHUP", onHangup);
    await destination.end();
  }
}

function inOperatorsWords(error: unknown, loaded: Loaded): unknown {
  if (!(error instanceof ConfigError)) return error;
  const problems = inApiSettingNames(inSettingNames(error.problems));
  return new ConfigError(
    problems.map(({ setting, problem }) => ({ setting: loaded.spell(setting), problem })),
  );
}
