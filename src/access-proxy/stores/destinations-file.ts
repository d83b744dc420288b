import type { Logger } from "pino";
import { z } from "zod";
import { checkedJson, placeIn } from "../../core/checked-json.ts";
import { ConfigError } from "../../core/errors.ts";
import { isDeviceId } from "../../core/token.ts";
import { type Destination, type DestinationPolicy, settledPath } from "../destinations.ts";
import { fileSource, type Source, Watched, type WatchedOptions } from "./watched.ts";

const DESTINATIONS_MAX = 1_000;

/** Scheme, host and port as `URL.origin` writes them; null for what is more than an origin. */
function originOf(text: string): string | null {
  if (!/^https?:\/\/[^/?#\\@\s]+\/?$/i.test(text) || !URL.canParse(text)) return null;
  return new URL(text).origin;
}

function isPathPrefix(path: string): boolean {
  if (!/^\/[!-~]*$/.test(path) || /[?#\\]/.test(path)) return false;
  return settledPath(path) !== null && new URL(path, "http://host.invalid").pathname === path;
}

const flag = z.boolean("must be true or false").default(false);

const destination = z.strictObject({
  origin: z
    .string("must be a text")
    .refine(
      (text) => originOf(text) !== null,
      "must be a scheme, a host and perhaps a port: https://ta.example",
    ),
  taId: z.string("must be a text").min(1, "must not be empty").max(1_024, "is too long").optional(),
  pathPrefix: z
    .string("must be a text")
    .refine(
      isPathPrefix,
      "must begin with /, have no dot segments, no empty ones and no encoded separators",
    )
    .default("/"),
  allowHttp: flag,
  allowPrivate: flag,
  device: z
    .string("must be a text")
    .refine(isDeviceId, "must be a device id: 16 characters of a-z and 2-7")
    .optional(),
});

const destinations = z
  .array(destination, "must be an array of destinations")
  .max(DESTINATIONS_MAX, `must have at most ${DESTINATIONS_MAX} entries`);

/** What a file of destinations is read with. */
export interface DestinationsContext {
  /** Whether the edge of a relay is set up, which entries with a device need. */
  readonly hasEdge: boolean;
}

/**
 * Reads the text of a file of destinations: a JSON array.
 *
 * @throws ConfigError with every problem, by entry and field
 * @see TA cooperation, section 14.2
 */
export function parseDestinations(
  text: string,
  source: string,
  { hasEdge }: DestinationsContext,
): readonly Destination[] {
  const entries: Destination[] = [];
  const problems: { setting: string; problem: string }[] = [];
  const seen = new Set<string>();
  for (const [index, entry] of checkedJson(destinations, text, source).entries()) {
    const report = (field: string, problem: string): void => {
      problems.push({ setting: placeIn(source, [index, field]), problem });
    };
    const origin = originOf(entry.origin) ?? "";
    const { taId = origin, pathPrefix, allowHttp, allowPrivate, device = null } = entry;
    if (origin.startsWith("http:") && !allowHttp) report("origin", "http:// needs allowHttp");
    if (device !== null && !hasEdge) report("device", "needs edgeUrl and edgeKey");
    const identity = JSON.stringify([origin, taId, pathPrefix]);
    if (seen.has(identity)) report("origin", "is that of an earlier entry too");
    seen.add(identity);
    entries.push({ origin, taId, pathPrefix, allowHttp, allowPrivate, device });
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return entries;
}

/** The file of destinations as a place to read from. */
export function destinationsSource(
  path: string,
  context: DestinationsContext,
): Source<readonly Destination[]> {
  return fileSource("destinations", path, (text, source) =>
    parseDestinations(text, source, context),
  );
}

/** The destinations of a JSON file, which is read again when it changes, and no others. */
export class DestinationsFile implements DestinationPolicy {
  readonly allowAny = false;
  readonly file: Watched<readonly Destination[]>;

  private constructor(file: Watched<readonly Destination[]>) {
    this.file = file;
  }

  /** @throws ConfigError with every problem of the file */
  static async open(
    path: string,
    logger: Logger,
    context: DestinationsContext,
    options?: WatchedOptions,
  ): Promise<DestinationsFile> {
    return new DestinationsFile(
      await Watched.open(destinationsSource(path, context), logger, options),
    );
  }

  get destinations(): readonly Destination[] {
    return this.file.value;
  }
}
