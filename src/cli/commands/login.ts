import { hostname } from "node:os";
import { resolve } from "node:path";
import { Command } from "commander";
import { ConfigError } from "../../core/errors.ts";
import { ApiClient, ApiRefusal, record } from "../api-client.ts";
import { type IssuedKey, loginWithBrowser } from "../browser-login.ts";
import {
  addClientFlags,
  type ClientFlags,
  type Connection,
  connectionOf,
  nonEmpty,
  numberOf,
  secondsOf,
  withClient,
} from "../client-command.ts";
import { facts, type Output, print } from "../print.ts";
import { editProfiles, type Profiles, profilesPath, readProfiles } from "../profiles.ts";

/** Flags of whatever gets a key by the browser. */
export interface KeyFlags extends ClientFlags {
  readonly name?: string;
  readonly scope?: string;
  readonly days?: string;
  readonly wait?: string;
  readonly browser?: boolean;
}

const LOGIN_EXAMPLES = `
Examples:
  $ hawser login --api https://api.example.org
  $ hawser login --api https://api.example.org --scope "devices:read tunnel:use" --days 30

The page shows what the key may do; it is stored in ~/.config/hawser/credentials.json, for you alone (mode 0600).
A machine without a browser takes a key in HAWSER_API_KEY instead; \`hawser keys create\` makes one elsewhere.
`;

const LOGOUT_EXAMPLES = `
Examples:
  $ hawser logout
  $ hawser logout --local     # the server cannot be reached: forget the key here, and revoke it elsewhere
`;

const WHOAMI_EXAMPLES = `
Examples:
  $ hawser whoami
  $ hawser whoami --json
`;

/** Adds the flags that say what key is asked for. */
export function addKeyFlags(command: Command): Command {
  return addClientFlags(command)
    .option("--name <text>", "what the key is called (default: after this machine)")
    .option("--scope <scopes>", "what it may do, with spaces between (default: all that you may)")
    .option("--days <count>", "how long it lives, 1 to 366 (default: 90)")
    .option("--wait <seconds>", "how long to wait for the browser (default: 300)")
    .option("--no-browser", "only print the address of the page");
}

/** Gets a key by the browser. */
export async function requestKey(
  flags: KeyFlags,
  { api, ca, timeoutMs }: Pick<Connection, "api" | "ca" | "timeoutMs">,
): Promise<IssuedKey> {
  const days = flags.days === undefined ? null : numberOf("--days", flags.days, 1, 366);
  const waitMs = secondsOf("--wait", flags.wait ?? "300", 3_600) * 1_000;
  const name = flags.name ?? `hawser on ${hostname().slice(0, 53)}`;
  if (!/^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]{1,64}$/u.test(name)) {
    throw new ConfigError([{ setting: "--name", problem: "wanted 1 to 64 printable characters" }]);
  }
  return loginWithBrowser({
    api,
    ca,
    timeoutMs,
    name,
    days,
    scope: flags.scope ?? null,
    browser: flags.browser !== false,
    waitMs,
  });
}

/** `hawser login`: signs in with the browser, and stores a key. */
export function loginCommand(output: Output = process.stdout): Command {
  return addKeyFlags(new Command("login"))
    .description("Sign in with your browser, and store a key for the commands of this machine")
    .addHelpText("after", LOGIN_EXAMPLES)
    .action(async (flags: KeyFlags) => {
      const file = profilesPath(process.env);
      // Before anybody is asked anything: a file that cannot be used is told now.
      const before = await readProfiles(file);
      const connection = await loginConnection(flags, before);
      const issued = await requestKey(flags, connection);
      const { api } = connection;
      const ca = connection.ca === null ? null : resolve(connection.ca);
      let replaced: string | null = null;
      try {
        await editProfiles(file, (present) => {
          replaced = present.apis[api]?.key ?? null;
          const apis = { ...present.apis, [api]: { ...issued, scopes: [...issued.scopes], ca } };
          return { ...present, current: api, apis };
        });
      } catch (error) {
        await revokeQuietly(connection, issued.key);
        throw error;
      }
      if (replaced !== null) await revokeQuietly(connection, replaced);
      const { key: _, ...shown } = issued;
      print(output, flags.json, { api, ...shown, file }, described(api, issued, file));
    });
}

