import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import type { Command } from "commander";
import { createProgram } from "../../../src/cli/program.ts";
import { root } from "../../support/root.ts";

/** Files in which people find command lines. */
function documents(): string[] {
  const here = ["README.md", "CONTRIBUTING.md", "SECURITY.md"];
  const pages = readdirSync(join(root, "docs")).filter((name) => name.endsWith(".md"));
  const commands = readdirSync(join(root, "src/cli/commands"));
  return [
    ...here,
    ...pages.map((name) => `docs/${name}`),
    "src/cli/program.ts",
    ...commands.map((name) => `src/cli/commands/${name}`),
  ];
}

/** Every `hawser …` of a file that stands on a line of its own, continued lines joined. */
function commandLines(path: string): string[] {
  const text = readFileSync(join(root, path), "utf8").replace(/\\{1,2}\n\s*/g, " ");
  const found = text.matchAll(
    /^\s*(?:\$ |ExecStart(?:Pre)?=\/usr\/local\/bin\/)?(?:[A-Z_]+=\S+ )*(hawser [a-z][^\n]*)$/gm,
  );
  return [...found].map(([, line = ""]) => line).filter((line) => !line.includes("`"));
}

/** Words as a shell makes them: quotes, and a comment at the end. */
function wordsOf(line: string): string[] {
  const words = line.replace(/\s[#<>&|](?: .*)?$/, "").matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g);
  return [...words].map(([, double, single, plain]) => double ?? single ?? plain ?? "");
}

/** Commands that do something themselves, and have others below them. */
const DOING: ReadonlySet<string> = new Set(["agent", "access-proxy"]);

/** Commands that take what they are given and do nothing. */
function idle(command: Command): void {
  if (command.commands.length === 0 || DOING.has(command.name())) command.action(() => {});
  for (const child of command.commands) idle(child);
}

test("documents: every command line that is shown is one that the program takes", async () => {
  let count = 0;
  for (const path of documents()) {
    for (const line of commandLines(path)) {
      const [, ...words] = wordsOf(line);
      const program = await createProgram(words);
      idle(program);
      await assert.doesNotReject(program.parseAsync(words, { from: "user" }), `${path}: ${line}`);
      count += 1;
    }
  }
  assert.ok(count > 90, `${count}`);
});
