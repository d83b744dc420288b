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
    ["--no-warnings", "--input-type=module", "-e", program],
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

test("log: nothing is written while nothing waits, and what waits is written once a write is done", () => {
  const script = `
    const { default: fs } = await import("node:fs");
    const { EventEmitter, once } = await import("node:events");
    const { mock } = await import("node:test");
    const { write } = fs;
    const done = new EventEmitter();
    const begun = [];
    fs.write = (file, bytes, callback) => {
      begun.push(bytes.length);
      write(file, bytes, (...result) => {
        callback(...result);
        done.emit("done");
      });
    };
    mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
    const idle = new LogDestination();
    for (let at = 0; at < 10; at++) mock.timers.tick(1_000);
    const counts = [begun.length];
    idle.write(Buffer.from("first "));
    mock.timers.tick(1_000);
    counts.push(begun.length);
    idle.write(Buffer.from("second "));
    mock.timers.tick(1_000);
    counts.push(begun.length);
    await once(done, "done");
    mock.timers.tick(1_000);
    counts.push(begun.length);
    await once(done, "done");
    for (let at = 0; at < 10; at++) mock.timers.tick(1_000);
    counts.push(begun.length);
    process.stdout.write(JSON.stringify(counts));`;
  assert.equal(outputOf(script), "first second [0,1,1,2,2]");
});
