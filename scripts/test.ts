/**
 * The test runner: `npm run test:run -- [kind…] [--list]`. Each file's process takes the flags of this one:
 * `--import` the watchdog, and `--no-concurrent-recompilation`, since a runtime that ends while another thread compiles may
 * wait for itself for ever: https://github.com/nodejs/node/issues/54918.
 *
 * Lists the test files of the kinds asked for (all by default) from the sources, so that a compiled
 * leftover of a removed test never runs, and gives them to `node:test` by name: Node 20 takes no globs.
 * Prints the skipped tests with their reasons before the closing lines. With `CI=true` a skip that
 * `SKIPS_ALLOWED_IN_CI` does not name fails the run.
 */
import { existsSync, readdirSync } from "node:fs";
import { join, relative } from "node:path";
import { run } from "node:test";
import { spec as Spec } from "node:test/reporters";
import { fileURLToPath } from "node:url";
import { killHungChildren } from "./test-hangs.ts";
import { HANG_MS } from "./test-watchdog.ts";

const KINDS = ["unit", "conformance", "fuzz", "sim", "integration", "interop"] as const;
type Kind = (typeof KINDS)[number];

const FILES_AT_ONCE = 2;
/** A file's own watchdog comes first: it knows more. */
const KILL_AFTER_MS = HANG_MS + 60_000;

/** Skips that may happen in CI: the test's name and why it cannot run there. */
const SKIPS_ALLOWED_IN_CI: ReadonlyMap<string, string> = new Map();

interface Skip {
  readonly name: string;
  readonly file: string;
  readonly reason: string;
}

/** This file is `<built>/scripts/test.js`; the sources lie beside or above the build folder. */
const built = fileURLToPath(new URL("..", import.meta.url));
const root = findRoot(built);

function findRoot(start: string): string {
  let folder = start;
  while (!existsSync(join(folder, "package.json"))) folder = join(folder, "..");
  return folder;
}

/** Source paths, relative to the repository, of all test files of one kind, sorted. */
function testSources(kind: Kind): string[] {
  const folder = join(root, "test", kind);
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".test.ts"))
    .map((name) => relative(root, join(folder, name)))
    .sort();
}

function compiledPath(source: string): string {
  return join(built, source.replace(/\.ts$/, ".js"));
}

function isKind(text: string): text is Kind {
  return (KINDS as readonly string[]).includes(text);
}

function fail(sentence: string): never {
  process.stderr.write(`${sentence}\n`);
  process.exit(1);
}

function selectFiles(kinds: readonly string[]): string[] {
  const files: string[] = [];
  for (const kind of kinds) {
    if (!isKind(kind)) fail(`No tests of kind ${kind}; the kinds are ${KINDS.join(", ")}.`);
    const sources = testSources(kind);
    if (sources.length === 0) fail(`There are no tests of kind ${kind}.`);
    files.push(...sources.map(compiledPath));
  }
  const missing = files.filter((file) => !existsSync(file));
  if (missing.length > 0) fail(`Not compiled, run npm run build:\n${missing.join("\n")}`);
  return files;
}

function skipReport(skips: readonly Skip[]): string {
  const lines = skips.map(({ name, file, reason }) => `  ${name} (${file}): ${reason}`);
  return `\nSkipped tests:\n${lines.join("\n")}\n\n`;
}

const words = process.argv.slice(2);
const kinds = words.filter((word) => !word.startsWith("--"));
const files = selectFiles(kinds.length > 0 ? kinds : KINDS);
if (words.includes("--list")) {
  process.stdout.write(`${files.map((file) => relative(root, file)).join("\n")}\n`);
  process.exit(0);
}

const skips: Skip[] = [];
const totals: string[] = [];
let failures = 0;

killHungChildren(KILL_AFTER_MS, (text) => process.stderr.write(text));
const events = run({ files, concurrency: FILES_AT_ONCE });
events.on("test:pass", (data) => {
  if (data.skip === undefined || data.skip === false) return;
  const reason = typeof data.skip === "string" && data.skip !== "" ? data.skip : "no reason given";
  skips.push({ name: data.name, file: relative(built, data.file ?? ""), reason });
});
events.on("test:fail", (data) => {
  if (data.todo === undefined || data.todo === false) failures += 1;
});
events.on("test:diagnostic", (data) => {
  if (
    data.nesting !== 0 ||
    !/^(tests|suites|pass|fail|cancelled|skipped|todo) \d+$/.test(data.message)
  )
    return;
  // The first of the closing lines: what was skipped belongs above them.
  if (totals.length === 0 && skips.length > 0) process.stdout.write(skipReport(skips));
  totals.push(`ℹ ${data.message}`);
});

const report = events.compose(new Spec());
report.on("end", () => {
  const unexpected = skips.filter(({ name }) => !SKIPS_ALLOWED_IN_CI.has(name));
  const skipsFail = process.env["CI"] === "true" && unexpected.length > 0;
  if (skipsFail) {
    const names = unexpected.map(({ name }) => `  ${name}`).join("\n");
    process.stdout.write(`\nIn CI these tests must not be skipped:\n${names}\n`);
  }
  // Details of failures come after the reporter's totals: say the totals once more, last.
  if (failures > 0 || skipsFail) process.stdout.write(`\n${totals.join("\n")}\n`);
  process.exitCode = failures > 0 || skipsFail ? 1 : 0;
});
report.pipe(process.stdout, { end: false });
