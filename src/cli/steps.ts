import { AppError } from "../core/errors.ts";
import { cliError } from "./errors.ts";

/** A step that is done. */
export interface DoneStep {
  /** What was done: `sign in as alice`. */
  readonly step: string;
  readonly ms: number;
  /** What came of it, in a few words; "" for nothing to tell. */
  readonly result: string;
}

/** Steps one after the other, each with its name and time. */
export class Steps {
  readonly done: DoneStep[] = [];
  readonly #tell: (step: DoneStep) => void;

  /** @param tell hears of each step that is done */
  constructor(tell: (step: DoneStep) => void = () => undefined) {
    this.#tell = tell;
  }

  /**
   * Takes one step.
   *
   * @param resultOf what is told of its value
   * @throws AppError `ERR_CLI_DEV_FAILED` that names the step and the reason
   */
  async take<T>(
    step: string,
    work: () => Promise<T>,
    resultOf: (value: T) => string = () => "",
  ): Promise<T> {
    const started = performance.now();
    let value: T;
    try {
      value = await work();
    } catch (error) {
      throw cliError("ERR_CLI_DEV_FAILED", `could not ${step}: ${reasonOf(error)}`, error);
    }
    const done = { step, ms: performance.now() - started, result: resultOf(value) };
    this.done.push(done);
    this.#tell(done);
    return value;
  }
}

/** One line. Node's own "fetch failed" has its reason in the cause. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const isFetch = error instanceof TypeError && error.cause instanceof Error;
  const message = isFetch ? reasonOf(error.cause) : error.message;
  if (message !== "") return message;
  return error instanceof AppError ? error.code : error.name;
}
