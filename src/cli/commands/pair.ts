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
  $ hawser pair create                     # here; it shows what to run on the device
  $ HAWSER_CODE=hwp_… hawser agent pair --api https://api.example.org      # there
  $ hawser pair list
  $ hawser pair cancel 0123456789abcdef01234567

A code is for one device, and good for ten minutes. Scope of the key: devices:pair.
`;

const LIST_MAX = 200;

/** `hawser pair`: codes by which a device becomes one of the tenant's. */
export function pairCommand(output: Output = process.stdout): Command {
  const pair = new Command("pair").description(
    "Make pairing codes for devices, list and cancel them",
  );
  pair.addCommand(
    addClientFlags(new Command("create"))
      .description("Make a code, and show what to run on the device")
      .action(async (flags: ClientFlags) => {
        await withClient(flags, async (client) => {
          const made = record(await client.post("/api/pairing-codes"));
          const code = textOf(made, "code");
          const text = facts([
            ["code", code],
            ["", "shown once, good for one device"],
            ["id", made["id"]],
            ["ends", made["expires_at"]],
          ]);
          // In a variable, since other users of the device may see its list of processes.
          const line = `HAWSER_CODE=${code} hawser agent pair --api ${client.api}`;
          print(output, flags.json, made, `${text}\nOn the device:\n  ${line}\n`);
        });
      }),
  );
  pair.addCommand(
    addClientFlags(new Command("list"))
      .description("List the tenant's codes by their beginnings, the newest first")
      .option("--limit <count>", "at most so many (default: 50)")
      .action(async (flags: ClientFlags & { readonly limit?: string }) => {
        const limit = numberOf("--limit", flags.limit ?? "50", 1, LIST_MAX);
        await withClient(flags, async (client) => {
          const codes = await client.list("/api/pairing-codes", "pairing_codes", limit, { limit });
          const rows = codes.map((code) => [
            code["id"],
            `${String(code["prefix"])}…`,
            code["state"],
            code["created_at"],
            code["expires_at"],
            code["device_id"],
          ]);
          const head = ["ID", "CODE", "STATE", "CREATED", "ENDS", "DEVICE"];
          const text = rows.length === 0 ? "No codes.\n" : table(head, rows);
          print(output, flags.json, { pairing_codes: codes }, text);
        });
      }),
  );
  pair.addCommand(
    addClientFlags(new Command("cancel"))
      .description("Cancel a code for good")
      .argument("<id>", "id of the code, as `pair list` shows it")
      .action(async (id: string, flags: ClientFlags) => {
        await withClient(flags, async (client) => {
          await client.delete(`/api/pairing-codes/${segment("<id>", id)}`);
          print(output, flags.json, { id, cancelled: true }, `The code ${id} is cancelled.\n`);
        });
      }),
  );
  return addExamples(pair, EXAMPLES);
}
