import { type Logger, pino } from "pino";

/**
 * What a logger says in each line, as it stands there: `,"pid":1,"hostname":"x"`, or "" for nothing. For those who write lines
 * beside the logger that are to look like its own.
 */
export function preparedBindings(logger: Logger): string {
  const bindings = (logger as unknown as Record<symbol, unknown>)[pino.symbols.chindingsSym];
  return typeof bindings === "string" ? bindings : "";
}
