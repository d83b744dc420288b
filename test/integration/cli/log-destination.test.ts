import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { root } from "../../support/root.ts";

const module = pathToFileURL(join(root, "dist/src/cli/log-destination.js")).href;

/** What a process writes whose log is the given one. */
function outputOf(script: string): string {
  const program = `const { LogDestination } = await import(${JSON.stringify(module)}); const log = new LogDestination(); ${script}`;
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    ["--input-type=module", "-e", program],
    { encoding: "utf8" },
  );
  assert.equal(stderr, "");
  assert.equal(status, 0);
  return stdout;
}

test("log: lines of text and blocks of bytes leave in the order in which they came", () => {
  const script = `
    for (let at = 0; at < 2_000; at++) {
      log.write("text é " + at + "\\n");
      if (at % 7 === 0) log.write(Buffer.from("bytes " + at + "\\n"));
    }
    await log.end();
    log.write("nobody takes this\\n");`;
  const wanted = Array.from({ length: 2_000 }, (_, at) =>
    at % 7 === 0 ? `text é ${at}\nbytes ${at}\n` : `text é ${at}\n`,
  );
  assert.equal(outputOf(script), wanted.join(""));
});

test("log: a line is written although the process ends at once, and although nothing follows it", () => {
  assert.equal(outputOf('log.write("last\\n"); process.exit(0);'), "last\n");
  assert.equal(outputOf('log.write("last\\n");'), "last\n");
});
