import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import test from "node:test";
import { errorsMarkdown } from "../../scripts/errors-page.ts";
import { configurationMarkdown } from "../../src/config/index.ts";
import { root } from "../support/root.ts";

const BUILT = new Set(["node_modules", "dist", ".build", ".git", "results"]);

/** Paths of all files with one ending, relative to the repository. */
function filesEndingIn(ending: string, folder = root): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return BUILT.has(entry.name) ? [] : filesEndingIn(ending, path);
    return entry.name.endsWith(ending) ? [relative(root, path)] : [];
  });
}

function read(path: string): string {
  return readFileSync(join(root, path), "utf8");
}

/** Markdown without what stands in code. */
function prose(path: string): string {
  return read(path)
    .replace(/^```[\s\S]*?^```/gm, "")
    .replace(/`[^`\n]*`/g, "");
}

/** The fragment that hosting sites make from a heading. */
function fragmentOf(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, "")
    .trim()
    .replace(/\s/g, "-");
}

function fragmentsIn(path: string): Set<string> {
  const headings = read(path)
    .replace(/^```[\s\S]*?^```/gm, "")
    .matchAll(/^#+ (.+)$/gm);
  return new Set([...headings].map(([, heading]) => fragmentOf(heading ?? "")));
}

test("documents: the page of settings is made from the table (npm run docs)", () => {
  assert.equal(read("docs/configuration.md"), configurationMarkdown());
});

test("documents: every link between files resolves, its fragment included", () => {
  const files = new Set(filesEndingIn(""));
  const folders = new Set([...files].map((file) => dirname(file)));
  for (const path of filesEndingIn(".md")) {
    for (const [, target = ""] of prose(path).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target)) continue;
      const [file = "", fragment] = target.split("#");
      const linked = file === "" ? path : join(dirname(path), file).replace(/\/$/, "");
      assert.ok(files.has(linked) || folders.has(linked), `${path} links to ${target}`);
      if (fragment !== undefined) {
        assert.ok(fragmentsIn(linked).has(fragment), `${path} links to ${target}`);
      }
    }
  }
});

test("documents: the page of errors is made from the tables (npm run docs)", () => {
  assert.equal(read("docs/errors.md"), errorsMarkdown());
});

test("documents: every error code in the source is described, and every described code is in the source", () => {
  const used = new Set<string>();
  for (const path of filesEndingIn(".ts").filter((name) => name.startsWith("src/"))) {
    for (const [code] of read(path).matchAll(/\bERR_[A-Z0-9_]*[A-Z0-9]\b/g)) used.add(code);
  }
  const rows = [...errorsMarkdown().matchAll(/^\| `(ERR_\w+)` \|(?: .* \|)? (.+) \|$/gm)];
  assert.deepEqual(rows.map(([, code]) => code).sort(), [...used].sort());
  for (const [, code, meaning = ""] of rows) assert.ok(meaning.length >= 15, code);
});

test("documents: each decision record has a number of its own, a title and a status", () => {
  const records = filesEndingIn(".md").filter((path) => /^docs\/adr\/\d{4}-/.test(path));
  const numbers = records.map((path) => path.slice("docs/adr/".length).slice(0, 4));
  assert.equal(new Set(numbers).size, numbers.length, numbers.join(" "));
  for (const path of records) {
    const number = path.slice("docs/adr/".length).slice(0, 4);
    assert.match(
      read(path),
      new RegExp(`^# ${number}[:.] .+\n\nStatus: (accepted|superseded by )`),
      path,
    );
  }
});
