import { Command } from "commander";
import { addSettings } from "../settings-flags.ts";

const EXAMPLES = `
Examples:
  $ export HAWSER_PUBLIC_BASE_URL=https://hawser.example.org
  $ export HAWSER_OIDC_ISSUER=https://idp.example.org HAWSER_OIDC_CLIENT_ID=hawser
  $ export HAWSER_OIDC_CLIENT_SECRET_FILE=/etc/hawser/client.secret
  $ hawser up --data-dir /var/lib/hawser
  $ hawser up --data-dir /var/lib/hawser --check-config

Database and secrets are made in the data folder at the first start. Log lines are JSON and go to standard output.
SIGTERM and SIGINT let running requests finish, a second one does not wait; SIGHUP reads the TLS certificates again and
opens the audit log anew.
`;

/** `hawser up`: API server and relay in one process, for an installation of one machine. */
export function upCommand(): Command {
  const command = new Command("up")
    .description("Run API server and relay in one process, with a data folder of their own")
    .option("--check-config", "check everything, print the effective settings, start nothing")
    .option("--json", "print errors and --check-config as JSON")
    .addHelpText("after", EXAMPLES)
    .action(async (flags: Record<string, unknown>) => {
      // Loaded here, so that other commands do not load what this one runs.
      const { runUpCommand } = await import("../actions/up.ts");
      await runUpCommand(flags);
    });
  return addSettings(command, "up");
}
