import assert from "node:assert/strict";
import test from "node:test";
import type { Command } from "commander";
import { createProgram } from "../../../src/cli/program.ts";
import { flagName, settingsOf } from "../../../src/config/index.ts";
import { hawserVersion } from "../../../src/core/version.ts";

const program = await createProgram();

function command(name: string): Command {
  const found = program.commands.find((each) => each.name() === name);
  assert.ok(found !== undefined, name);
  return found;
}

test("command line: each command has a description, and help with examples", () => {
  for (const each of program.commands) {
    assert.ok(each.description().length > 10, each.name());
    assert.ok(each.helpInformation().includes("Usage: hawser"), each.name());
  }
});

/** Commands that have none below them, each with its whole name. */
function leaves(parent: Command, path: string): [string, Command][] {
  return parent.commands.flatMap((each) => {
    const name = `${path} ${each.name()}`;
    const below = leaves(each, name);
    return each.commands.length === 0 || name === "hawser agent" ? [...below, [name, each]] : below;
  }) as [string, Command][];
}

test("command line: the help of every command shows how it is used, and knows the version", () => {
  const all = leaves(program, "hawser");
  assert.ok(all.length > 35, `${all.length}`);
  for (const [name, each] of all) {
    let help = "";
    each.configureOutput({ writeOut: (text) => (help += text) });
    each.outputHelp();
    assert.match(help, new RegExp(`\\$ (?:[A-Z_]+=\\S+ )?${name}( |$)`, "m"), name);
    assert.doesNotMatch(help, /--version/, name);
    assert.equal(each.version(), hawserVersion(), name);
  }
});

test("command line: every command takes the flags of its settings, and hides those of secrets", () => {
  for (const name of ["relay", "agent", "api", "up", "dev"] as const) {
    const { options } = command(name);
    for (const [setting, { secret }] of settingsOf(name)) {
      const option = options.find(({ long }) => long === flagName(setting));
      assert.equal(option?.hidden, secret, `${name} ${setting}`);
    }
    assert.ok(options.some(({ long }) => long === "--config"));
  }
});

test("command line: a flag's value arrives under the name of its setting", () => {
  for (const name of ["relay", "up"] as const) {
    for (const [setting] of settingsOf(name)) {
      const option = command(name).options.find(({ long }) => long === flagName(setting));
      if (option !== undefined) assert.equal(option.attributeName(), setting);
    }
  }
});

test("command line: help names the variable and the default of each setting", () => {
  const help = command("relay").helpInformation().replace(/\s+/g, " ");
  assert.match(help, /--listen-port <port> .*HAWSER_LISTEN_PORT; default: 3800\)/);
  assert.match(help, /--allow-query-token \[true\|false\]/);
  assert.doesNotMatch(help, /`/);
});

test("command line: a command that is named is all that is loaded, and its help is the same", async () => {
  for (const whole of program.commands) {
    const { commands } = await createProgram([whole.name(), "--json"]);
    assert.deepEqual(
      commands.map((each) => each.helpInformation()),
      [whole.helpInformation()],
    );
  }
  for (const words of [["help", "relay"], ["--version"], ["rely"], ["constructor"], []]) {
    const { commands } = await createProgram(words);
    assert.equal(commands.length, program.commands.length, words.join(" "));
  }
});

test("command line: every server checks its configuration without starting", () => {
  for (const name of ["relay", "agent", "api", "up", "dev"]) {
    const flags = command(name).options.map(({ long }) => long);
    assert.ok(flags.includes("--check-config") && flags.includes("--json"), name);
  }
});
