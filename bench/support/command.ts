/** What all commands of the bench share: flags, `--help`, and what each kind of failure ends with. */
import { type ParseArgsConfig, parseArgs } from "node:util";

type Options = NonNullable<ParseArgsConfig["options"]>;
/** What a command gets of its flags. */
export type FlagsOf<O extends Options> = ReturnType<typeof parseArgs<{ options: O }>>["values"];

/** A flag that may be given again; a list of texts. */
export const SEVERAL = {
  type: "string" as const,
  multiple: true as const,
  default: [] as string[],
};

/** A command and its flags. */
export interface Command<O extends Options> {
  /** As it is called, without `npm run`: `bench:micro`. */
  readonly name: string;
  /** What `--help` prints: usage, options and examples. */
  readonly help: string;
  /** As node:util takes them; `--help` is added. */
  readonly options: O;
  /** What a failure ends it with, where 1 says something else; default 1. */
  readonly failureCode?: number;
}

/** A flag that nobody can make sense of. The command has done nothing yet. */
export class UsageError extends Error {}

const USAGE_CODE = 2;
/** What others may ask this process to end with. A process that ends by a signal runs nothing of its own any more, and leaves what it started behind. */
const ENDING_SIGNALS = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;
const SIGNAL_CODE = 128;
const HELP = { help: { type: "boolean", short: "h", default: false } } as const;

/**
 * Reads the flags of this process and runs the command. The process ends with 2 where a flag is unknown or wrong, and with 1 (or
 * `failureCode`) where `run` fails; either is one line of text on standard error, or one for each thing that is missing. Where it
 * fails, or is told to end by a signal (128 and the signal's number), the process ends at once, and with it all that it started.
 */
export async function runCommand<const O extends Options>(
  { name, help, options, failureCode = 1 }: Command<O>,
  run: (values: FlagsOf<O>) => void | Promise<void>,
): Promise<void> {
  for (const [signal, number] of Object.entries(ENDING_SIGNALS)) {
    process.once(signal, () => process.exit(SIGNAL_CODE + number));
  }
  try {
    const values = flagsOf(options);
    if ("help" in values && values.help === true) process.stdout.write(help);
    else await run(values);
  } catch (error) {
    const isUsage = error instanceof UsageError;
    const hint = isUsage ? `; npm run ${name} -- --help tells more` : "";
    note(`${name}: ${textOf(error)}${hint}`);
    // What was started when something else failed would keep this process, and itself, alive.
    process.exit(isUsage ? USAGE_CODE : failureCode);
  }
}

function flagsOf<const O extends Options>(options: O): FlagsOf<O> {
  try {
    return parseArgs({ options: { ...options, ...HELP } }).values as FlagsOf<O>;
  } catch (error) {
    // What node:util adds to its first sentence is about arguments that begin with a dash.
    throw new UsageError(textOf(error).split(/\. |\n/)[0]);
  }
}

function textOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause instanceof Error ? `: ${error.cause.message}` : "";
  return `${error.message}${cause}`;
}

/** Tells whoever waits what happens; standard output is for results. */
export function note(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** A whole number from `least` on. @throws UsageError */
export function wholeNumber(flag: string, text: string, least = 1): number {
  const number = text.trim() === "" ? Number.NaN : Number(text);
  if (!Number.isSafeInteger(number) || number < least) {
    throw new UsageError(`${flag} takes a whole number from ${least} on`);
  }
  return number;
}

/** A number above 0. @throws UsageError */
export function positiveNumber(flag: string, text: string): number {
  const number = Number(text);
  if (!(number > 0 && Number.isFinite(number))) {
    throw new UsageError(`${flag} takes a number above 0`);
  }
  return number;
}

/**
 * Those of the known names that a flag was given, in the order in which they are known.
 *
 * @param byDefault where none was given
 * @throws UsageError that lists the known ones
 */
export function chosenOf<T extends string>(
  flag: string,
  given: readonly string[],
  known: readonly T[],
  byDefault: readonly T[] = known,
): readonly T[] {
  const unknown = given.find((name) => !known.some((id) => id === name));
  if (unknown !== undefined) {
    throw new UsageError(`${flag} ${unknown}: known are ${known.join(", ")}`);
  }
  return given.length === 0 ? byDefault : known.filter((id) => given.includes(id));
}
