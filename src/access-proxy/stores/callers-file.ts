import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { Logger } from "pino";
import { z } from "zod";
import { checkedJson, placeIn } from "../../core/checked-json.ts";
import { ConfigError } from "../../core/errors.ts";
import { digestsEqual, isSecretDigest } from "../../core/token.ts";
import type { CallerAuth } from "../callers.ts";
import { fileSource, type Source, Watched, type WatchedOptions } from "./watched.ts";

const CALLERS_MAX = 256;
const SECRET_LENGTH_MAX = 1_024;

const caller = z.strictObject({
  name: z
    .string("must be a text")
    .refine((text) => /^[!-~]{1,128}$/.test(text), "must be 1 to 128 visible ASCII characters"),
  digest: z.string("must be a text").refine(isSecretDigest, "must be 64 lower-case hex digits"),
});
const callers = z
  .array(caller, "must be an array of callers")
  .max(CALLERS_MAX, `must have at most ${CALLERS_MAX} entries`);

/** Who may call: a name, and SHA-256 in hex of a secret. A name may stand twice, with two secrets. */
export interface CallerEntry {
  readonly name: string;
  readonly digest: string;
}

/**
 * Reads the text of a file of callers: a JSON array.
 *
 * @throws ConfigError with every problem, by entry and field
 */
export function parseCallers(text: string, source: string): readonly CallerEntry[] {
  const entries = checkedJson(callers, text, source);
  const problems: { setting: string; problem: string }[] = [];
  const seen = new Set<string>();
  for (const [index, { digest }] of entries.entries()) {
    if (seen.has(digest)) {
      const setting = placeIn(source, [index, "digest"]);
      problems.push({ setting, problem: "is that of an earlier entry too" });
    }
    seen.add(digest);
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return entries;
}

/** The file of callers as a place to read from. */
export function callersSource(path: string): Source<readonly CallerEntry[]> {
  return fileSource("callers", path, parseCallers);
}

/** `Proxy-Authorization: Bearer <secret>`, the scheme in any case. */
const BEARER = /^bearer +([!-~]+) *$/i;

/**
 * Callers of a JSON file of digests, which is read again when it changes. Each one says its secret in
 * `Proxy-Authorization`, and its name is the scope of its tokens and sessions. All entries are compared, in constant time.
 */
export class CallersFile implements CallerAuth {
  readonly credentialField = "proxy-authorization";
  readonly file: Watched<readonly CallerEntry[]>;

  private constructor(file: Watched<readonly CallerEntry[]>) {
    this.file = file;
  }

  /** @throws ConfigError with every problem of the file */
  static async open(path: string, logger: Logger, options?: WatchedOptions): Promise<CallersFile> {
    return new CallersFile(await Watched.open(callersSource(path), logger, options));
  }

  scopeOf({ headers }: IncomingMessage): string | null {
    const [, secret = ""] = BEARER.exec(headers["proxy-authorization"] ?? "") ?? [];
    if (secret === "" || secret.length > SECRET_LENGTH_MAX) return null;
    const digest = createHash("sha256").update(secret).digest("hex");
    let name: string | null = null;
    for (const entry of this.file.value) {
      if (digestsEqual(entry.digest, digest)) name = entry.name;
    }
    return name;
  }
}
