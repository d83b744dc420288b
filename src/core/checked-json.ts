import type { z } from "zod";
import { ConfigError } from "./errors.ts";

/**
 * Reads JSON that people write, and checks it against a schema.
 *
 * @param source how messages name the text, its path most likely
 * @throws ConfigError with every problem, each under `source: tokens[3].digest` or the like. Messages carry nothing of
 *   the text's own values, as long as those of the schema do not
 */
export function checkedJson<T>(schema: z.ZodType<T>, text: string, source: string): T {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new ConfigError([{ setting: source, problem: `is not JSON${placeOf(error, text)}` }]);
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const problems = result.error.issues.map(({ path, message }) => ({
    setting: placeIn(source, path),
    problem: message,
  }));
  throw new ConfigError(problems);
}

/** `source: tokens[3].digest`. */
export function placeIn(source: string, path: readonly PropertyKey[]): string {
  let place = "";
  for (const step of path) {
    if (typeof step === "number") place += `[${step}]`;
    else place += place === "" ? String(step) : `.${String(step)}`;
  }
  return place === "" ? source : `${source}: ${place}`;
}

/** ` at line 3, column 7`, where the engine says where. Its own message may quote the text, so it is not used. */
function placeOf(error: unknown, text: string): string {
  const position = /at position (\d+)/.exec(error instanceof Error ? error.message : "")?.[1];
  if (position === undefined) return "";
  const lines = text.slice(0, Number(position)).split("\n");
  return ` at line ${lines.length}, column ${(lines.at(-1) ?? "").length + 1}`;
}
