import { readFileSync } from "node:fs";
import { type Logger, levels, pino } from "pino";
import { type AgentOptions, agentSettings, connect } from "../../agent/index.ts";
import { dataFolder, type Loaded, loadSettings, type Values } from "../../config/index.ts";
import { ConfigError, type ConfigProblem } from "../../core/errors.ts";
import { type AgentFiles, type AgentState, agentFiles, readAgentState } from "../agent-state.ts";
import { printConfig } from "../check-config.ts";
import { onStopSignals } from "../stop-signals.ts";
import { TokenRotation } from "../token-rotation.ts";

/** Flags by the names of settings, as commander hands them over: text, nothing checked. */
export type AgentFlags = Readonly<Record<string, unknown>>;

/** What flags, variables and file come to. */
export interface AgentCommandSettings {
  readonly options: AgentOptions;
  readonly logLevel: string;
  readonly json: boolean;
  readonly loaded: Loaded;
  /** What `hawser agent pair` has left, where neither relay nor token is set otherwise. */
  readonly paired: Paired | null;
}

interface Paired {
  readonly files: AgentFiles;
  readonly state: AgentState;
}

/** What `hawser agent` does: checks, and serves until a signal stops it. */
export async function runAgentCommand(flags: AgentFlags): Promise<void> {
  const settings = agentCommandSettings(flags, process.env);
  if (flags["checkConfig"] === true) checkConfig(settings);
  else await runAgent(settings);
}

function checkConfig({ loaded, paired, json }: AgentCommandSettings): void {
  const notes =
    paired === null
      ? []
      : [
          `Paired as ${paired.state.device_id}; dials ${paired.state.relay} with ${paired.files.token}.`,
        ];
  printConfig("agent", loaded, notes, json);
}

/** Runs until a signal stops it. */
async function runAgent(settings: AgentCommandSettings): Promise<void> {
  const log = agentLogger(settings);
  for (const sentence of settings.loaded.warnings) log.warn(sentence);
  const agent = connect({ ...settings.options, log });
  const { paired } = settings;
  const rotation = paired === null ? null : new TokenRotation(paired.files, paired.state, log);
  const forgetSignals = onStopSignals(() => void agent.close());
  await new Promise<void>((resolve) => {
    agent.once("stopped", () => resolve());
  });
  rotation?.stop();
  forgetSignals();
}

/** The settings that the library's options come from, where the names differ. */
const SETTING_OF_OPTION: Readonly<Record<string, string>> = {
  token: "tokenFile",
  drainMs: "drainTime",
  localCa: "toCa",
};

/**
 * Reads flags, `HAWSER_…` variables and the configuration file.
 *
 * @throws ConfigError with every problem, each by the name that was used
 */
export function agentCommandSettings(
  flags: AgentFlags,
  environment: Readonly<Record<string, string | undefined>>,
): AgentCommandSettings {
  const loaded = loadSettings("agent", { flags, environment }, ({ values }) =>
    libraryProblems(agentOptions(values, pairedIn(values, environment))),
  );
  const { values } = loaded;
  const paired = pairedIn(values, environment);
  return {
    options: agentOptions(values, paired),
    logLevel: values.logLevel,
    json: flags["json"] === true,
    loaded,
    paired,
  };
}

/** A stored token goes to the relay that it was stored with, and to no other. */
function pairedIn(
  values: Values,
  environment: Readonly<Record<string, string | undefined>>,
): Paired | null {
  if (values.relay !== null || values.tokenFile !== null || values.token !== null) return null;
  const files = agentFiles(dataFolder(values.dataDir, environment));
  const state = readAgentState(files);
  return state === null ? null : { files, state };
}

function agentOptions(values: Values, paired: Paired | null): AgentOptions {
  return {
    relay: paired?.state.relay ?? values.relay ?? "",
    token: values.tokenFile === null ? (values.token ?? undefined) : undefined,
    tokenFile: paired?.files.token ?? values.tokenFile ?? undefined,
    to: values.to ?? "",
    ca: pem(values.ca ?? paired?.state.ca ?? null),
    localCa: pem(values.toCa),
    maxStreams: values.maxStreams,
    drainMs: values.drainTime,
    yamuxRole: values.yamuxRole,
  };
}

/** What the library has to say, by the names of settings. */
function libraryProblems(options: AgentOptions): ConfigProblem[] {
  try {
    agentSettings(options);
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map(({ setting, problem }) => {
      const missing = setting === "token" && options.token === undefined;
      const unpaired = setting === "relay" && options.relay === "";
      const told = missing ? "is required, unless HAWSER_TOKEN holds the token" : problem;
      return {
        setting: SETTING_OF_OPTION[setting] ?? setting,
        problem: unpaired
          ? "is required, unless `hawser agent pair` has paired this machine"
          : told,
      };
    });
  }
}

/** The content of a file that was found readable. */
function pem(path: string | null): string | undefined {
  return path === null ? undefined : readFileSync(path, "utf8");
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
