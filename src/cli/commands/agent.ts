import { readFileSync } from "node:fs";
import { Command, Option } from "commander";
import { type Logger, levels, pino } from "pino";
import { type AgentOptions, agentSettings, connect } from "../../agent/index.ts";
import { ConfigError, type ConfigProblem } from "../../core/errors.ts";
import { onStopSignals } from "../stop-signals.ts";

/** Flags as commander hands them over: text, nothing checked. */
export interface AgentFlags {
  readonly relay?: string;
  readonly token?: string;
  readonly tokenFile?: string;
  readonly to?: string;
  readonly ca?: string;
  readonly toCa?: string;
  readonly maxStreams?: string;
  readonly yamuxRole?: string;
  readonly drainTime?: string;
  readonly logLevel?: string;
  readonly json?: boolean;
  readonly checkConfig?: boolean;
}

/** What the flags and variables come to. */
export interface AgentCommandSettings {
  readonly options: AgentOptions;
  readonly logLevel: string;
  readonly json: boolean;
}

const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "fatal", "silent"];

const EXAMPLES = `
Examples:
  $ hawser agent --relay ws://relay.example.org:3800 --token-file device.token --to http://127.0.0.1:8080
  $ HAWSER_TOKEN=... hawser agent --relay wss://relay.example.org --to tcp://127.0.0.1:22 --json

Log lines go to standard error. SIGTERM and SIGINT let running requests finish, a second one does not wait.
`;

/** `hawser agent`: dials a relay and forwards what it sends to a local service. */
export function agentCommand(): Command {
  return new Command("agent")
    .description("Run a device agent: dial a relay and forward its requests to a local service")
    .option("--relay <url>", "relay to dial: ws://host:3800 or wss://host (HAWSER_RELAY)")
    .option(
      "--token-file <file>",
      "file with the device token, read again before every dial (HAWSER_TOKEN_FILE; or HAWSER_TOKEN, which holds the token itself)",
    )
    .option("--to <url>", "local service: http://, https:// or tcp://host:port (HAWSER_TO)")
    .option("--ca <file>", "PEM certificates that the relay's is checked against (HAWSER_CA)")
    .option("--to-ca <file>", "the same for an https:// service (HAWSER_TO_CA)")
    .option("--max-streams <number>", "streams at a time (HAWSER_MAX_STREAMS; default: 256)")
    .option(
      "--yamux-role <role>",
      "server or client; the relay has the other (HAWSER_YAMUX_ROLE; default: server)",
    )
    .option(
      "--drain-time <duration>",
      "for running requests when stopping (HAWSER_DRAIN_TIME; default: 30s)",
    )
    .option("--log-level <level>", `${LOG_LEVELS.join(", ")} (HAWSER_LOG_LEVEL; default: info)`)
    .option("--json", "log as JSON lines, and print errors and --check-config as JSON")
    .option("--check-config", "check everything, start nothing")
    .addOption(new Option("--token <token>").hideHelp())
    .addHelpText("after", EXAMPLES)
    .action(async (flags: AgentFlags) => {
      const settings = agentCommandSettings(flags, process.env);
      if (flags.checkConfig === true) reportChecked(settings);
      else await runAgent(settings);
    });
}

function reportChecked({ json }: AgentCommandSettings): void {
  process.stdout.write(json ? '{"ok":true}\n' : "The configuration can be used.\n");
}

/** Runs until a signal stops it. */
async function runAgent(settings: AgentCommandSettings): Promise<void> {
  const agent = connect({ ...settings.options, log: agentLogger(settings) });
  const forgetSignals = onStopSignals(() => void agent.close());
  await new Promise<void>((resolve) => {
    agent.once("stopped", () => resolve());
  });
  forgetSignals();
}

/** Names of the library's options, and the flag or variable that each is given by. */
const FLAG_OF_OPTION: Readonly<Record<string, string>> = {
  relay: "--relay",
  token: "--token-file",
  tokenFile: "--token-file",
  to: "--to",
  maxStreams: "--max-streams",
  yamuxRole: "--yamux-role",
  drainMs: "--drain-time",
};

/**
 * Checks flags and `HAWSER_…` variables; flags win.
 *
 * @throws ConfigError with every problem, by the name of the flag
 */
