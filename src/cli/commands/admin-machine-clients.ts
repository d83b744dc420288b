import { Command } from "commander";
import { ConfigError } from "../../core/errors.ts";
import { type AdminFlags, addAdminFlags, nothingFound, withOperator } from "../admin-command.ts";
import { facts, type Output, print, table } from "../print.ts";

interface ClientFlags extends AdminFlags {
  readonly tenant: string;
  readonly iss: string;
  readonly clientId: string;
}

interface AddFlags extends ClientFlags {
  readonly name: string;
  readonly scope: string;
}

interface Client {
  readonly iss: string;
  readonly clientId: string;
  readonly tenant: string;
  readonly name: string;
  readonly scopes: readonly string[];
  readonly disabledAt: number | null;
}

function clientJson({ iss, clientId, tenant, name, scopes, disabledAt }: Client) {
  return {
    iss,
    client_id: clientId,
    tenant,
    name,
    scopes,
    disabled_at: disabledAt === null ? null : new Date(disabledAt).toISOString(),
  };
}

function addClientName(command: Command): Command {
  return addAdminFlags(command)
    .requiredOption("--tenant <id>", "whose devices it may reach")
    .requiredOption("--iss <url>", "who issues its access tokens")
    .requiredOption("--client-id <id>", "its client id there");
}

/** `hawser admin machine-clients`: programs that call with access tokens of an issuer. */
export function machineClientsCommand(output: Output): Command {
  const clients = new Command("machine-clients").description(
    "Register programs that call with access tokens of an issuer",
  );
  clients.addCommand(
    addClientName(new Command("add"))
      .description("Register a client, or change name and scopes of one")
      .requiredOption("--name <text>", "what it is called")
      .requiredOption("--scope <scopes>", "the most that its tokens may do, with spaces between")
      .action(async (flags: AddFlags) => {
        const scopes = flags.scope.split(" ").filter((name) => name !== "");
        const { unknownScopes } = await import("../../api/index.ts");
        const unknown = unknownScopes(scopes);
        if (unknown.length > 0 || scopes.length === 0) {
          const problem = scopes.length === 0 ? "is empty" : `no such scope: ${unknown.join(" ")}`;
          throw new ConfigError([{ setting: "--scope", problem }]);
        }
        const { iss, clientId, name, tenant } = flags;
        const client = await withOperator(flags, (operator) =>
          operator.addMachineClient(tenant, { iss, clientId, name, scopes }),
        );
        if (client === null) {
          const problem = "is registered by another tenant; it belongs to one";
          throw new ConfigError([{ setting: "--client-id", problem }]);
        }
        const shown = clientJson(client);
        print(output, flags.json, shown, facts(Object.entries(shown)));
      }),
  );
  clients.addCommand(
    addAdminFlags(new Command("list"))
      .description("List the clients of all tenants, or of one")
      .option("--tenant <id>", "only this tenant's")
      .action(async (flags: AdminFlags & { readonly tenant?: string }) => {
        const found = await withOperator(flags, (operator) =>
          operator.machineClients(flags.tenant ?? null),
        );
        const shown = found.map(clientJson);
        const rows = shown.map((client) => [
          client.client_id,
          client.name,
          client.iss,
          client.tenant,
          client.scopes,
          client.disabled_at === null ? "" : "disabled",
        ]);
        const head = ["CLIENT", "NAME", "ISSUER", "TENANT", "MAY", "STATE"];
        const text = rows.length === 0 ? "No machine clients.\n" : table(head, rows);
        print(output, flags.json, { machine_clients: shown }, text);
      }),
  );
  clients.addCommand(
    addClientName(new Command("disable"))
      .description("Refuse a client's tokens until it is added again")
      .action(async (flags: ClientFlags) => {
        const { tenant, iss, clientId } = flags;
        const client = await withOperator(flags, (operator) =>
          operator.disableMachineClient(tenant, iss, clientId),
        );
        if (client === null) throw nothingFound("such machine client that is enabled");
        const shown = clientJson(client);
        print(output, flags.json, shown, facts(Object.entries(shown)));
      }),
  );
  return clients;
}
