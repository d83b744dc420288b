import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { FILES_BESIDE, fileLimit } from "../../../bench/support/file-limit.ts";
import { root } from "../../support/root.ts";

/** Every command of the bench and the profiles: how it explains itself, and what it does with flags that mean nothing. */

interface Command {
  readonly name: string;
  readonly script: string;
}

interface Ended {
  readonly code: unknown;
  readonly stdout: string;
  readonly stderr: string;
}

function commands(): Command[] {
  const { scripts }: { scripts: Record<string, string> } = JSON.parse(
    readFileSync(join(root, "package.json"), "utf8"),
  );
  return Object.entries(scripts).flatMap(([name, line]) => {
    const script = /node (dist\/bench\/\S+\.js)$/.exec(line)?.[1];
    return script === undefined ? [] : [{ name, script }];
  });
}

function ended({ script }: Command, flags: readonly string[]): Promise<Ended> {
  return new Promise((resolve) => {
    const args = [join(root, script), ...flags];
    execFile(process.execPath, args, { timeout: 20_000 }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : error.code, stdout, stderr });
    });
  });
}

/** For each command something that it cannot make sense of, and what its answer must name. */
const WRONG: Readonly<Record<string, readonly [string, RegExp]>> = {
  bench: ["--rounds=1.5", /--rounds takes a whole number from 1 on/],
  "bench:micro": ["--only=nothing", /--only nothing: known are header_encode, /],
  "bench:gate": ["--seconds=0", /--seconds takes a number above 0/],
  "bench:gate:selftest": ["--no-such-flag", /'--no-such-flag'/],
  "bench:access-proxy": ["--limit=0", /--limit takes a number above 0/],
  "bench:keys": ["--limit=-1", /--limit takes a number above 0/],
  "bench:matrix": ["word", /'word'/],
  "bench:storm": ["--end=SIGHUP", /--end SIGHUP: known are SIGKILL, SIGTERM/],
  "bench:density": ["--devices=19", /--devices takes a whole number from 20 on/],
  "bench:charts": ["--no-such-flag", /'--no-such-flag'/],
  "bench:capacity": ["word", /'word'/],
  flame: ["--seconds=", /--seconds takes a whole number from 1 on/],
};

test("a command of the bench is known here", () => {
  assert.deepEqual(
    commands()
      .map(({ name }) => name)
      .sort(),
    Object.keys(WRONG).sort(),
  );
});

for (const command of commands()) {
  const { name } = command;
  test(`npm run ${name}: --help has usage, options and examples`, async () => {
    const { code, stdout, stderr } = await ended(command, ["--help"]);
    assert.deepEqual([code, stderr], [0, ""]);
    assert.ok(stdout.startsWith(`Usage: npm run ${name} -- [options]\n`), stdout);
    assert.match(stdout, /\nOptions:\n(?: {2}.+\n)+/);
    const examples = stdout.slice(stdout.indexOf("\nExamples:\n"));
    assert.match(examples, new RegExp(`^\nExamples:\n {2}npm run ${name}( |\n)`));
    for (const flag of examples.matchAll(/ (--[a-z][a-z-]*)/g)) {
      assert.match(stdout, new RegExp(`\n {2}${flag[1]}\\b`), `${flag[1]} is no option`);
    }
  });

  test(`npm run ${name}: a flag that means nothing ends it with 2 before it does anything`, async () => {
    const [flag, told] = WRONG[name] ?? ["", /^$/];
    const { code, stdout, stderr } = await ended(command, [flag]);
    assert.deepEqual([code, stdout], [2, ""], stderr);
    assert.match(stderr, told);
    assert.ok(stderr.startsWith(`${name}: `), stderr);
    assert.ok(stderr.endsWith(`; npm run ${name} -- --help tells more\n`), stderr);
  });
}

test("a fleet of more files than a process may open is refused, with the tunnels that are there before it", async () => {
  const limit = fileLimit();
  const density = commands().find(({ name }) => name === "bench:density");
  assert.ok(density !== undefined);
  if (!Number.isFinite(limit)) return;
  const { code, stderr } = await ended(density, [`--devices=${limit - FILES_BESIDE}`]);
  assert.equal(code, 2, stderr);
  assert.match(stderr, new RegExp(`need ${limit + 500} open files in one process`));
});

test("figures that are not there end what draws them with 1 and their place", async () => {
  for (const command of commands()) {
    if (!/^bench:(?:charts|capacity)$/.test(command.name)) continue;
    const { code, stdout, stderr } = await ended(command, ["--from", join(root, "nowhere")]);
    assert.deepEqual([code, stdout], [1, ""], stderr);
    assert.match(stderr, new RegExp(`^${command.name}: .*nowhere`), stderr);
  }
});
