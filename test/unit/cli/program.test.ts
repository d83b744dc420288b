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

test("command line: every server checks its configuration without starting", () => {
  for (const name of ["relay", "agent", "api", "up", "dev"]) {
    const flags = command(name).options.map(({ long }) => long);
    assert.ok(flags.includes("--check-config") && flags.includes("--json"), name);
  }
});
