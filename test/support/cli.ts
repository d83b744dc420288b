import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { extname } from "node:path";
import type { Readable } from "node:stream";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(import.meta.url);
const main = fileURLToPath(new URL(`../../src/cli/main${extname(here)}`, import.meta.url));

/** How long one wait for a command may take before its test fails. */
const WAIT_MS = 30_000;

export interface Finished {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** One run of the `hawser` command, in a process of its own. Killed when its test is over. */
export class CliProcess {
  readonly child: ChildProcess;
  #stdout = "";
  #stderr = "";
  readonly #finished: Promise<Finished>;

  /**
   * @param words what stands behind `hawser`
   * @param environment laid over the environment of the test, from which all `HAWSER_…` variables are taken out
   * @param input what it reads; null for nothing
   */
  constructor(
    t: TestContext,
    words: readonly string[],
    environment: NodeJS.ProcessEnv = {},
    input: string | null = null,
  ) {
    const inherited = Object.entries(process.env).filter(
      ([name]) => !/^(HAWSER|NODE_TEST)_/.test(name),
    );
    this.child = spawn(process.execPath, [main, ...words], {
      env: { ...Object.fromEntries(inherited), ...environment },
      stdio: [input === null ? "ignore" : "pipe", "pipe", "pipe"],
    });
    this.child.stdin?.end(input);
    this.child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.#stdout += text;
    });
    this.child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr += text;
    });
    this.#finished = once(this.child, "close").then(([code, signal]) => ({
      code,
      signal,
      stdout: this.#stdout,
      stderr: this.#stderr,
    }));
    t.after(() => {
      this.child.kill("SIGKILL");
      return this.#finished;
    });
  }

  /** Resolves when the process is over and its output is complete. */
  finished(): Promise<Finished> {
    return this.#before(this.#finished, "to end");
  }

  /** Resolves with the first match of `pattern` in standard output. */
  printed(pattern: RegExp): Promise<RegExpExecArray> {
    return this.#seen(pattern, this.child.stdout, () => this.#stdout);
  }

  /** The same of standard error. */
  told(pattern: RegExp): Promise<RegExpExecArray> {
    return this.#seen(pattern, this.child.stderr, () => this.#stderr);
  }

  #seen(pattern: RegExp, stream: Readable | null, text: () => string): Promise<RegExpExecArray> {
    const seen = new Promise<RegExpExecArray>((resolve, reject) => {
      const look = (): void => {
        const match = pattern.exec(text());
        if (match !== null) resolve(match);
      };
      stream?.on("data", look);
      look();
      void this.#finished.then(() => {
        look();
        reject(new Error(`ended without ${pattern}\n${this.#stdout}\n${this.#stderr}`));
      });
    });
    return this.#before(seen, `for ${pattern}`);
  }

  async #before<T>(work: Promise<T>, what: string): Promise<T> {
    const limit = AbortSignal.timeout(WAIT_MS);
    const late = new Promise<never>((_, reject) => {
      limit.addEventListener("abort", () => {
        reject(new Error(`waited ${what}\n${this.#stdout}\n${this.#stderr}`));
      });
    });
    return Promise.race([work, late]);
  }
}

/** Runs a command to its end. */
export function runCli(
  t: TestContext,
  words: readonly string[],
  environment: NodeJS.ProcessEnv = {},
  input: string | null = null,
): Promise<Finished> {
  return new CliProcess(t, words, environment, input).finished();
}
