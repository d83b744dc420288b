import type { EventEmitter } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { type Logger, pino } from "pino";
import { ConfigError, type ConfigProblem } from "../../../src/core/errors.ts";
import { until } from "../until.ts";

/** A folder for one test. */
export function testFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "hawser-access-proxy-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export const silent: Logger = pino({ level: "silent" });

/** A logger whose lines are kept as they are written. */
export function recordingLogger(): { readonly logger: Logger; readonly lines: string[] } {
  const lines: string[] = [];
  return { logger: pino({}, { write: (line: string) => void lines.push(line) }), lines };
}

/** The problems of the ConfigError that `act` throws. */
export async function problemsOf(act: () => unknown): Promise<readonly ConfigProblem[]> {
  try {
    await act();
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  throw new Error("no problem was found");
}

/** Resolves with the next event of that name. What watches files keeps no process alive; this does. */
export async function told(emitter: EventEmitter, event: string): Promise<void> {
  let isTold = false;
  emitter.once(event, () => {
    isTold = true;
  });
  await until(() => isTold, event);
}
