import { once } from "node:events";
import { Command } from "commander";
import { pino } from "pino";
import {
  dataFolder,
  effectiveSettings,
  inSettingNames,
  internalSecret,
  internalSecretPath,
  type Loaded,
  loadSettings,
  relayOptions,
  relaySettingsProblems,
  settingsOf,
} from "../../config/index.ts";
import { ConfigError, type ConfigProblem } from "../../core/errors.ts";
import { muxOptions } from "../../mux/index.ts";
import {
  CredentialsFile,
  type Relay,
  type RelayOptions,
  relayOptionsProblems,
  startRelay,
} from "../../relay/index.ts";
import { addSettings } from "../settings-flags.ts";
import { onStopSignals } from "../stop-signals.ts";

const EXAMPLES = `
Examples:
  $ hawser relay --credentials credentials.json
  $ hawser relay --credentials credentials.json --tls-cert cert.pem --tls-key key.pem --listen-port 443
  $ hawser relay --config relay.json --check-config

Log lines are JSON and go to standard output. SIGTERM and SIGINT let running requests finish, a second one does
not wait; SIGHUP reads the TLS certificate again. The credentials file is read again when it changes.
`;

/** Log lines that may wait in memory while their reader is slow; more are dropped. */
const LOG_BYTES_MAX = 16_777_216;
const MADE_SECRET_LIKE = "x".repeat(43);

/** `hawser relay`: device tunnels, the edge and the internal API. */
export function relayCommand(): Command {
  const command = new Command("relay")
    .description("Run a relay: devices dial in, callers reach them over plain HTTP")
    .option("--check-config", "check everything, print the effective settings, start nothing")
    .option("--json", "print errors and --check-config as JSON")
    .addHelpText("after", EXAMPLES)
    .action(async (flags: Record<string, unknown>) => {
      const loaded = loadSettings("relay", { flags, environment: process.env });
      if (flags["checkConfig"] === true) await checkConfig(loaded, flags["json"] === true);
      else await runRelay(loaded);
    });
  return addSettings(command, "relay");
}

async function runRelay(loaded: Loaded): Promise<void> {
  const { values } = loaded;
  const { secret, origin, warning } = internalSecret(values, process.env);
  const options = relayOptions(values, secret);
  const problems = [...relaySettingsProblems(values), ...optionsProblems(options)];
  if (problems.length > 0) throw new ConfigError(problems);

  const destination = pino.destination({ dest: 1, sync: false, maxLength: LOG_BYTES_MAX });
  const logger = pino({ level: values.logLevel }, destination);
  for (const sentence of loaded.warnings) logger.warn(sentence);
  if (warning !== null) logger.warn(warning);
  logger.info({ origin }, "internal secret");

  // Before anything listens: a signal that comes during the start must find its listener.
  let relay: Relay | null = null;
  const onHangup = (): void => relay?.reloadTls();
  process.on("SIGHUP", onHangup);
  const stopSignal = new Promise<NodeJS.Signals>((resolve) => onStopSignals(resolve));
  try {
    const credentials = await CredentialsFile.open(values.credentials ?? "", logger);
    try {
      relay = await startRelay(options, {
        tunnelGate: credentials,
        callerGate: credentials,
        logger,
      });
      credentials.on("revoked", (refs) => relay?.revoke(refs));
      logger.info({ signal: await stopSignal }, "stopping");
      await relay.drain();
    } finally {
      credentials.close();
    }
    logger.info("stopped");
  } finally {
    process.off("SIGHUP", onHangup);
    destination.end();
    await once(destination, "close");
  }
}

/**
 * Prints what the relay would run with.
 *
 * @throws ConfigError with every problem, those of the credentials file included
 */
async function checkConfig(loaded: Loaded, json: boolean): Promise<void> {
  const { values } = loaded;
  const inDataDir = values.internalSecret === null && values.internalSecretFile === null;
  // A check makes nothing: where the secret would be made at the start, one of its length stands in.
  const secret = inDataDir ? MADE_SECRET_LIKE : internalSecret(values, process.env).secret;
  const problems = [
    ...relaySettingsProblems(values),
    ...optionsProblems(relayOptions(values, secret)),
    ...(values.credentials === null ? [] : await credentialsProblems(values.credentials)),
  ];
  if (problems.length > 0) throw new ConfigError(problems);

  const names = settingsOf("relay").map(([name]) => name);
  const settings = effectiveSettings(loaded, names);
  const secretFile = inDataDir
    ? internalSecretPath(dataFolder(values.dataDir, process.env))
    : values.internalSecretFile;
  if (json) {
    const rows = settings.map(({ name, value, origin }) => [name, { value, origin }]);
    const report = { ok: true, settings: Object.fromEntries(rows), warnings: loaded.warnings };
    process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
    return;
  }
  const width = Math.max(...names.map((name) => name.length));
  for (const { name, shown, origin } of settings) {
    process.stdout.write(`${name.padEnd(width)}  ${shown}  (${origin})\n`);
  }
  if (values.internalSecret === null) {
    process.stdout.write(`The internal secret is kept in ${secretFile}.\n`);
  }
  for (const sentence of loaded.warnings) process.stdout.write(`warning: ${sentence}\n`);
  process.stdout.write("The configuration can be used.\n");
}

/** What relay and mux have to say about the options as a whole. */
function optionsProblems(options: RelayOptions): ConfigProblem[] {
  const problems = [...relayOptionsProblems(options)];
  try {
    muxOptions(options.mux);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    problems.push(...error.problems);
  }
  return inSettingNames(problems);
}

async function credentialsProblems(path: string): Promise<readonly ConfigProblem[]> {
  try {
    const file = await CredentialsFile.open(path, pino({ level: "silent" }));
    file.close();
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
}
