import { CommanderError } from "commander";
import { AppError, ConfigError } from "../core/errors.ts";
import { type CliErrorCode, CommandError } from "./errors.ts";
import { createProgram } from "./program.ts";

/** Exit codes of every command. */
export const EXIT = { DONE: 0, FAILED: 1, USAGE: 2 } as const;

const USAGE: CliErrorCode = "ERR_CLI_USAGE";
const UNEXPECTED: CliErrorCode = "ERR_CLI_UNEXPECTED";

/** An error as people and programs are told of it. */
export interface ErrorReport {
  readonly code: string;
  /** One line; a ConfigError has one for each problem. */
  readonly message: string;
  /** What to do about it, or "". */
  readonly advice: string;
  readonly problems: readonly { readonly setting: string; readonly problem: string }[];
  readonly exitCode: number;
}

/**
 * Runs one command line.
 *
 * @param words what stands behind `hawser`
 * @returns the exit code
 */
export async function run(words: readonly string[]): Promise<number> {
  outliveReaders();
  try {
    const program = await createProgram(words);
    if (words.length === 0) {
      process.stderr.write(program.helpInformation());
      return EXIT.USAGE;
    }
    await program.parseAsync(words, { from: "user" });
    return Number(process.exitCode ?? EXIT.DONE);
  } catch (error) {
    const report = describeError(error, words);
    if (report === null) return EXIT.DONE;
    process.stderr.write(formatReport(report, words.includes("--json")));
    return report.exitCode;
  }
}

/**
 * Whoever reads our output may go before its end, as `head` does: the rest is dropped, and the command still does what
 * it was asked to. A relay does not stop because nobody reads its log any more.
 */
function outliveReaders(): void {
  for (const output of [process.stdout, process.stderr]) {
    output.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "EPIPE") throw error;
    });
  }
}

/** Null for what is no error: help and version were printed. */
export function describeError(error: unknown, words: readonly string[]): ErrorReport | null {
  if (error instanceof CommanderError) return describeUsage(error, words);
  if (error instanceof ConfigError) {
    return {
      code: error.code,
      message: error.message,
      advice: `Every setting: ${helpLine(words)}, and docs/configuration.md.`,
      problems: error.problems,
      exitCode: EXIT.USAGE,
    };
  }
  const code = codeOf(error);
  return {
    code,
    message: oneLine(error instanceof Error ? error.message : String(error)),
    advice: error instanceof CommandError ? error.advice : adviceFor(code),
    problems: [],
    exitCode: EXIT.FAILED,
  };
}

function describeUsage(error: CommanderError, words: readonly string[]): ErrorReport | null {
  if (error.exitCode === 0) return null;
  const isUsage = error.code.startsWith("commander.");
  const isUnknown = error.code === "commander.unknownCommand";
  // There is no help for a command that there is not.
  const known = isUnknown ? words.filter((word) => !error.message.includes(`'${word}'`)) : words;
  return {
    code: isUsage ? USAGE : error.code,
    message: withoutValue(error.message)
      .replace(/^error: /, "")
      .replace(/^\(outputHelp\)$/, "no command given"),
    advice: isUsage ? `How to use it: ${helpLine(known)}.` : "",
    problems: [],
    exitCode: isUsage ? EXIT.USAGE : EXIT.FAILED,
  };
}

/** A flag that is misspelt may carry a secret: `--tokn=vAc_…`. Only its name is told. */
function withoutValue(message: string): string {
  return message.replace(/(unknown option '[^'=]*)=.*'/s, "$1'");
}

/** The report as it is printed, ending in a line break. */
export function formatReport(report: ErrorReport, json: boolean): string {
  const { code, message, advice, problems } = report;
  if (json) {
    return `${JSON.stringify({ error: { code, message, advice, problems } })}\n`;
  }
  const lines =
    problems.length > 1
      ? [
          "error: the configuration cannot be used:",
          ...message.split("\n").map((line) => `  ${line}`),
        ]
      : [`error: ${message}`];
  if (advice !== "") lines.push(advice);
  return `${lines.join("\n")}\n`;
}

function helpLine(words: readonly string[]): string {
  const command = words.find((word) => /^[a-z]+(?:-[a-z]+)*$/.test(word));
  return command === undefined ? "hawser --help" : `hawser ${command} --help`;
}

function codeOf(error: unknown): string {
  if (error instanceof AppError) return error.code;
  const code: unknown = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" ? code : UNEXPECTED;
}

function adviceFor(code: string): string {
  switch (code) {
    case "EADDRINUSE":
      return "Something else listens there: stop it, or choose another port.";
    case "EACCES":
      return "This user may not do that: ports below 1024 and files of others want more rights.";
    case UNEXPECTED:
      return "This should not happen; please report it with the command that you ran.";
    default:
      return "";
  }
}

/** What a terminal can show: no line breaks, no control characters. */
function oneLine(text: string): string {
  return text.replace(/\p{Cc}+/gu, " ");
}
