import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { pathToFileURL } from "node:url";
import { root } from "../../support/root.ts";

const MAIN = join(root, "dist", "src", "cli", "main.js");

/** A module as a URL. */
function dataUrl(source: string): string {
  return `data:text/javascript,${encodeURIComponent(source)}`;
}

/**
 * The files that `hawser relay` imports before it would listen, in their order. `--check-config` ends it there: what is
 * loaded after that is loaded when it is used.
 */
function imported(t: TestContext, ...flags: readonly string[]): string[] {
  const folder = mkdtempSync(join(tmpdir(), "hawser-start-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const list = join(folder, "list");
  const hooks = dataUrl(`
    import { appendFileSync } from "node:fs";
    export const load = (url, context, next) => {
      appendFileSync(${JSON.stringify(list)}, url + "\\n");
      return next(url, context);
    };
  `);
  const preload = dataUrl(`
    import { register } from "node:module";
    register(${JSON.stringify(hooks)});
  `);
  const words = [MAIN, "relay", "--check-config", `--data-dir=${folder}`, ...flags];
  execFileSync(process.execPath, ["--import", preload, ...words], { stdio: "pipe" });
  return readFileSync(list, "utf8")
    .split("\n")
    .filter((url) => url.startsWith("file:"));
}

/** Names of the packages that files are of. */
function packagesOf(files: readonly string[]): string[] {
  const names = files.flatMap(
    (file) => /\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(file)?.[1] ?? [],
  );
  return [...new Set(names)].sort();
}

test("start: a relay that asks an API server loads nothing before it listens but what it cannot listen without", (t) => {
  const files = imported(t, "--api=http://127.0.0.1:1");
  assert.deepEqual(packagesOf(files), ["commander", "pino"]);
  const own = pathToFileURL(join(root, "dist", "src")).href;
  assert.ok(files.includes(`${own}/relay/tunnel-endpoint.js`), "files of ours are seen");
  const commands = files.filter((file) => file.startsWith(`${own}/cli/commands/`));
  assert.deepEqual(commands, [`${own}/cli/commands/relay.js`]);
});

test("start: a relay with a credentials file loads what checks the file, too, and nothing else", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "hawser-start-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "credentials.json");
  writeFileSync(file, JSON.stringify({ version: 1, tokens: [], keys: [] }));
  assert.deepEqual(packagesOf(imported(t, `--credentials=${file}`)), ["commander", "pino", "zod"]);
});
