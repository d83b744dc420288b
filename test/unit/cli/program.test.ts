import assert from "node:assert/strict";
import test from "node:test";
import type { Command } from "commander";
import { createProgram } from "../../../src/cli/program.ts";
import { flagName, settingsOf } from "../../../src/config/index.ts";

function command(name: string): Command {
  const found = createProgram().commands.find((each) => each.name() === name);
  assert.ok(found !== undefined, name);
  return found;
}

test("command line: each command has a description, and help with examples", () => {
  for (const each of createProgram().commands) {
    assert.ok(each.description().length > 10, each.name());
    assert.ok(each.helpInformation().includes("Usage: hawser"), each.name());
  }
});

test("command line: relay and dev take the flags of their settings, and no flag for a secret", () => {
  for (const name of ["relay", "dev"] as const) {
    const flags = new Set(command(name).options.map(({ long }) => long));
    for (const [setting, { secret }] of settingsOf(name)) {
      assert.equal(flags.has(flagName(setting)), !secret, `${name} ${setting}`);
    }
    assert.ok(flags.has("--config"));
  }
});

test("command line: a flag's value arrives under the name of its setting", () => {
  for (const [setting] of settingsOf("relay")) {
    const option = command("relay").options.find(({ long }) => long === flagName(setting));
    if (option !== undefined) assert.equal(option.attributeName(), setting);
  }
});

test("command line: help names the variable and the default of each setting", () => {
  const help = command("relay").helpInformation().replace(/\s+/g, " ");
  assert.match(help, /--listen-port <port> .*HAWSER_LISTEN_PORT; default: 3800\)/);
  assert.match(help, /--allow-query-token \[true\|false\]/);
  assert.doesNotMatch(help, /`/);
});
