import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { runCli } from "../../support/cli.ts";
import { root } from "../../support/root.ts";

test("hawser --version: the version of the package", async (t) => {
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const { code, stdout } = await runCli(t, ["--version"]);
  assert.deepEqual([code, stdout], [0, `${version}\n`]);
});

test("hawser: help goes to standard output with exit code 0, for each command", async (t) => {
  for (const words of [
    ["--help"],
    ["help"],
    ["relay", "--help"],
    ["help", "dev"],
    ["token", "--help"],
  ]) {
    const { code, stdout, stderr } = await runCli(t, words);
    assert.deepEqual([code, stderr], [0, ""], words.join(" "));
    assert.match(stdout, /^Usage: hawser/);
    assert.match(stdout, /\$ hawser|create/);
  }
});

test("hawser: wrong usage is one sentence and what to do, exit code 2", async (t) => {
  const cases: readonly (readonly [string[], RegExp])[] = [
    [
      ["relay", "--colour"],
      /^error: unknown option '--colour'\nHow to use it: hawser relay --help\.\n$/,
    ],
    [
      ["agent", "--colour"],
      /^error: unknown option '--colour'\nHow to use it: hawser agent --help\.\n$/,
    ],
    [["voyage"], /^error: unknown command 'voyage'\nHow to use it: hawser --help\.\n$/],
    [["token", "sail"], /^error: unknown command 'sail'\nHow to use it: hawser token --help\.\n$/],
    [["relay", "--listen-port"], /^error: option '--listen-port <port>' argument missing\n/],
    [["relay", "--internal-secret", "x"], /^ {2}--internal-secret: a secret in the command line/m],
  ];
  for (const [words, expected] of cases) {
    const { code, stdout, stderr } = await runCli(t, words);
    assert.deepEqual([code, stdout], [2, ""], words.join(" "));
    assert.match(stderr, expected);
  }
});

test("hawser: without a command it shows the help and ends with 2", async (t) => {
  const { code, stderr } = await runCli(t, []);
  assert.equal(code, 2);
  assert.match(stderr, /^Usage: hawser/);
});

test("hawser --json: wrong usage as JSON", async (t) => {
  const { code, stderr } = await runCli(t, ["relay", "--json", "--colour"]);
  assert.equal(code, 2);
  assert.equal(JSON.parse(stderr).error.code, "ERR_CLI_USAGE");
});

test("hawser up: a data folder that cannot be had is told, and ends it with 2", async (t) => {
  const words = ["--public-base-url", "http://127.0.0.1:3721", "--oidc-issuer", "https://idp.test"];
  words.push("--oidc-client-id", "hawser", "--oidc-client-auth", "none");
  const file = join(root, "package.json");
  for (const [folder, expected] of [
    ["/proc/hawser", /^error: --data-dir: the folder \/proc\/hawser cannot be made \(E[A-Z]+\)\n/],
    [file, /^error: --data-dir: \S+package\.json is no folder\n/],
    [join(file, "x"), /^error: --data-dir: \S+package\.json is no folder\n/],
  ] as const) {
    const { code, stdout, stderr } = await runCli(t, ["up", "--data-dir", folder, ...words]);
    assert.deepEqual([code, stdout], [2, ""]);
    assert.match(stderr, expected);
  }
  const check = ["up", "--check-config", ...words, "--data-dir"];
  assert.equal((await runCli(t, [...check, file])).code, 2);
  assert.equal((await runCli(t, [...check, join(root, "not/there")])).code, 0);
});
