import { Command } from "commander";
import { hawserVersion } from "../core/version.ts";

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

/**
 * Every command by its name, in the order of the help; loaded when it is asked for. First what runs, then what people use
 * an API server with, and the operator's.
 */
const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  up: async () => (await import("./commands/up.ts")).upCommand(),
  api: async () => (await import("./commands/api.ts")).apiCommand(),
  relay: async () => (await import("./commands/relay.ts")).relayCommand(),
  agent: async () => (await import("./commands/agent.ts")).agentCommand(),
  token: async () => (await import("./commands/token.ts")).tokenCommand(),
  "access-proxy": async () => (await import("./commands/access-proxy.ts")).accessProxyCommand(),
  dev: async () => (await import("./commands/dev.ts")).devCommand(),
  login: async () => (await import("./commands/login.ts")).loginCommand(),
  logout: async () => (await import("./commands/login.ts")).logoutCommand(),
  whoami: async () => (await import("./commands/login.ts")).whoamiCommand(),
  devices: async () => (await import("./commands/devices.ts")).devicesCommand(),
  pair: async () => (await import("./commands/pair.ts")).pairCommand(),
  keys: async () => (await import("./commands/keys.ts")).keysCommand(),
  enrolment: async () => (await import("./commands/enrolment.ts")).enrolmentCommand(),
  audit: async () => (await import("./commands/audit.ts")).auditCommand(),
  admin: async () => (await import("./commands/admin.ts")).adminCommand(),
};

/**
 * The command line, as far as `words` need it: the one command that they begin with, or all, for help and for what is
 * wrong. Nothing in it ends the process: usage errors are thrown as CommanderError.
 *
 * @param words what stands behind `hawser`
 */
export async function createProgram(words: readonly string[] = []): Promise<Command> {
  const program = new Command("hawser")
    .description(
      "Reach the HTTP services of devices behind NAT: relay, device agent and their tools",
    )
    // `hawser agent` has flags that `hawser agent pair` has too: each belongs to the word that it stands behind.
    .enablePositionalOptions()
    .version(hawserVersion(), "--version", "print the version")
    .helpCommand("help [command]", "show the help of a command")
    .addHelpText("after", EXAMPLES);
  const [first = ""] = words;
  const names = Object.hasOwn(COMMANDS, first) ? [first] : Object.keys(COMMANDS);
  const commands = await Promise.all(names.map((name) => COMMANDS[name]?.()));
  for (const command of commands) {
    if (command !== undefined) program.addCommand(command);
  }
  for (const command of program.commands) knowVersion(command);
  throwErrors(program);
  return program;
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
