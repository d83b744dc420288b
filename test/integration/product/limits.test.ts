import assert from "node:assert/strict";
import test from "node:test";
import { startProduct } from "../../support/product/product.ts";

test("limits: the request rates that the operator sets are those that callers meet", async (t) => {
  const rates = { session: 7, key: 600, service: 600, device: 600 };
  const product = await startProduct(t, { api: (options) => ({ ...options, rates }) });
  const ann = await product.signIn("ann");
  const first = await ann.call("GET", "/api/devices");
  assert.deepEqual([first.status, first.headers["ratelimit-limit"]], [200, "7"]);
  const statuses: number[] = [];
  for (let count = 0; count < 8; count++) {
    statuses.push((await ann.call("GET", "/api/devices")).status);
  }
  assert.equal(statuses.at(-1), 429);
});
