import { constants } from "node:fs";
import { access, lstat } from "node:fs/promises";
import { dirname } from "node:path";
import { Command } from "commander";
import { replaceFile } from "../../core/credentials-edit.ts";
import { ConfigError } from "../../core/errors.ts";
import { parseToken } from "../../core/token.ts";
import { ApiClient, apiAddress } from "../api-client.ts";
import {
  addClientFlags,
  type ClientFlags,
  type Connection,
  connectionOf,
  nonEmpty,
  numberOf,
  segment,
  withClient,
} from "../client-command.ts";
import { type CliErrorCode, CommandError } from "../errors.ts";
import { addExamples } from "../examples.ts";
import { facts, type Output, print, table } from "../print.ts";
import { editProfiles } from "../profiles.ts";
import { addKeyFlags, type KeyFlags, requestKey, revokeQuietly } from "./login.ts";

const EXAMPLES = `
Examples:
  $ hawser keys create --name ci --scope "devices:read tunnel:use" --days 30
  $ hawser keys create --name ci --key-file ci.key
  $ hawser keys list
  $ HAWSER_API_KEY=hwk_… hawser keys revoke hwk_0aB1cD2e

A key cannot make keys: \`create\` asks you in the browser. A key can revoke itself and no other, so \`revoke\` wants the
key itself: the one that is stored here, or HAWSER_API_KEY. Others are revoked by DELETE /api/keys/<reference> with your
session, or by the operator: \`hawser admin keys revoke\`.
`;

const ELSEWHERE: CliErrorCode = "ERR_CLI_KEY_ELSEWHERE";
const LIST_MAX = 1_000;

interface CreateFlags extends KeyFlags {
  readonly keyFile?: string;
  readonly force?: boolean;
}

/** `hawser keys`: API keys for programs. */
export function keysCommand(output: Output = process.stdout): Command {
  const keys = new Command("keys").description("Make API keys for programs, list and revoke them");
  keys.addCommand(
    addKeyFlags(new Command("create"))
      .description("Make a key: you are asked in the browser, and it is shown here once")
      .option("--key-file <path>", "write it there, mode 0600, instead of printing it")
      .option("--force", "replace an existing --key-file")
      .action((flags: CreateFlags) => createKey(flags, output)),
  );
  keys.addCommand(
    addClientFlags(new Command("list"))
      .description("List your keys by their references, the newest first")
      .option("--all", "those of the whole tenant, for administrators")
      .option("--limit <count>", "at most so many (default: 100)")
      .action((flags: ListFlags) => listKeys(flags, output)),
  );
  keys.addCommand(
    addClientFlags(new Command("revoke"))
      .description("Revoke a key that this machine holds, at once and for good")
      .argument("<reference>", "reference of the key, hwk_…")
      .action((ref: string, flags: ClientFlags) => revokeKey(ref, flags, output)),
  );
  return addExamples(keys, EXAMPLES);
}

async function createKey(flags: CreateFlags, output: Output): Promise<void> {
  const { keyFile, force = false } = flags;
  // Before anybody is asked anything: a key that cannot be kept is of no use.
  if (keyFile !== undefined) await checkKeyFile(keyFile, force);
  const connection = await connectionOf(flags);
  const issued = await requestKey(flags, connection);
  const { key, ref, name, scopes, expires_at } = issued;
  if (keyFile !== undefined) await keepOrRevoke(keyFile, key, connection);
  const shown = { ref, name, scopes, expires_at };
  const where = keyFile === undefined ? { key } : { key_file: keyFile };
  const text = facts([
    keyFile === undefined ? ["key", key] : ["key file", keyFile],
    ...(keyFile === undefined ? ([["", "shown once"]] as const) : []),
    ["reference", ref],
    ["called", name],
    ["may", scopes.join(" ")],
    ["ends", expires_at],
  ]);
  print(output, flags.json, { api: apiAddress(connection.api), ...shown, ...where }, text);
}

/** @throws ConfigError where a key could not be written, or would take the place of another file */
async function checkKeyFile(path: string, force: boolean): Promise<void> {
  const there = await lstat(path).catch(() => null);
  if (there?.isDirectory() === true || (there !== null && !force)) {
    const problem = there.isDirectory() ? "is a folder" : "exists already; --force replaces it";
    throw new ConfigError([{ setting: path, problem }]);
  }
  try {
    await access(dirname(path), constants.W_OK);
  } catch {
    throw new ConfigError([{ setting: path, problem: "its folder cannot be written to" }]);
  }
}

/** A key that could not be kept is revoked: nobody has it, and it would be good for months. */
async function keepOrRevoke(
  path: string,
  key: string,
  { api, ca, timeoutMs }: Connection,
): Promise<void> {
  try {
    await replaceFile(path, `${key}\n`);
  } catch (error) {
    await revokeQuietly({ api, ca, timeoutMs }, key);
    throw error;
  }
}

interface ListFlags extends ClientFlags {
  readonly all?: boolean;
  readonly limit?: string;
}

async function listKeys(flags: ListFlags, output: Output): Promise<void> {
  const limit = numberOf("--limit", flags.limit ?? "100", 1, LIST_MAX);
  await withClient(flags, async (client) => {
    const keys = await client.list("/api/keys", "keys", limit, {
      limit,
      all: flags.all === true ? "true" : undefined,
    });
    const rows = keys.map((key) => [
      key["ref"],
      key["name"],
      key["scopes"],
      key["last_used_at"],
      key["expires_at"],
      key["revoked_at"],
    ]);
    const head = ["REFERENCE", "NAME", "MAY", "LAST USED", "ENDS", "REVOKED"];
    const text = rows.length === 0 ? "No keys.\n" : table(head, rows);
    print(output, flags.json, { keys }, text);
  });
}

async function revokeKey(ref: string, flags: ClientFlags, output: Output): Promise<void> {
  segment("<reference>", ref);
  const connection = await connectionOf(flags);
  const { api, ca, timeoutMs, profilesFile } = connection;
  const key = [nonEmpty(process.env["HAWSER_API_KEY"]), connection.profile?.key ?? null].find(
    (held) => held !== null && referenceOf(held) === ref,
  );
  if (key === undefined || key === null) {
    throw new CommandError(
      ELSEWHERE,
      `This machine does not hold the key ${ref}, and a key can revoke itself alone.`,
      "Give the key in HAWSER_API_KEY. Otherwise DELETE /api/keys/<reference> with your session revokes it, or the operator with `hawser admin keys revoke`.",
    );
  }
  const client = new ApiClient({ api, key, ca, timeoutMs });
  try {
    await client.delete("/api/key");
  } finally {
    await client.close();
  }
  if (connection.profile?.ref === ref) {
    await editProfiles(profilesFile, (present) => {
      const apis = { ...present.apis };
      delete apis[api];
      return { ...present, apis };
    });
  }
  print(output, flags.json, { ref, revoked: true }, `The key ${ref} is revoked.\n`);
}

function referenceOf(key: string): string | null {
  const parsed = parseToken(key);
  return parsed.ok && parsed.kind === "key" ? parsed.ref : null;
}
