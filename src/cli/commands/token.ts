import { lstat, readFile, realpath, rm } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { Command, Option } from "commander";
import {
  type Credentials,
  formatCredentials,
  type KeyEntry,
  NO_CREDENTIALS,
  parseCredentials,
  type TokenEntry,
} from "../../core/credentials.ts";
import { editCredentials, replaceFile } from "../../core/credentials-edit.ts";
import { ConfigError } from "../../core/errors.ts";
import { type MintedToken, mintDeviceId, mintToken } from "../../core/token.ts";
import { addExamples } from "../examples.ts";

/** Where a command prints; `process.stdout` but in tests. */
export interface Output {
  write(text: string): unknown;
}

interface CreateOptions {
  readonly kind: "device" | "key";
  readonly deviceId?: readonly string[];
  readonly user?: string;
  readonly file?: string;
  readonly tokenFile?: string;
  readonly force?: boolean;
  readonly note?: string;
  readonly expiresAt?: string;
  readonly json?: boolean;
}

/** What `--json` prints. `token` is absent when it went to a file. */
interface CreatedToken {
  readonly kind: "device" | "key";
  readonly ref: string;
  readonly token?: string;
  readonly token_file?: string;
  readonly file?: string;
  readonly entry: TokenEntry | KeyEntry;
}

const USER_DEFAULT = "local";

const EXAMPLES = `
Examples:
  A device's token, kept in a file for the agent:
    $ hawser token create --kind device --file credentials.json --token-file device.token

  A key that reaches every device of the user:
    $ hawser token create --kind key --user alice --file credentials.json

  A key for one device, until the end of the year, for a script:
    $ hawser token create --kind key --device-id abcdefgh234567ab \\
        --expires-at 2027-01-01T00:00:00Z --file credentials.json --json

  A second token of a device, to rotate the first; then take the first out of the file:
    $ hawser token create --kind device --device-id abcdefgh234567ab --file credentials.json

A running relay reads the file again when it changes. A token is shown once; only its digest is stored.
`;

/**
 * `hawser token`: makes the credentials of a relay that runs alone. The action rejects with a ConfigError where an
 * option or the file cannot be used; nothing has changed then.
 */
export function tokenCommand(output: Output = process.stdout): Command {
  const token = new Command("token").description("Make device tokens and API keys");
  token
    .command("create")
    .description("Make a device token or an API key, and its entry in a credentials file")
    .addOption(
      new Option("--kind <kind>", "what it is for")
        .choices(["device", "key"])
        .makeOptionMandatory(),
    )
    .option(
      "--device-id <id...>",
      "device: whose token (default: a new device); key: the only devices it reaches",
    )
    .option(
      "--user <id>",
      `owner (default: the device's owner in the file, else "${USER_DEFAULT}")`,
    )
    .option("--file <path>", "credentials file to add the entry to; made if missing, mode 0600")
    .option("--token-file <path>", "write the token there, mode 0600, instead of printing it")
    .option("--force", "replace an existing --token-file")
    .option("--note <text>", "a note for people, kept in the entry")
    .option("--expires-at <time>", "RFC 3339 time, such as 2027-01-31T00:00:00Z (default: never)")
    .option("--json", "print JSON")
    .action(async (options: CreateOptions) => {
      const created = await createToken(options);
      output.write(options.json ? `${JSON.stringify(created)}\n` : describe(created));
    });
  return addExamples(token, EXAMPLES);
}

async function createToken(options: CreateOptions): Promise<CreatedToken> {
  const { file, tokenFile } = options;
  if (tokenFile !== undefined) await checkTokenFile(tokenFile, options);
  const minted = mintToken(options.kind);
  let entry: TokenEntry | KeyEntry | null = null;

  const change = async (present: Credentials): Promise<Credentials> => {
    const changed = withEntry(present, minted, options);
    entry = changed.entry;
    parseCredentials(formatCredentials(changed.credentials), file ?? "entry");
    // Before the entry is stored: an entry whose token is lost would be of no use.
    if (tokenFile !== undefined) {
      // Once more, now that no other editor runs: two may have been told to write the same.
      await checkTokenFile(tokenFile, options);
      await replaceFile(tokenFile, `${minted.text}\n`);
    }
    return changed.credentials;
  };

  if (file === undefined) await change(NO_CREDENTIALS);
  else await editOrUndo(file, change, tokenFile);
  if (entry === null) throw new ConfigError([{ setting: file ?? "entry", problem: "not made" }]);
  return {
    kind: options.kind,
    ref: minted.ref,
    ...(tokenFile === undefined ? { token: minted.text } : { token_file: tokenFile }),
    ...(file === undefined ? {} : { file }),
    entry,
  };
}

