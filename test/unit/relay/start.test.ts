import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { root } from "../../support/root.ts";

const relay = pathToFileURL(join(root, "dist", "src", "relay", "index.js"));

test("start: a relay loads undici with its first call to the API server, not before it listens", () => {
  const script = `
    import { createRequire } from "node:module";
    await import(${JSON.stringify(relay.href)});
    console.log(JSON.stringify(Object.keys(createRequire(import.meta.url).cache)));
  `;
  const args = ["--input-type=module", "--eval", script];
  const loaded: string[] = JSON.parse(execFileSync(process.execPath, args, { encoding: "utf8" }));
  const ofPackage = (name: string) =>
    loaded.filter((file) => file.includes(`/node_modules/${name}/`));
  assert.ok(ofPackage("pino").length > 0, "packages that are needed at once are seen");
  assert.deepEqual(ofPackage("undici"), []);
});
