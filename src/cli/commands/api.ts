import { Command } from "commander";
import { addSettings } from "../settings-flags.ts";

const EXAMPLES = `
Examples:
  $ hawser api --config hawser.json
  $ hawser api --config hawser.json --check-config
  $ hawser relay --api http://127.0.0.1:3722

A relay runs beside it, with the same internal secret; several API servers share one PostgreSQL database and the same
secrets. Log lines are JSON and go to standard output. SIGTERM and SIGINT let running requests finish, a second one does
not wait; SIGHUP reads the TLS certificate again and opens the audit log anew. hawser up runs both in one process.
`;

/** `hawser api`: sign-in, devices, pairing, keys and audit, for a relay that runs elsewhere. */
export function apiCommand(): Command {
  const command = new Command("api")
    .description("Run an API server: people sign in, devices pair, keys are made")
    .option("--check-config", "check everything, print the effective settings, start nothing")
    .option("--json", "print errors and --check-config as JSON")
    .addHelpText("after", EXAMPLES)
    .action(async (flags: Record<string, unknown>) => {
      // Loaded here, so that other commands do not load what this one runs.
      const { runApiCommand } = await import("../actions/api.ts");
      await runApiCommand(flags);
    });
  return addSettings(command, "api");
}
