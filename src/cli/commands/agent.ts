import { Command } from "commander";
import type { AgentFlags } from "../actions/agent.ts";
import { addSettings } from "../settings-flags.ts";
import { agentPairCommand } from "./agent-pair.ts";

const EXAMPLES = `
Examples:
  $ hawser agent --to http://127.0.0.1:8080        # a machine that \`hawser agent pair\` has paired
  $ hawser agent --relay ws://relay.example.org:3800 --token-file device.token --to http://127.0.0.1:8080
  $ HAWSER_TOKEN=... hawser agent --relay wss://relay.example.org --to tcp://127.0.0.1:22 --json

Log lines go to standard error. SIGTERM and SIGINT let running requests finish, a second one does not wait.
`;

/** `hawser agent`: dials a relay and forwards what it sends to a local service. */
export function agentCommand(): Command {
  const command = new Command("agent")
    .description("Run a device agent: dial a relay and forward its requests to a local service")
    .option("--json", "log as JSON lines, and print errors and --check-config as JSON")
    .option("--check-config", "check everything, print the effective settings, start nothing")
    .addHelpText("after", EXAMPLES)
    // Flags behind `pair` are those of pairing, though some have the same names.
    .enablePositionalOptions()
    .addCommand(agentPairCommand())
    .action(async (flags: AgentFlags) => {
      // Loaded here, so that other commands do not load what this one runs.
      const { runAgentCommand } = await import("../actions/agent.ts");
      await runAgentCommand(flags);
    });
  return addSettings(command, "agent");
}
