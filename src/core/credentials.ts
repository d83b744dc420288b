import { z } from "zod";
import { checkedJson, placeIn } from "./checked-json.ts";
import { ConfigError, type ConfigProblem } from "./errors.ts";
import { isDeviceId, isSecretDigest, isTokenRef, type TokenKind } from "./token.ts";

/**
 * The credentials file: who may connect a tunnel and who may call a device, for a relay that runs alone.
 * `docs/credentials-file.md` describes it to its users.
 */

const ref = (kind: TokenKind, shape: string) =>
  z.string().refine((text) => isTokenRef(text, kind), `must be a reference ${shape}`);
const digest = z.string().refine(isSecretDigest, "must be 64 lower-case hex digits");
const deviceId = z.string().refine(isDeviceId, "must be 16 characters of a-z and 2-7");
const userId = z
  .string()
  .refine((text) => /^[!-~]{1,200}$/.test(text), "must be 1 to 200 visible ASCII characters");
const note = z.string().max(500, "must have at most 500 characters").optional();
const expiresAt = z.iso
  .datetime({ offset: true, error: "must be an RFC 3339 time, such as 2027-01-31T00:00:00Z" })
  .optional();

const tokenEntry = z.strictObject({
  ref: ref("device", "vAc_ and 8 characters"),
  digest,
  device_id: deviceId,
  user_id: userId,
  note,
  expires_at: expiresAt,
});

const keyEntry = z.strictObject({
  ref: ref("key", "hwk_ and 8 characters"),
  digest,
  user_id: userId,
  devices: z
    .array(z.union([z.literal("*"), deviceId], 'must be a device id or "*"'))
    .min(1, "must name a device, or be left out for all of the user's")
    .optional(),
  note,
  expires_at: expiresAt,
});

const credentials = z.strictObject({
  version: z.literal(1, "must be 1"),
  tokens: z.array(tokenEntry),
  keys: z.array(keyEntry),
});

/** One device token in the file. Without `expires_at` it is good until it is taken out. */
export type TokenEntry = z.infer<typeof tokenEntry>;
/** One API key in the file. Without `devices`, or with `"*"` among them, it reaches every device of its user. */
export type KeyEntry = z.infer<typeof keyEntry>;
/** The whole file. */
export type Credentials = z.infer<typeof credentials>;

/** A file without entries. */
export const NO_CREDENTIALS: Credentials = { version: 1, tokens: [], keys: [] };

/**
 * Reads the text of a credentials file.
 *
 * @param source how messages name the file, its path most likely
 * @throws ConfigError with every problem of the text, each under `source: tokens[3].digest` or the like. Messages
 *   carry nothing of the text's own values.
 */
export function parseCredentials(text: string, source: string): Credentials {
  const value = checkedJson(credentials, text, source);
  const problems = contradictions(value, source);
  if (problems.length > 0) throw new ConfigError(problems);
  return value;
}

/** The text of a credentials file, as {@link parseCredentials} reads it. */
export function formatCredentials(value: Credentials): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

/** What no single entry can show: a reference used twice, a device of two users. */
function contradictions(value: Credentials, source: string): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const firstByRef = new Map<string, string>();
  const ownerByDevice = new Map<string, string>();
  for (const kind of ["tokens", "keys"] as const) {
    for (const [index, entry] of value[kind].entries()) {
      const first = firstByRef.get(entry.ref);
      const here = `${kind}[${index}]`;
      if (first === undefined) firstByRef.set(entry.ref, here);
      else {
        problems.push({
          setting: placeIn(source, [kind, index, "ref"]),
          problem: `is that of ${first} too`,
        });
      }
    }
  }
  for (const [index, entry] of value.tokens.entries()) {
    const owner = ownerByDevice.get(entry.device_id);
    if (owner === undefined) ownerByDevice.set(entry.device_id, entry.user_id);
    else if (owner !== entry.user_id) {
      problems.push({
        setting: placeIn(source, ["tokens", index, "user_id"]),
        problem: "differs from the one of an earlier token of the same device",
      });
    }
  }
  return problems;
}
