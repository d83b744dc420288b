import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import test from "node:test";
import { root } from "../support/root.ts";

/** Which folders of src a folder may import from. `types` marks those of which it may take types alone. */
const MAY_IMPORT: Readonly<
  Record<string, { folders: readonly string[]; types?: readonly string[] }>
> = {
  core: { folders: [] },
  mux: { folders: ["core"] },
  relay: { folders: ["core", "mux"] },
  agent: { folders: ["core", "mux"] },
  api: { folders: ["core"] },
  "access-proxy": { folders: ["core"] },
  config: { folders: ["core"], types: ["mux", "relay", "agent", "api", "access-proxy"] },
  cli: {
    folders: ["core", "mux", "relay", "agent", "api", "access-proxy", "config"],
  },
};
const FILE_LINES_MAX = 500;
/** Faces of parts that are complete in themselves and that no command builds yet. */
const NOT_YET_WIRED: readonly string[] = [];
/** Packages of development that one file may load, when it is asked to: installations go without them. */
const DEMO_ONLY: Readonly<Record<string, string>> = { "oidc-provider": "cli/demo-idp.ts" };

interface Import {
  readonly target: string;
  readonly typeOnly: boolean;
  /** Loaded when its line runs, and not with the file. */
  readonly isDynamic: boolean;
}

interface SourceFile {
  /** Relative to src, for example `relay/http1/index.ts`. */
  readonly path: string;
  readonly folder: string;
  readonly text: string;
  readonly imports: readonly Import[];
}

const IMPORT = /^(?:import|export)\b([^;"']*?)from\s*"([^"]+)"/gm;
const BARE_IMPORT = /^import\s*"([^"]+)"/gm;
const DYNAMIC_IMPORT = /\b(?:import|require)\(\s*"([^"]+)"/g;

/** True where the clause between `import` and `from` names types alone. */
function isTypeOnly(clause: string): boolean {
  if (/^\s*type\b/.test(clause)) return true;
  const named = /^\s*\{([\s\S]*)\}\s*$/.exec(clause)?.[1];
  if (named === undefined) return false;
  const names = named.split(",").map((name) => name.trim());
  return names.filter((name) => name !== "").every((name) => name.startsWith("type "));
}

function importsIn(text: string): Import[] {
  const found: Import[] = [];
  for (const [, clause = "", target = ""] of text.matchAll(IMPORT)) {
    found.push({ target, typeOnly: isTypeOnly(clause), isDynamic: false });
  }
  for (const [, target = ""] of text.matchAll(BARE_IMPORT)) {
    found.push({ target, typeOnly: false, isDynamic: false });
  }
  for (const [, target = ""] of text.matchAll(DYNAMIC_IMPORT)) {
    found.push({ target, typeOnly: false, isDynamic: true });
  }
  return found;
}

function readSource(): SourceFile[] {
  return readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".ts"))
    .sort()
    .map((path) => {
      const text = readFileSync(join(root, "src", path), "utf8");
      return { path, folder: path.split("/")[0] ?? "", text, imports: importsIn(text) };
    });
}

const files = readSource();
const byPath = new Map(files.map((file) => [file.path, file]));

/** The file in src that an import names, relative to src; null for packages and `node:`. */
function resolved(from: SourceFile, target: string): string | null {
  return target.startsWith(".") ? join(dirname(from.path), target) : null;
}

/** Everything that loading `start` loads, types left out; `atOnce` leaves out what is loaded later, if at all. */
function loadedFrom(
  start: readonly string[],
  atOnce = false,
): { files: Set<string>; packages: Set<string> } {
  const reached = new Set<string>();
  const packages = new Set<string>();
  const waiting = [...start];
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    const file = byPath.get(path);
    if (file === undefined || reached.has(path)) continue;
    reached.add(path);
    for (const { target, typeOnly, isDynamic } of file.imports) {
      if (typeOnly || (atOnce && isDynamic)) continue;
      const inside = resolved(file, target);
      if (inside === null) packages.add(target);
      else waiting.push(inside);
    }
  }
  return { files: reached, packages };
}

/** Packages that are not Node's own. */
function foreign(packages: ReadonlySet<string>): string[] {
  return [...packages].filter((name) => !name.startsWith("node:")).sort();
}

