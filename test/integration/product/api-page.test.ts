import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { apiMarkdown, declaredRoutes } from "../../../scripts/api-page.ts";
import { root } from "../../support/root.ts";

test("documents: the page of the API has every route, made from their declarations (npm run docs)", async () => {
  const routes = await declaredRoutes();
  const page = apiMarkdown(routes);
  assert.equal(readFileSync(join(root, "docs/api.md"), "utf8"), page);
  for (const { method, path } of [...routes.public, ...routes.internal]) {
    assert.ok(page.includes(`| \`${method} ${path}\` |`), `${method} ${path}`);
  }
});
