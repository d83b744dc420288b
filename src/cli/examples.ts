import type { Command } from "commander";

/**
 * Gives a command its examples, and each command below it those that are its own.
 *
 * @param text begins with "Examples:"; an example is a line with `$` in front, and what it goes on with behind a `\`
 */
export function addExamples(command: Command, text: string): Command {
  command.addHelpText("after", text);
  const examples = text.match(/^ *\$ (?:.*\\\n)*.*$/gm) ?? [];
  for (const child of command.commands) addOwn(child, `hawser ${command.name()}`, examples);
  return command;
}

function addOwn(command: Command, parent: string, examples: readonly string[]): void {
  const name = `${parent} ${command.name()}`;
  const own = examples.filter((example) => `${example} `.includes(`${name} `));
  if (own.length > 0) {
    const lines = own.map((example) => `  ${example.trim()}\n`).join("");
    command.addHelpText("after", `\nExamples:\n${lines}`);
  }
  for (const child of command.commands) addOwn(child, name, examples);
}
