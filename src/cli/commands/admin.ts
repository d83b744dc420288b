import { randomBytes } from "node:crypto";
import { Command, Option } from "commander";
import type { UserName } from "../../api/index.ts";
import { ConfigError } from "../../core/errors.ts";
import {
  type AdminFlags,
  addAdminFlags,
  addRelayFlag,
  nothingFound,
  tellRelay,
  withOperator,
} from "../admin-command.ts";
import { addExamples } from "../examples.ts";
import { facts, type Output, print, table } from "../print.ts";
import { adminKeysCommand } from "./admin-keys.ts";
import { machineClientsCommand } from "./admin-machine-clients.ts";
import { serviceTokenCommand } from "./admin-service-token.ts";

const EXAMPLES = `
Examples:
  The first administrator, after signing in once:
    $ hawser admin users list
    $ hawser admin users role 0123456789abcdef01234567 admin
  Somebody has left, and comes back:
    $ hawser admin users disable --iss https://idp.example.org --sub 248289761001 \\
        --relay-internal-url http://127.0.0.1:3801
    $ hawser admin users enable 0123456789abcdef01234567
    $ hawser admin users show 0123456789abcdef01234567
  All who belong together:
    $ hawser admin tenants list
    $ hawser admin tenants disable t:acme --relay-internal-url http://127.0.0.1:3801
    $ hawser admin tenants enable t:acme
  A program that calls with access tokens of the identity provider:
    $ hawser admin machine-clients add --tenant t:acme --iss https://idp.example.org --client-id ci \\
        --name "the build" --scope "devices:read tunnel:use"
    $ hawser admin machine-clients list --tenant t:acme
    $ hawser admin machine-clients disable --tenant t:acme --iss https://idp.example.org --client-id ci
  A key that leaked:
    $ hawser admin keys revoke hwk_0aB1cD2e --relay-internal-url http://127.0.0.1:3801
  Whether the API server gets a token of its own:
    $ hawser admin service-token
  A further key for the ring of session cookies:
    $ hawser admin new-secret

These commands work on the database of the API server, service-token on its other settings; no server need run.
`;

/** `hawser admin`: what the operator does on the database. */
export function adminCommand(output: Output = process.stdout): Command {
  const admin = new Command("admin")
    .description("Manage users, tenants, keys and machine clients on the API server's database")
    .addCommand(usersCommand(output))
    .addCommand(tenantsCommand(output))
    .addCommand(machineClientsCommand(output))
    .addCommand(adminKeysCommand(output))
    .addCommand(serviceTokenCommand(output))
    .addCommand(newSecretCommand(output));
  return addExamples(admin, EXAMPLES);
}

interface UserFlags extends AdminFlags {
  readonly iss?: string;
  readonly sub?: string;
}

/** The members of a stored user that are told. */
interface ShownUser {
  readonly id: string;
  readonly iss: string;
  readonly sub: string;
  readonly tenant: string;
  readonly role: string;
  readonly email: string | null;
  readonly name: string | null;
  readonly createdAt: number;
  readonly lastSignInAt: number;
  readonly disabledAt: number | null;
}

function userJson(user: ShownUser) {
  return {
    id: user.id,
    iss: user.iss,
    sub: user.sub,
    tenant: user.tenant,
    role: user.role,
    email: user.email,
    name: user.name,
    created_at: timeText(user.createdAt),
    last_sign_in_at: timeText(user.lastSignInAt),
    disabled_at: timeText(user.disabledAt),
  };
}

function timeText(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString();
}

function userText(user: ShownUser): string {
  return facts(Object.entries(userJson(user)));
}

function addUserName(command: Command): Command {
  return addAdminFlags(command)
    .argument("[id]", "user id, as `users list` shows it")
    .option("--iss <url>", "with --sub, in place of the id: the identity provider")
    .option("--sub <subject>", "who that is to the provider");
}

function userNameOf(id: string | undefined, { iss, sub }: UserFlags): UserName {
  if (id !== undefined && iss === undefined && sub === undefined) return { id };
  if (id === undefined && iss !== undefined && sub !== undefined) return { iss, sub };
  throw new ConfigError([{ setting: "user", problem: "give the id, or both --iss and --sub" }]);
}

