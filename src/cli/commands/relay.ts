import { Command } from "commander";
import { addSettings } from "../settings-flags.ts";

const EXAMPLES = `
Examples:
  $ hawser relay --credentials credentials.json
  $ hawser relay --credentials credentials.json --tls-cert cert.pem --tls-key key.pem --listen-port 443
  $ hawser relay --api http://127.0.0.1:3722
  $ hawser relay --config relay.json --check-config

Log lines are JSON and go to standard output. SIGTERM and SIGINT let running requests finish, a second one does
not wait; SIGHUP reads the TLS certificate again. The credentials file is read again when it changes; with --api the
API server is asked, and tells of changes.
`;

/** `hawser relay`: device tunnels, the edge and the internal API. */
export function relayCommand(): Command {
  const command = new Command("relay")
    .description("Run a relay: devices dial in, callers reach them over plain HTTP")
    .option("--check-config", "check everything, print the effective settings, start nothing")
    .option("--json", "print errors and --check-config as JSON")
    .addHelpText("after", EXAMPLES)
    .action(async (flags: Record<string, unknown>) => {
      // Loaded here, so that other commands do not load what this one runs.
      const { runRelayCommand } = await import("../actions/relay.ts");
      await runRelayCommand(flags);
    });
  return addSettings(command, "relay");
}
