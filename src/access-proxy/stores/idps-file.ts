import { createPublicKey } from "node:crypto";
import type { JWK } from "jose";
import type { Logger } from "pino";
import { z } from "zod";
import { checkedJson, placeIn } from "../../core/checked-json.ts";
import { ConfigError } from "../../core/errors.ts";
import { readKeys } from "../idp-keys.ts";
import type { IdpRecord, IdpStore } from "../ports.ts";
import { fileSource, type Source, Watched, type WatchedOptions } from "./watched.ts";

const IDPS_MAX = 1_000;
const LOOPBACK = /^(?:localhost|127(?:\.\d+){3}|\[::1\])$/;

function isEndpoint(text: string): boolean {
  if (!URL.canParse(text) || !/^https?:\/\//.test(text) || /[\s#]/.test(text)) return false;
  const { protocol, username, password, hostname } = new URL(text);
  if (username !== "" || password !== "") return false;
  return protocol === "https:" || LOOPBACK.test(hostname);
}

function isPublicKey(key: JWK): boolean {
  if (key.d !== undefined || key.k !== undefined) return false;
  try {
    createPublicKey({ key: { ...key }, format: "jwk" });
    return true;
  } catch {
    return false;
  }
}

const endpoint = z
  .string("must be a URL")
  .refine(
    isEndpoint,
    "must be an https:// URL without user name and fragment; http:// is for loopback alone",
  );
const key = z
  .custom<JWK>((value) => typeof value === "object" && value !== null, "must be a JWK")
  .refine(isPublicKey, "must be a public key as a JWK, without its private part");
const keys = z.array(key, "must be an array of JWKs").max(100, "must have at most 100 keys");

const FIELDS = {
  issuer: z.string("must be a text").min(1, "must not be empty").max(1_024, "is too long"),
  cooperation_from_endpoint: endpoint,
  cooperation_to_endpoint: endpoint.optional(),
  jwks: z.union([keys, z.strictObject({ keys })], "must be JWKs, without private parts").optional(),
  jwks_uri: endpoint.optional(),
  authorization_endpoint: endpoint.optional(),
  token_endpoint: endpoint.optional(),
  userinfo_endpoint: endpoint.optional(),
  issuer_name: z.string("must be a text").optional(),
};

const idp = z.looseObject(FIELDS).superRefine((entry, context) => {
  for (const name of Object.keys(entry)) {
    if (Object.hasOwn(FIELDS, name) || name.startsWith("issuer_name#")) continue;
    const shown = /^[\w#-]{1,64}$/.test(name) ? name : "field";
    context.addIssue({ code: "custom", path: [shown], message: "is no field of an ID provider" });
  }
});
const idps = z
  .array(idp, "must be an array of ID providers")
  .max(IDPS_MAX, `must have at most ${IDPS_MAX} entries`);

/**
 * Reads the text of a file of ID providers: a JSON array of records.
 *
 * @throws ConfigError with every problem, by entry and field
 * @see TA cooperation, section 12.2
 */
export function parseIdps(text: string, source: string): ReadonlyMap<string, IdpRecord> {
  const records = new Map<string, IdpRecord>();
  const problems: { setting: string; problem: string }[] = [];
  for (const [index, entry] of checkedJson(idps, text, source).entries()) {
    const { issuer, jwks } = entry;
    if (records.has(issuer)) {
      const setting = placeIn(source, [index, "issuer"]);
      problems.push({ setting, problem: "is that of an earlier entry too" });
    }
    records.set(issuer, {
      issuer,
      cooperationFromEndpoint: entry.cooperation_from_endpoint,
      jwks: jwks === undefined ? null : readKeys(jwks),
      jwksUri: entry.jwks_uri ?? null,
    });
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return records;
}

/** The file of ID providers as a place to read from. */
export function idpsSource(path: string): Source<ReadonlyMap<string, IdpRecord>> {
  return fileSource("ID providers", path, parseIdps);
}

/** ID providers of a JSON file, which is read again when it changes. */
export class IdpsFile implements IdpStore {
  readonly file: Watched<ReadonlyMap<string, IdpRecord>>;

  private constructor(file: Watched<ReadonlyMap<string, IdpRecord>>) {
    this.file = file;
  }

  /** @throws ConfigError with every problem of the file */
  static async open(path: string, logger: Logger, options?: WatchedOptions): Promise<IdpsFile> {
    return new IdpsFile(await Watched.open(idpsSource(path), logger, options));
  }

  get(issuer: string): IdpRecord | undefined {
    return this.file.value.get(issuer);
  }

  /** Those whose code tokens are taken without a look at the signature: their keys are not known. */
  get unchecked(): readonly string[] {
    return [...this.file.value.values()]
      .filter(({ jwks, jwksUri }) => jwks === null && jwksUri === null)
      .map(({ issuer }) => issuer);
  }
}
