/** The audit log of the whole product, as an administrator reads it. */
import assert from "node:assert/strict";
import test from "node:test";
import { startProduct } from "../../support/product/product.ts";

test("an administrator who reads the audit log finds what was done a moment before", async (t) => {
  const product = await startProduct(t);
  const anna = await product.signIn("anna");
  await product.app.store.query.updateTable("users").set({ role: "admin" }).execute();
  for (let round = 0; round < 3; round++) {
    const name = `press ${round}`;
    const made = await anna.call("POST", "/api/devices", { name });
    assert.equal(made.status, 201, made.body);
    const read = await anna.call("GET", "/api/audit?event=device_created&limit=1");
    assert.equal(read.status, 200, read.body);
    assert.equal(JSON.parse(read.body).events[0]?.detail?.name, name);
  }
});
