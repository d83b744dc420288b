import { Command } from "commander";
import type { DevFlags } from "../actions/dev.ts";
import { addSettings } from "../settings-flags.ts";

const EXAMPLES = `
Examples:
  $ hawser dev
  $ hawser dev --once
  $ hawser dev --to http://127.0.0.1:8080

Everything listens on loopback, and all that is made is gone after the run: people, device, key and database. The identity
provider is the package oidc-provider, which is there where Hawser's sources are.
`;

/** `hawser dev`: the whole product on loopback, for a first try. */
export function devCommand(): Command {
  const command = new Command("dev")
    .description("Try it all on this machine: identity provider, API server, relay and a device")
    .option("--to <url>", "put this local service behind the tunnel in place of the demo service")
    .option("--once", "sign in, pair a device, make a key, call the device, revoke, and end")
    .option("--path <path>", "path that --once asks for (default: /hello, or / with --to)")
    .option("--public-client", "sign in as a public client, with PKCE alone")
    .option("--check-config", "check everything, print the effective settings, start nothing")
    .option("--json", "print JSON")
    .addHelpText("after", EXAMPLES)
    .action(async (flags: DevFlags & Record<string, unknown>) => {
      // Loaded here, so that other commands do not load what this one runs.
      const { runDevCommand } = await import("../actions/dev.ts");
      await runDevCommand(flags);
    });
  return addSettings(command, "dev");
}
