import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { ADMIN_SCOPES, ALL_SCOPES } from "../../../src/api/index.ts";
import { CLASS_ADMITS, type PrincipalKind, type RouteClass } from "../../../src/api/ports.ts";
import { mintToken, TOKEN_PREFIXES } from "../../../src/core/token.ts";
import { root } from "../../support/root.ts";

/** `file:line: text` of each line in some folders that fits, comments left out. */
function places(folders: readonly string[], fits: (line: string) => boolean): string[] {
  return folders.flatMap((folder) =>
    readdirSync(join(root, "src", folder), { recursive: true, encoding: "utf8" })
      .filter((path) => path.endsWith(".ts"))
      .sort()
      .flatMap((path) => {
        const lines = readFileSync(join(root, "src", folder, path), "utf8").split("\n");
        return lines.flatMap((line, index) =>
          !/^\s*(\*|\/\/|\/\*)/.test(line) && fits(line)
            ? [`src/${folder}/${path}:${index + 1}: ${line.trim()}`]
            : [],
        );
      }),
  );
}

const BYPASS =
  /default_?tenant|static_?user|skip_?auth|disable_?auth|no_?auth\b|backdoor|master_?key|admin_?password|test_?user|bypass/i;

test("credentials: there is no static user, no default tenant and no way past them", () => {
  assert.deepEqual(
    places(["api", "config", "cli", "core"], (line) => BYPASS.test(line)),
    [],
  );
  assert.ok(BYPASS.test("const DEFAULT_TENANT = 1") && BYPASS.test("options.skipAuth"));
});

test("credentials: no part of the API server reads the environment", () => {
  assert.deepEqual(
    places(["api"], (line) => /process\.env/.test(line)),
    [],
  );
});

test("credentials: what a client calls itself is read in one place, for logs", () => {
  const found = places(["api"], (line) => /headers(Distinct)?\[?\.?["']?user-?agent/i.test(line));
  assert.equal(found.length, 1, found.join("\n"));
  assert.match(found[0] ?? "", /^src\/api\/exchange\.ts/);
});

/** Two operands of which one is named like a secret, where the other is no constant. */
function comparesSecrets(line: string): boolean {
  for (const [, left = "", right = ""] of line.matchAll(/([\w.#?[\]"]+) [!=]==? ([\w.#?[\]"]+)/g)) {
    if (/^(undefined|null|true|false|""|"[^"]*"|-?\d+)$/.test(right)) continue;
    if (/^typeof$/.test(left) || /\.(length|kind|size|type)$/.test(left)) continue;
    if (/(secret|digest|password|csrf|\bmac|hmac|signature|token)$/i.test(left)) return true;
    if (/(secret|digest|password|csrf|\bmac|hmac|signature|token)$/i.test(right)) return true;
  }
  return false;
}

test("credentials: no secret is compared with an operator of the language", () => {
  assert.deepEqual(places(["api", "core"], comparesSecrets), []);
  for (const line of [
    "if (row.digest === presented) return;",
    "return found?.secretDigest !== secretDigest;",
    "token == other.token",
    "if (this.#secret === given)",
  ]) {
    assert.ok(comparesSecrets(line), line);
  }
  assert.ok(!comparesSecrets("if (token === undefined || this.#digest !== null)"));
});

test("credentials: one table says what opens what, and the page for users says the same", () => {
  const WORDS: Readonly<Record<PrincipalKind, string>> = {
    session: "login session",
    key: "API key",
    service: "machine token",
    device: "device token",
    internal: "internal secret",
  };
  for (const [name, kinds] of Object.entries(CLASS_ADMITS) as [RouteClass, PrincipalKind[]][]) {
    const words = kinds.map((kind) => WORDS[kind]).join(", ");
    const row = `| \`${name}\` | ${words === "" ? "nothing is asked for" : words} |`;
    assert.ok(page("api-keys.md").includes(row), row);
  }
});

function page(name: string): string {
  return readFileSync(join(root, "docs", name), "utf8");
}

test("credentials: the published pattern finds every token of ours, and nothing that is cut", () => {
  const published = /^\\bhwk_.*\\b$/m.exec(page("api-keys.md"))?.[0] ?? "";
  for (const kind of ["key", "device", "enrolment"] as const) {
    const pattern = new RegExp(published.replace("hwk_", TOKEN_PREFIXES[kind]));
    for (let count = 0; count < 100; count++) {
      const { text } = mintToken(kind);
      assert.equal(pattern.exec(`curl -H "Authorization: Bearer ${text}"`)?.[0], text);
      assert.equal(pattern.exec(text.slice(0, -1)), null);
      assert.equal(pattern.exec(`${text}0`), null);
    }
  }
});

test("credentials: the page for users has every scope, and marks those of administrators", () => {
  for (const scope of ALL_SCOPES) {
    const row = page("api-keys.md")
      .split("\n")
      .find((line) => line.startsWith(`| \`${scope}\` |`));
    assert.ok(row !== undefined, scope);
    assert.equal(/an administrator's/.test(row), ADMIN_SCOPES.has(scope), scope);
  }
});

test("audit log: every event that the source tells of is on its page", () => {
  const described = new Set(
    [...page("audit-log.md").matchAll(/`([a-z]+(?:_[a-z]+)+)`/g)].map(([, name]) => name),
  );
  const told = places(["api"], (line) => /\bevent: "[a-z_]+"/.test(line)).flatMap((place) =>
    [...place.matchAll(/\bevent: "([a-z_]+)"/g)].map(([, name]) => name),
  );
  assert.ok(told.includes("key_created"));
  assert.deepEqual(
    told.filter((name) => !described.has(name)),
    [],
  );
});
