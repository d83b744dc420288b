/** The description of the whole product, as programs get it. */
import assert from "node:assert/strict";
import test from "node:test";
import { Validator } from "@seriousme/openapi-schema-validator";
import { METHODS } from "../../../src/api/route.ts";
import { startProduct } from "../../support/product/product.ts";

interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly responses: Readonly<Record<string, unknown>>;
  readonly security: readonly Readonly<Record<string, unknown>>[];
}
type Paths = Readonly<Record<string, Readonly<Record<string, Operation>>>>;

test("the description of the product is valid OpenAPI 3.1 and has each route, and no other", async (t) => {
  const product = await startProduct(t);
  const answer = await fetch(`${product.baseUrl}/api/openapi.json`);
  assert.equal(answer.status, 200);
  const description = (await answer.json()) as { readonly paths: Paths };
  const validator = new Validator();
  const result = await validator.validate(description);
  assert.deepEqual(result.errors ?? [], []);
  assert.equal(result.valid, true);
  assert.equal(validator.version, "3.1");

  const described = Object.entries(description.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({ method, path, operation })),
  );
  const held = product.app.routes.flatMap(({ method, path }) =>
    (method === "ANY" ? METHODS : [method]).map(
      (each) => `${each} ${path.replace(/\/[:*](\w+)/g, "/{$1}")}`,
    ),
  );
  const names = described.map(({ method, path }) => `${method.toUpperCase()} ${path}`);
  assert.deepEqual(names.sort(), held.sort());
  const ids = described.map(({ operation }) => operation.operationId);
  assert.equal(new Set(ids).size, ids.length);
  for (const { path, operation } of described) {
    assert.notEqual(operation.summary, "", path);
    assert.ok(Object.keys(operation.responses).length >= 2, `${path} says what it answers`);
  }
  // What is open is what the product declares open, and nothing of the internal listener is here.
  const open = described.filter(({ operation }) => operation.security.length === 0);
  const isOpen = ({ class: name }: { readonly class: string }): boolean =>
    name === "public" || name === "page";
  assert.equal(open.length, product.app.routes.filter(isOpen).length);
  assert.ok(held.every((name) => !name.includes("/internal")));
});