/** `file:line` of each match outside of comments, for files that `applies` to. */
function places(pattern: RegExp, applies: (file: SourceFile) => boolean): string[] {
  const found: string[] = [];
  for (const file of files.filter(applies)) {
    for (const [index, line] of file.text.split("\n").entries()) {
      if (/^\s*(\*|\/\/|\/\*)/.test(line)) continue;
      if (pattern.test(line)) found.push(`src/${file.path}:${index + 1}: ${line.trim()}`);
    }
  }
  return found;
}

function packageJson(): {
  dependencies: Record<string, string>;
  exports: Record<string, string | { default: string }>;
  bin: Record<string, string>;
} {
  return JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
}

test("layout: no room of the API server imports the face that all of them stand behind", () => {
  const imports = files
    .filter(({ path }) => /^api\/[^/]+\//.test(path))
    .flatMap((file) => file.imports.map(({ target }) => [file.path, resolved(file, target)]));
  assert.deepEqual(
    imports.filter(([, to]) => to === "api/index.ts" || to === "api/app.ts"),
    [],
  );
});

test("layout: the test reads imports of every form", () => {
  const text = `import { a } from "./a.ts";
import type { B } from "../b.ts";
import {
  type C,
  type D,
} from "../c.ts";
import { type E, f } from "../e.ts";
export * from "./g.ts";
export type { H } from "./h.ts";
import "./i.ts";
const j = await import("./j.ts");
`;
  assert.deepEqual(
    importsIn(text).map(({ target, typeOnly }) => `${target}${typeOnly ? " type" : ""}`),
    [
      "./a.ts",
      "../b.ts type",
      "../c.ts type",
      "../e.ts",
      "./g.ts",
      "./h.ts type",
      "./i.ts",
      "./j.ts",
    ],
  );
});

test("layout: every import names a file that exists, or a dependency", () => {
  const dependencies = new Set(Object.keys(packageJson().dependencies));
  for (const file of files) {
    for (const { target } of file.imports) {
      const inside = resolved(file, target);
      if (inside !== null) assert.ok(byPath.has(inside), `src/${file.path} imports ${target}`);
      else if (!target.startsWith("node:") && DEMO_ONLY[target] !== file.path) {
        assert.ok(dependencies.has(target), `src/${file.path} imports ${target}`);
      }
    }
  }
});

test("layout: a package of the demo alone is loaded when the demo runs", () => {
  for (const [name, path] of Object.entries(DEMO_ONLY)) {
    const text = byPath.get(path)?.text ?? "";
    assert.ok(text.includes(`await import("${name}")`), path);
    assert.doesNotMatch(text, new RegExp(`from "${name}"`), path);
  }
});

test("layout: folders import in one direction", () => {
  for (const file of files) {
    const rule = MAY_IMPORT[file.folder];
    assert.ok(rule !== undefined, `src/${file.folder} has no rule`);
    for (const { target, typeOnly } of file.imports) {
      const folder = resolved(file, target)?.split("/")[0];
      if (folder === undefined || folder === file.folder) continue;
      const allowed = rule.folders.includes(folder) || (typeOnly && rule.types?.includes(folder));
      assert.ok(allowed, `src/${file.path} must not import ${target}`);
    }
  }
});

test("layout: across folders index.ts alone is imported, except from core", () => {
  for (const file of files) {
    for (const { target, typeOnly } of file.imports) {
      const path = resolved(file, target);
      const folder = path?.split("/")[0];
      if (path === null || folder === file.folder || folder === "core") continue;
      const isOptions = file.folder === "config" && typeOnly && path === `${folder}/options.ts`;
      assert.ok(isOptions || path === `${folder}/index.ts`, `src/${file.path} imports ${target}`);
    }
  }
});

test("layout: a folder inside a folder is imported by its index.ts, where it has one", () => {
  for (const file of files) {
    for (const { target } of file.imports) {
      const path = resolved(file, target);
      const face = path === null ? "" : join(dirname(path), "index.ts");
      if (path === null || path.split("/").length < 3 || !byPath.has(face)) continue;
      const inside = `${dirname(file.path)}/`.startsWith(`${dirname(path)}/`);
      assert.ok(inside || path === face, `src/${file.path} imports ${target}`);
    }
  }
});

test("layout: mux has no socket, no clock, no timer and no package", () => {
  for (const file of files.filter(({ folder }) => folder === "mux")) {
    for (const { target } of file.imports) {
      const allowed =
        target.startsWith(".") || (file.path === "mux/duplex.ts" && target === "node:stream");
      assert.ok(allowed, `src/${file.path} imports ${target}`);
    }
  }
  const banned =
    /\b(Date\.now|new Date|performance\.|hrtime|setTimeout|setInterval|setImmediate|queueMicrotask|nextTick)\b/;
  assert.deepEqual(
    places(banned, ({ folder }) => folder === "mux"),
    [],
  );
});

test("layout: the agent loads nothing native", () => {
  const { files: loaded, packages } = loadedFrom(["agent/index.ts"]);
  assert.ok(!packages.has("uWebSockets.js"));
  assert.ok([...loaded].every((path) => !path.startsWith("relay/")));
  assert.deepEqual(
    places(/process\.dlopen|\.node"/, ({ path }) => loaded.has(path)),
    [],
  );
});

test("layout: a command loads no server but its own", () => {
  const commands = files.map(({ path }) => path).filter((path) => path.startsWith("cli/commands/"));
  assert.ok(commands.length > 15);
  const command = loadedFrom(["cli/main.ts", ...commands], true);
  const folders = new Set([...command.files].map((path) => path.split("/")[0]));
  assert.deepEqual([...folders].sort(), ["cli", "config", "core"]);
  assert.deepEqual(foreign(command.packages), ["commander", "zod"]);
  const agent = loadedFrom(["cli/actions/agent.ts"], true);
  assert.ok([...agent.files].every((path) => !/^(?:api|relay)\//.test(path)));
  assert.ok(!agent.packages.has("undici"));
  const relay = loadedFrom(["cli/actions/relay.ts"], true);
  assert.ok([...relay.files].every((path) => !/^(?:api|agent)\//.test(path)));
});

test("layout: a relay loads no package before it listens but those that it cannot listen without", () => {
  const relay = loadedFrom(["cli/main.ts", "cli/commands/relay.ts", "cli/actions/relay.ts"], true);
  assert.deepEqual(foreign(relay.packages), ["commander", "pino"]);
  const others = [...relay.files].filter(
    (path) => path.startsWith("cli/commands/") && path !== "cli/commands/relay.ts",
  );
  assert.deepEqual(others, []);
});

test("layout: uWebSockets.js is loaded in one file", () => {
  const loaders = files.filter(({ imports }) =>
    imports.some(({ target, typeOnly }) => target === "uWebSockets.js" && !typeOnly),
  );
  assert.ok(
    loaders.every(({ path }) => path === "relay/uws.ts"),
    loaders.join(),
  );
});

test("layout: api/store alone knows the database, and SQLite is opened in one place", () => {
  for (const file of files.filter(({ path }) => !path.startsWith("api/store/"))) {
    for (const { target } of file.imports) {
      const isOpener = file.path === "core/sqlite-file.ts" && target === "libsql";
      const isDatabase = ["kysely", "libsql", "pg"].includes(target);
      assert.ok(isOpener || !isDatabase, `src/${file.path} imports ${target}`);
    }
  }
  const openers = files.filter(({ imports }) => imports.some(({ target }) => target === "libsql"));
  assert.deepEqual(
    openers.map(({ path }) => path),
    ["core/sqlite-file.ts"],
  );
});

test("layout: only the command line writes to the console or ends the process", () => {
  const elsewhere = ({ folder }: SourceFile): boolean => folder !== "cli";
  assert.deepEqual(places(/\bconsole\.|process\.exit\b|process\.std(out|err)\b/, elsewhere), []);
});

test("layout: nothing switches the compiler or the linter off", () => {
  const everywhere = (): boolean => true;
  assert.deepEqual(places(/@ts-(ignore|expect-error|nocheck)|\bas any\b|: any\b/, everywhere), []);
  const comments = files.filter(({ text }) => /@ts-(ignore|expect-error|nocheck)/.test(text));
  assert.deepEqual(
    comments.map(({ path }) => path),
    [],
  );
});

test(`layout: no file of src is over ${FILE_LINES_MAX} lines`, () => {
  const long = files.filter(({ text }) => text.split("\n").length - 1 > FILE_LINES_MAX);
  assert.deepEqual(
    long.map(({ path }) => path),
    [],
  );
});

test("layout: every file of src is reached from a command or an export", () => {
  const { exports, bin } = packageJson();
  const targets = [
    ...Object.values(bin),
    ...Object.values(exports).map((target) =>
      typeof target === "string" ? target : target.default,
    ),
  ];
  const waiting = targets
    .map((target) => relative("dist/src", target).replace(/\.js$/, ".ts"))
    .filter((path) => path.endsWith(".ts"));
  for (const start of waiting) assert.ok(byPath.has(start), `package.json names src/${start}`);
  waiting.push(...NOT_YET_WIRED);
  const reached = new Set<string>();
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    const file = byPath.get(path);
    if (file === undefined || reached.has(path)) continue;
    reached.add(path);
    for (const { target } of file.imports) waiting.push(resolved(file, target) ?? "");
  }
  assert.deepEqual(
    files.map(({ path }) => path).filter((path) => !reached.has(path)),
    [],
  );
});

test("layout: examples import each other, faces of src, and packages of the product alone", () => {
  const dependencies = new Set(Object.keys(packageJson().dependencies));
  for (const path of readdirSync(join(root, "examples"), { recursive: true, encoding: "utf8" })) {
    if (!path.endsWith(".ts")) continue;
    const text = readFileSync(join(root, "examples", path), "utf8");
    assert.ok(text.split("\n").length - 1 <= FILE_LINES_MAX, `examples/${path} is too long`);
    for (const { target } of importsIn(text)) {
      const inside = target.startsWith(".") ? join("examples", dirname(path), target) : null;
      const isAllowed =
        inside === null
          ? target.startsWith("node:") || dependencies.has(target)
          : /^(examples\/.+|src\/[^/]+\/index)\.ts$/.test(inside);
      assert.ok(isAllowed, `examples/${path} imports ${target}`);
      assert.ok(inside === null || existsSync(join(root, inside)), `examples/${path}: ${target}`);
    }
  }
});

test("layout: no package runs a script when it is installed, and the lock file has digests and no addresses", () => {
  interface Locked {
    readonly hasInstallScript?: boolean;
    readonly resolved?: string;
    readonly integrity?: string;
    readonly dev?: boolean;
  }
  const lock: { packages: Record<string, Locked> } = JSON.parse(
    readFileSync(join(root, "package-lock.json"), "utf8"),
  );
  for (const [name, locked] of Object.entries(lock.packages)) {
    if (name === "") continue;
    assert.ok(locked.hasInstallScript !== true, `${name} has an install script`);
    assert.equal(locked.resolved, undefined, `${name} has a download address`);
    assert.ok(locked.dev === true || locked.integrity !== undefined, `${name} has no digest`);
  }
});

test("layout: a test awaits an event, or until() with its bound; it neither sleeps nor spins", () => {
  // Made for time itself: the bound, a line with a delay, and the timers of the process as a port.
  const timed = ["support/until.ts", "support/delay-proxy.ts", "support/oidc/ports.ts"];
  const spin = /while \([^\n]*\)[\s{]*await (turn|setImmediate|new Promise\S*?\((\S+ => )?set)/;
  for (const path of readdirSync(join(root, "test"), { recursive: true, encoding: "utf8" })) {
    if (!path.endsWith(".ts")) continue;
    const text = readFileSync(join(root, "test", path), "utf8");
    assert.doesNotMatch(text, spin, `test/${path} spins`);
    if (!timed.includes(path)) assert.doesNotMatch(text, /\bsetTimeout\(/, `test/${path} sleeps`);
  }
});

test("layout: test files carry a kind in their path and are found by the runner", () => {
  const kinds = new Set(["unit", "conformance", "fuzz", "sim", "integration", "interop"]);
  for (const path of readdirSync(join(root, "test"), { recursive: true, encoding: "utf8" })) {
    if (!path.endsWith(".test.ts")) continue;
    assert.ok(kinds.has(path.split("/")[0] ?? ""), `test/${path}`);
  }
  assert.ok(existsSync(join(root, "scripts", "test.ts")));
});