function usersCommand(output: Output): Command {
  const users = new Command("users").description("List users, change roles, disable and enable");
  users.addCommand(
    addAdminFlags(new Command("list"))
      .description("List users of all tenants, or of one")
      .option("--tenant <id>", "only this tenant's")
      .action(async (flags: AdminFlags & { readonly tenant?: string }) => {
        const found = await withOperator(flags, (operator) => operator.users(flags.tenant ?? null));
        const rows = found.map((user) => [
          user.id,
          user.email ?? user.name ?? user.sub,
          user.role,
          user.tenant,
          timeText(user.lastSignInAt),
          user.disabledAt === null ? "" : "disabled",
        ]);
        const head = ["ID", "WHO", "ROLE", "TENANT", "LAST SIGN-IN", "STATE"];
        const text = rows.length === 0 ? "Nobody has signed in yet.\n" : table(head, rows);
        print(output, flags.json, { users: found.map(userJson) }, text);
      }),
  );
  users.addCommand(
    addUserName(new Command("show"))
      .description("Show a user")
      .action(async (id: string | undefined, flags: UserFlags) => {
        const name = userNameOf(id, flags);
        const user = await withOperator(flags, (operator) => operator.user(name));
        if (user === null) throw nothingFound("such user");
        print(output, flags.json, userJson(user), userText(user));
      }),
  );
  users.addCommand(
    addAdminFlags(new Command("role"))
      .description("Make a user an administrator of the tenant, or a member")
      .argument("<id-or-role...>", "user id and role; the role alone with --iss and --sub")
      .option("--iss <url>", "with --sub, in place of the id: the identity provider")
      .option("--sub <subject>", "who that is to the provider")
      .action(async (words: readonly string[], flags: UserFlags) => {
        const role = words.at(-1);
        if ((role !== "admin" && role !== "member") || words.length > 2) {
          throw new ConfigError([{ setting: "role", problem: "wanted admin or member" }]);
        }
        const name = userNameOf(words.length === 2 ? words[0] : undefined, flags);
        const change = await withOperator(flags, (operator) => operator.setRole(name, role));
        if (change === null) throw nothingFound("such user");
        // The role that a claim of the provider gives comes back with the next sign-in.
        const note =
          "\nIt counts at once, also for keys. A role claim of the provider wins at the next sign-in.\n";
        print(output, flags.json, userJson(change.user), userText(change.user) + note);
      }),
  );
  users.addCommand(
    addRelayFlag(addUserName(new Command("disable")))
      .description(
        "End sessions, keys, codes and tunnels of a user, and let nobody in as that user",
      )
      .action(async (id: string | undefined, flags: UserFlags) => {
        const name = userNameOf(id, flags);
        const change = await withOperator(flags, (operator) => operator.disableUser(name));
        if (change === null) throw nothingFound("such user");
        const told = await tellRelay(flags, change.refs);
        const value = { ...userJson(change.user), ended: change.refs };
        print(output, flags.json, value, `${userText(change.user)}\n${told}`);
      }),
  );
  users.addCommand(
    addUserName(new Command("enable"))
      .description("Let a user in again; keys and device tokens are good as before")
      .action(async (id: string | undefined, flags: UserFlags) => {
        const name = userNameOf(id, flags);
        const change = await withOperator(flags, (operator) => operator.enableUser(name));
        if (change === null) throw nothingFound("such user");
        print(output, flags.json, userJson(change.user), userText(change.user));
      }),
  );
  return users;
}

function tenantsCommand(output: Output): Command {
  const tenants = new Command("tenants").description("List tenants, disable and enable them");
  tenants.addCommand(
    addAdminFlags(new Command("list"))
      .description("List all tenants")
      .action(async (flags: AdminFlags) => {
        const found = await withOperator(flags, (operator) => operator.tenants());
        const shown = found.map(({ id, users, createdAt, disabledAt }) => ({
          id,
          users,
          created_at: timeText(createdAt),
          disabled_at: timeText(disabledAt),
        }));
        const rows = shown.map((tenant) => [
          tenant.id,
          tenant.users,
          tenant.created_at,
          tenant.disabled_at === null ? "" : "disabled",
        ]);
        const head = ["ID", "USERS", "SINCE", "STATE"];
        const text = rows.length === 0 ? "No tenants yet.\n" : table(head, rows);
        print(output, flags.json, { tenants: shown }, text);
      }),
  );
  tenants.addCommand(
    addRelayFlag(addAdminFlags(new Command("disable")))
      .description("End sessions, keys, codes and tunnels of all users of a tenant")
      .argument("<id>", "tenant id, as `tenants list` shows it")
      .option("--create", "also where nobody of it has signed in yet")
      .action(async (id: string, flags: AdminFlags & { readonly create?: boolean }) => {
        const change = await withOperator(flags, (operator) =>
          operator.disableTenant(id, flags.create === true),
        );
        if (change === null) throw nothingFound("such tenant");
        const told = await tellRelay(flags, change.refs);
        const value = { id, disabled: true, ended: change.refs };
        print(output, flags.json, value, `The tenant is disabled.\n${told}`);
      }),
  );
  tenants.addCommand(
    addAdminFlags(new Command("enable"))
      .description("Let a tenant in again; keys and device tokens are good as before")
      .argument("<id>", "tenant id, as `tenants list` shows it")
      .action(async (id: string, flags: AdminFlags) => {
        const found = await withOperator(flags, (operator) => operator.enableTenant(id));
        if (!found) throw nothingFound("such tenant");
        print(output, flags.json, { id, disabled: false }, "The tenant is enabled.\n");
      }),
  );
  return tenants;
}

function newSecretCommand(output: Output): Command {
  return new Command("new-secret")
    .description("Print a new entry for the rings HAWSER_SESSION_SECRETS and HAWSER_TOKEN_ENC_KEYS")
    .addOption(new Option("--json", "print JSON"))
    .action((flags: { readonly json?: boolean }) => {
      const name = `k${new Date().toISOString().slice(0, 10).replaceAll("-", "")}`;
      const entry = `${name}:${randomBytes(32).toString("base64")}`;
      print(output, flags.json, { entry }, `${entry}\n`);
    });
}
