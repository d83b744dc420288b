import { Command } from "commander";
import { addExamples } from "../examples.ts";
import type { Output } from "../print.ts";
import { addSettings } from "../settings-flags.ts";
import { accessProxyKeysCommand } from "./access-proxy-keys.ts";
import { accessProxyTokenCommand } from "./access-proxy-token.ts";

const EXAMPLES = `
Examples:
  A key for this TA, whose public part goes to the ID providers:
    $ hawser access-proxy keys new --alg ES256 --folder keys > public.json
  With files of ID providers and destinations, for a backend on the same machine:
    $ hawser access-proxy --self-id https://ta.example.org --sig-alg ES256 --signing-keys keys \\
        --idps idps.json --destinations destinations.json
    $ hawser access-proxy --config access-proxy.json --check-config
    $ hawser access-proxy --config access-proxy.json --listen-socket /run/hawser/access-proxy.sock
  A token of a user who signed in, for the tag that the backend goes by:
    $ hawser access-proxy token put --tag Jx6eM2vRfc --issuer https://idp.example.org --expires-in 3600 < token
    $ hawser access-proxy token list
    $ hawser access-proxy token remove --tag Jx6eM2vRfc

Log lines are JSON and go to standard output. SIGTERM and SIGINT let running calls finish, a second one does not wait;
SIGHUP looks at all files again, which happens by itself, too. docs/access-proxy.md has the files.
`;

/** `hawser access-proxy`: calls other TAs in the name of a TA's users. */
export function accessProxyCommand(output: Output = process.stdout): Command {
  const command = new Command("access-proxy")
    .description("Run an access proxy: a TA's backend calls other TAs in the name of its users")
    .option("--check-config", "check everything, print the effective settings, start nothing")
    .option("--json", "print errors and --check-config as JSON")
    // Flags behind `token` and `keys` are those of their own, though some have the same names.
    .enablePositionalOptions()
    .addCommand(accessProxyTokenCommand(output))
    .addCommand(accessProxyKeysCommand(output))
    .action(async (flags: Record<string, unknown>) => {
      // Loaded here, so that other commands do not load what this one runs.
      const { runAccessProxyCommand } = await import("../actions/access-proxy.ts");
      await runAccessProxyCommand(flags);
    });
  return addExamples(addSettings(command, "access-proxy"), EXAMPLES);
}
