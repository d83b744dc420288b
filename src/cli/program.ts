import { Command } from "commander";
import { hawserVersion } from "../core/version.ts";
import { accessProxyCommand } from "./commands/access-proxy.ts";
import { adminCommand } from "./commands/admin.ts";
import { agentCommand } from "./commands/agent.ts";
import { apiCommand } from "./commands/api.ts";
import { auditCommand } from "./commands/audit.ts";
import { devCommand } from "./commands/dev.ts";
import { devicesCommand } from "./commands/devices.ts";
import { enrolmentCommand } from "./commands/enrolment.ts";
import { keysCommand } from "./commands/keys.ts";
import { loginCommand, logoutCommand, whoamiCommand } from "./commands/login.ts";
import { pairCommand } from "./commands/pair.ts";
import { relayCommand } from "./commands/relay.ts";
import { tokenCommand } from "./commands/token.ts";
import { upCommand } from "./commands/up.ts";

const EXAMPLES = `
Examples:
  Try it all on this machine: sign-in, API server, relay, agent and a small HTTP service
    $ hawser dev

  For real use on one machine: API server and relay in one process
    $ hawser up --data-dir /var/lib/hawser --config hawser.json

  A relay of your own: make a device token and a key, then start it
    $ hawser token create --kind device --file credentials.json --token-file device.token
    $ hawser token create --kind key --file credentials.json
    $ hawser relay --credentials credentials.json

  On the device
    $ hawser agent --relay ws://relay.example.org:3800 --token-file device.token --to http://127.0.0.1:8080

Exit codes: 0 done, 1 something failed, 2 wrong usage or configuration.
`;

/** The whole command line. Nothing in it ends the process: usage errors are thrown as CommanderError. */
export function createProgram(): Command {
  const program = new Command("hawser")
    .description(
      "Reach the HTTP services of devices behind NAT: relay, device agent and their tools",
    )
    // `hawser agent` has flags that `hawser agent pair` has too: each belongs to the word that it stands behind.
    .enablePositionalOptions()
    .version(hawserVersion(), "--version", "print the version")
    .helpCommand("help [command]", "show the help of a command")
    .addHelpText("after", EXAMPLES);
  for (const command of [
    upCommand(),
    apiCommand(),
    relayCommand(),
    agentCommand(),
    tokenCommand(),
    accessProxyCommand(),
    devCommand(),
  ]) {
    program.addCommand(command);
  }
  for (const command of clientCommands()) program.addCommand(command);
  for (const command of program.commands) knowVersion(command);
  throwErrors(program);
  return program;
}

/** Those that people use an API server with, and the operator's. */
function clientCommands(): Command[] {
  return [
    loginCommand(),
    logoutCommand(),
    whoamiCommand(),
    devicesCommand(),
    pairCommand(),
    keysCommand(),
    enrolmentCommand(),
    auditCommand(),
    adminCommand(),
  ];
}

/** `hawser relay --version` is what `hawser --version` is; its own help need not say so. */
function knowVersion(command: Command): void {
  command.version(hawserVersion(), "--version");
  command.options.find(({ long }) => long === "--version")?.hideHelp();
  for (const child of command.commands) knowVersion(child);
}

/** Makes a command and those below it throw in place of printing and exiting. */
function throwErrors(command: Command): void {
  command.exitOverride().configureOutput({ outputError: () => undefined });
  for (const child of command.commands) throwErrors(child);
}