export function agentCommandSettings(
  flags: AgentFlags,
  environment: Readonly<Record<string, string | undefined>>,
): AgentCommandSettings {
  const problems: ConfigProblem[] = [];
  const text = (flag: string | undefined, variable: string): string | undefined =>
    flag ?? (environment[variable] || undefined);

  if (flags.token !== undefined) {
    const problem = "a secret in the command line can be read by every user of the machine; use";
    problems.push({ setting: "--token", problem: `${problem} --token-file or HAWSER_TOKEN` });
  }
  const tokenFile = text(flags.tokenFile, "HAWSER_TOKEN_FILE");
  const token = tokenFile === undefined ? text(undefined, "HAWSER_TOKEN") : undefined;
  if (tokenFile !== undefined) readable("--token-file", tokenFile, problems);
  const logLevel = text(flags.logLevel, "HAWSER_LOG_LEVEL") ?? "info";
  if (!LOG_LEVELS.includes(logLevel)) {
    problems.push({ setting: "--log-level", problem: `must be one of ${LOG_LEVELS.join(", ")}` });
  }
  const options: AgentOptions = {
    relay: text(flags.relay, "HAWSER_RELAY") ?? "",
    token,
    tokenFile,
    to: text(flags.to, "HAWSER_TO") ?? "",
    ca: readable("--ca", text(flags.ca, "HAWSER_CA"), problems),
    localCa: readable("--to-ca", text(flags.toCa, "HAWSER_TO_CA"), problems),
    maxStreams: wholeNumber(text(flags.maxStreams, "HAWSER_MAX_STREAMS")),
    drainMs: milliseconds(text(flags.drainTime, "HAWSER_DRAIN_TIME")),
    yamuxRole: text(flags.yamuxRole, "HAWSER_YAMUX_ROLE") as AgentOptions["yamuxRole"],
  };
  problems.push(...libraryProblems(options));
  if (problems.length > 0) throw new ConfigError(problems);
  return { options, logLevel, json: flags.json === true };
}

/** What the library has to say, in the words of the command line. */
function libraryProblems(options: AgentOptions): ConfigProblem[] {
  try {
    agentSettings(options);
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map(({ setting, problem }) => {
      const missing = setting === "token" && options.token === undefined;
      return {
        setting: FLAG_OF_OPTION[setting] ?? setting,
        problem: missing ? "is required, unless HAWSER_TOKEN holds the token" : problem,
      };
    });
  }
}

/** The content of a file that is named, undefined without a name or when a problem was added. */
function readable(
  flag: string,
  path: string | undefined,
  problems: ConfigProblem[],
): string | undefined {
  if (path === undefined) return undefined;
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "unknown";
    problems.push({ setting: flag, problem: `${path} cannot be read (${code})` });
    return undefined;
  }
}

/** NaN for what is no whole number: the library's check names the bounds. */
function wholeNumber(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  return /^[0-9]{1,9}$/.test(value) ? Number(value) : Number.NaN;
}

const MS_OF_UNIT: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** `1500ms`, `30s`, `2m`, `1h`; a plain number counts milliseconds. NaN for anything else. */
function milliseconds(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const match = /^([0-9]{1,9})(ms|s|m|h)?$/.exec(value);
  return match === null ? Number.NaN : Number(match[1]) * (MS_OF_UNIT[match[2] ?? "ms"] ?? 1);
}

/** Standard error: JSON lines of pino, or one plain sentence a line. */
function agentLogger({ logLevel, json }: AgentCommandSettings): Logger {
  const write = (line: string): void => {
    process.stderr.write(json ? line : plainLine(line));
  };
  return pino({ level: logLevel, base: null, timestamp: pino.stdTimeFunctions.isoTime }, { write });
}

/** A pino line as `<time> <level> <message>`, with nothing in it that could steer a terminal. */
export function plainLine(line: string): string {
  const { time, level, msg, suppressed } = JSON.parse(line) as {
    time: string;
    level: number;
    msg: string;
    suppressed?: number;
  };
  const name = (levels.labels[level] ?? "info").padEnd(5);
  const more = suppressed === undefined ? "" : ` (and ${suppressed} more like it)`;
  return `${time} ${name} ${msg.replace(/\p{Cc}/gu, " ")}${more}\n`;
}
