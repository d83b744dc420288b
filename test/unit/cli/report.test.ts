import assert from "node:assert/strict";
import test from "node:test";
import { CommanderError } from "commander";
import { describeError, formatReport } from "../../../src/cli/run.ts";
import { AppError, ConfigError } from "../../../src/core/errors.ts";

function printed(error: unknown, words: readonly string[], json = false): [string, number] {
  const report = describeError(error, words);
  assert.ok(report !== null);
  return [formatReport(report, json), report.exitCode];
}

test("command line: a problem of the configuration says what is wrong and where to look, and ends with 2", () => {
  const error = new ConfigError([{ setting: "--listen-port", problem: "wanted a port" }]);
  assert.deepEqual(printed(error, ["relay"]), [
    "error: --listen-port: wanted a port\nEvery setting: hawser relay --help, and docs/configuration.md.\n",
    2,
  ]);
});

test("command line: several problems are told one a line", () => {
  const error = new ConfigError([
    { setting: "a", problem: "bad" },
    { setting: "b", problem: "worse" },
  ]);
  const [text] = printed(error, ["relay"]);
  assert.match(text, /^error: the configuration cannot be used:\n {2}a: bad\n {2}b: worse\n/);
});

test("command line: with --json an error is one JSON object", () => {
  const error = new ConfigError([{ setting: "a", problem: "bad" }]);
  const [text] = printed(error, ["relay", "--json"], true);
  assert.deepEqual(JSON.parse(text), {
    error: {
      code: "ERR_CONFIG_INVALID",
      message: "a: bad",
      advice: "Every setting: hawser relay --help, and docs/configuration.md.",
      problems: [{ setting: "a", problem: "bad" }],
    },
  });
  assert.equal(text.split("\n").length, 2);
});

test("command line: wrong usage ends with 2, help and version with 0", () => {
  const unknown = new CommanderError(1, "commander.unknownOption", "error: unknown option '--x'");
  assert.deepEqual(printed(unknown, ["dev", "--x"]), [
    "error: unknown option '--x'\nHow to use it: hawser dev --help.\n",
    2,
  ]);
  for (const code of ["commander.helpDisplayed", "commander.help", "commander.version"]) {
    assert.equal(describeError(new CommanderError(0, code, "(outputHelp)"), []), null);
  }
});

test("command line: the value of a misspelt flag is not repeated", () => {
  for (const value of ["vAc_secret", "it's a\nsecret", "a=secret"]) {
    const message = `error: unknown option '--tokn=${value}'\n(Did you mean --token-file?)`;
    const [text] = printed(new CommanderError(1, "commander.unknownOption", message), ["agent"]);
    assert.equal(
      text,
      "error: unknown option '--tokn'\n(Did you mean --token-file?)\nHow to use it: hawser agent --help.\n",
    );
  }
});

test("command line: what fails while it runs ends with 1 and keeps its code", () => {
  assert.deepEqual(printed(new AppError("ERR_CLI_DEV_FAILED", "could not start"), ["dev"]), [
    "error: could not start\n",
    1,
  ]);
  const taken = Object.assign(new Error("listen EADDRINUSE"), { code: "EADDRINUSE" });
  assert.match(printed(taken, ["dev"])[0], /Something else listens there/);
  assert.equal(describeError("odd", [])?.code, "ERR_CLI_UNEXPECTED");
});

test("command line: an error cannot steer the terminal", () => {
  const [text] = printed(new Error("a\u001b[2Jb\nc"), []);
  assert.equal(text.split("\n")[0], "error: a [2Jb c");
});