/** Edits the file; puts the token's own file back as it was where the entry could not be stored. */
async function editOrUndo(
  file: string,
  change: (present: Credentials) => Promise<Credentials>,
  tokenFile: string | undefined,
): Promise<void> {
  let changed = false;
  let before: string | null = null;
  try {
    await editCredentials(file, async (present) => {
      if (tokenFile !== undefined) before = await readFile(tokenFile, "utf8").catch(() => null);
      const next = await change(present);
      changed = true;
      return next;
    });
  } catch (error) {
    if (changed && tokenFile !== undefined) {
      if (before === null) await rm(tokenFile, { force: true });
      else await replaceFile(tokenFile, before);
    }
    throw error;
  }
}

function withEntry(
  present: Credentials,
  minted: MintedToken,
  options: CreateOptions,
): { credentials: Credentials; entry: TokenEntry | KeyEntry } {
  const deviceIds = options.deviceId ?? [];
  const extras = {
    ...(options.note === undefined ? {} : { note: options.note }),
    ...(options.expiresAt === undefined ? {} : { expires_at: options.expiresAt }),
  };
  if (options.kind === "key") {
    const entry: KeyEntry = {
      ref: minted.ref,
      digest: minted.secretDigest,
      user_id: options.user ?? ownerOf(present, deviceIds[0]) ?? USER_DEFAULT,
      ...(deviceIds.length === 0 ? {} : { devices: [...deviceIds] }),
      ...extras,
    };
    return { credentials: { ...present, keys: [...present.keys, entry] }, entry };
  }
  if (deviceIds.length > 1) {
    throw new ConfigError([{ setting: "--device-id", problem: "a token belongs to one device" }]);
  }
  const deviceId = deviceIds[0] ?? mintDeviceId();
  const entry: TokenEntry = {
    ref: minted.ref,
    digest: minted.secretDigest,
    device_id: deviceId,
    user_id: options.user ?? ownerOf(present, deviceId) ?? USER_DEFAULT,
    ...extras,
  };
  return { credentials: { ...present, tokens: [...present.tokens, entry] }, entry };
}

function ownerOf(present: Credentials, deviceId: string | undefined): string | undefined {
  return present.tokens.find((entry) => entry.device_id === deviceId)?.user_id;
}

/** The token must neither take the place of another one nor be lost under the credentials. */
async function checkTokenFile(path: string, { file, force }: CreateOptions): Promise<void> {
  if (file !== undefined) {
    // An edit follows links, a token file is put in the place of one.
    const edited = await realpath(file).catch(() => withRealFolder(file));
    if (edited === (await withRealFolder(path))) {
      const problem = "the same as --file; a token wants a file of its own";
      throw new ConfigError([{ setting: "--token-file", problem }]);
    }
  }
  if (force !== true) await checkAbsent(path);
}

async function withRealFolder(path: string): Promise<string> {
  const folder = dirname(resolve(path));
  return join(await realpath(folder).catch(() => folder), basename(path));
}

async function checkAbsent(path: string): Promise<void> {
  const exists = await lstat(path).then(
    () => true,
    () => false,
  );
  if (!exists) return;
  throw new ConfigError([{ setting: path, problem: "exists already; --force replaces it" }]);
}

function describe(created: CreatedToken): string {
  const { entry } = created;
  const lines: string[] = [];
  if ("device_id" in entry) lines.push(`device id   ${entry.device_id}`);
  else lines.push(`devices     ${entry.devices?.join(" ") ?? "all of the user's"}`);
  lines.push(`user        ${entry.user_id}`);
  lines.push(`reference   ${created.ref}`);
  if (created.token === undefined) lines.push(`token file  ${created.token_file}`);
  else lines.push(`${created.kind === "key" ? "key  " : "token"}       ${created.token}`);
  if (created.token !== undefined) lines.push("            shown once; only its digest is stored");
  if (created.file !== undefined) lines.push(`added to    ${created.file}`);
  else {
    const list = created.kind === "key" ? "keys" : "tokens";
    lines.push(
      "",
      `Add this to "${list}" of the credentials file:`,
      JSON.stringify(entry, null, 2),
    );
  }
  return `${lines.join("\n")}\n`;
}
