import { Command } from "commander";
import { record, textOf } from "../api-client.ts";
import {
  addClientFlags,
  type ClientFlags,
  numberOf,
  segment,
  withClient,
} from "../client-command.ts";
import { addExamples } from "../examples.ts";
import { facts, type Output, print, table } from "../print.ts";

const EXAMPLES = `
Examples:
  $ hawser enrolment create --name "batch 12" --uses 500 --days 30 --tag floor-2
  $ hawser enrolment list
  $ hawser enrolment revoke hwe_0aB1cD2e

Many devices enrol themselves with one key, each with \`hawser agent pair\`. For administrators; scope: enrolment:write.
`;

const LIST_MAX = 200;

interface CreateFlags extends ClientFlags {
  readonly name: string;
  readonly uses: string;
  readonly days?: string;
  readonly tag?: readonly string[];
}

/** `hawser enrolment`: keys by which fleets enrol. */
export function enrolmentCommand(output: Output = process.stdout): Command {
  const enrolment = new Command("enrolment").description(
    "Make enrolment keys for fleets of devices, list and revoke them",
  );
  enrolment.addCommand(
    addClientFlags(new Command("create"))
      .description("Make a key, which is shown once")
      .requiredOption("--name <text>", "what it is called")
      .requiredOption("--uses <count>", "how many devices may use it")
      .option("--days <count>", "how long it is good, 1 to 366")
      .option("--tag <tag...>", "tags that its devices begin with")
      .action(async (flags: CreateFlags) => {
        const uses = numberOf("--uses", flags.uses, 1, 1_000_000);
        const days = flags.days === undefined ? null : numberOf("--days", flags.days, 1, 366);
        await withClient(flags, async (client) => {
          const made = record(
            await client.post("/api/enrolment-keys", {
              name: flags.name,
              uses_max: uses,
              ...(days === null ? {} : { expires_in_days: days }),
              tags: [...(flags.tag ?? [])],
            }),
          );
          const text = facts([
            ["key", textOf(made, "key")],
            ["", "shown once"],
            ["reference", made["ref"]],
            ["uses", made["uses_max"]],
            ["ends", made["expires_at"]],
          ]);
          print(output, flags.json, made, text);
        });
      }),
  );
  enrolment.addCommand(
    addClientFlags(new Command("list"))
      .description("List the tenant's enrolment keys, the newest first")
      .option("--limit <count>", "at most so many (default: 50)")
      .action(async (flags: ClientFlags & { readonly limit?: string }) => {
        const limit = numberOf("--limit", flags.limit ?? "50", 1, LIST_MAX);
        await withClient(flags, async (client) => {
          const keys = await client.list("/api/enrolment-keys", "enrolment_keys", limit, { limit });
          const rows = keys.map((key) => [
            key["ref"],
            key["name"],
            `${String(key["uses"])}/${String(key["uses_max"])}`,
            key["expires_at"],
            key["revoked_at"],
            key["tags"],
          ]);
          const head = ["REFERENCE", "NAME", "USED", "ENDS", "REVOKED", "TAGS"];
          const text = rows.length === 0 ? "No enrolment keys.\n" : table(head, rows);
          print(output, flags.json, { enrolment_keys: keys }, text);
        });
      }),
  );
  enrolment.addCommand(
    addClientFlags(new Command("revoke"))
      .description("Revoke a key for good; devices that it enrolled stay")
      .argument("<reference>", "reference of the key, hwe_…")
      .action(async (ref: string, flags: ClientFlags) => {
        await withClient(flags, async (client) => {
          await client.delete(`/api/enrolment-keys/${segment("<reference>", ref)}`);
          print(output, flags.json, { ref, revoked: true }, `The key ${ref} is revoked.\n`);
        });
      }),
  );
  return addExamples(enrolment, EXAMPLES);
}