/** As {@link connectionOf}, but whatever `HAWSER_API_KEY` holds is not ours to replace. */
async function loginConnection(flags: KeyFlags, present: Profiles): Promise<Connection> {
  const named = flags.api ?? nonEmpty(process.env["HAWSER_API_URL"]) ?? present.current;
  if (named === null) {
    const problem = "is required at the first sign-in, for example https://api.example.org";
    throw new ConfigError([{ setting: "--api", problem }]);
  }
  return connectionOf({ ...flags, api: named }, { ...process.env, HAWSER_API_KEY: "" });
}

/** A key that is replaced or was not kept has no more use. That it could not be revoked spoils nothing: it ends by itself. */
export async function revokeQuietly(
  { api, ca, timeoutMs }: Pick<Connection, "api" | "ca" | "timeoutMs">,
  key: string,
): Promise<void> {
  const client = new ApiClient({ api, key, ca, timeoutMs });
  try {
    await client.delete("/api/key");
  } catch (error) {
    if (!isGone(error)) {
      process.stderr.write(
        "A key that is of no more use could not be revoked; it ends by itself.\n",
      );
    }
  } finally {
    await client.close();
  }
}

/** Whether a key is good no longer anyway. */
function isGone(error: unknown): boolean {
  return error instanceof ApiRefusal && (error.status === 401 || error.status === 404);
}

function described(api: string, { ref, name, scopes, expires_at, user }: IssuedKey, file: string) {
  return facts([
    ["signed in to", api],
    ["as", user.email ?? user.name],
    ["key", `${ref}… (${name})`],
    ["may", scopes.join(" ")],
    ["ends", expires_at],
    ["stored in", file],
  ]);
}

interface LogoutFlags extends ClientFlags {
  readonly local?: boolean;
}

/** `hawser logout`: revokes the stored key, and forgets it. */
export function logoutCommand(output: Output = process.stdout): Command {
  return addClientFlags(new Command("logout"))
    .description("Revoke the stored key at the API server, and forget it")
    .option("--local", "only forget it here, without asking the server")
    .addHelpText("after", LOGOUT_EXAMPLES)
    .action(async (flags: LogoutFlags) => {
      // Only what is stored is signed out of.
      const connection = await connectionOf(flags, { ...process.env, HAWSER_API_KEY: "" });
      const { api, profile, profilesFile } = connection;
      if (profile === null) {
        const told = { api, signed_in: false, revoked: false };
        print(output, flags.json, told, `There is no key of ${api} on this machine.\n`);
        return;
      }
      const revoked = flags.local === true ? false : await revoke(connection, profile.key);
      await editProfiles(profilesFile, (present) => {
        const apis = { ...present.apis };
        delete apis[api];
        const current = present.current === api ? (Object.keys(apis)[0] ?? null) : present.current;
        return { ...present, current, apis };
      });
      const said = revoked
        ? `The key ${profile.ref}… is revoked and forgotten.\n`
        : `The key ${profile.ref}… is forgotten here; it was not revoked by this command.\n`;
      print(output, flags.json, { api, ref: profile.ref, signed_in: false, revoked }, said);
    });
}

/** True where the key was revoked, false where it was good no longer. */
async function revoke({ api, ca, timeoutMs }: Connection, key: string): Promise<boolean> {
  const client = new ApiClient({ api, key, ca, timeoutMs });
  try {
    await client.delete("/api/key");
    return true;
  } catch (error) {
    if (isGone(error)) return false;
    process.stderr.write("The key stays stored. --local forgets it without revoking it.\n");
    throw error;
  } finally {
    await client.close();
  }
}

/** `hawser whoami`: whose the key is, and what it may do. */
export function whoamiCommand(output: Output = process.stdout): Command {
  return addClientFlags(new Command("whoami"))
    .description("Show whose the key is that commands use, and what it may do")
    .addHelpText("after", WHOAMI_EXAMPLES)
    .action(async (flags: ClientFlags) => {
      await withClient(flags, async (client) => {
        const who = record(await client.get("/api/whoami"));
        const user = who["user"] === undefined ? {} : record(who["user"]);
        const key = who["key"] === undefined ? {} : record(who["key"]);
        const text = facts([
          ["server", client.api],
          ["person", user["email"] ?? user["name"] ?? user["id"]],
          ["role", who["role"]],
          ["key", `${String(who["ref"])}…`],
          ["called", key["name"]],
          ["ends", key["expires_at"]],
          ["may", Array.isArray(who["scopes"]) ? who["scopes"].join(" ") : null],
          ["devices", who["devices"] ?? "all of the tenant"],
        ]);
        print(output, flags.json, { api: client.api, ...who }, text);
      });
    });
}
