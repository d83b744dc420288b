/** Two tenants: what is another's is answered as what does not exist, byte for byte, and stays as it was. */
import assert from "node:assert/strict";
import test from "node:test";
import type { Route } from "../../../src/api/route.ts";
import {
  bodyFor,
  MALFORMED,
  MISSING,
  makeHoldings,
  pathOf,
  snapshot,
} from "../../support/product/holdings.ts";
import { startProduct } from "../../support/product/product.ts";
import { type Answer, ask } from "../../support/relay/start-relay.ts";

/** Fields that differ between any two answers. */
const PASSING = new Set(["date", "x-request-id", "ratelimit-remaining", "ratelimit-reset"]);

function sameness({ status, headers, text }: Answer): string {
  const fields = Object.entries(headers).filter(([name]) => !PASSING.has(name));
  return JSON.stringify([status, fields, text.replace(/"request_id":"[^"]*"/, "")]);
}

test("each route answers a foreign id as a missing one, and a malformed one too", async (t) => {
  const product = await startProduct(t);
  const anna = await product.signIn("anna");
  const bob = await product.signIn("bob");
  const annas = await makeHoldings(anna);
  const bobs = await makeHoldings(bob);
  const before = await snapshot(product, anna, annas.key);
  const withIds = product.app.routes.filter(({ path }) => path.includes("/:"));
  assert.ok(withIds.length >= 15, "routes take ids");
  const cookie = `hawser_sid=${bob.browser.cookie("hawser_sid")}`;
  const credentials: readonly (readonly [string, Record<string, string>, Route["class"][]])[] = [
    ["session", { cookie, "x-hawser-csrf": "1" }, ["session", "key"]],
    ["key", { authorization: `Bearer ${bobs.key}` }, ["key"]],
  ];
  let compared = 0;
  for (const route of withIds) {
    const methods = route.method === "ANY" ? ["GET", "POST", "DELETE"] : [route.method];
    const body = bodyFor(route);
    const sent = body === undefined ? undefined : JSON.stringify(body);
    const type: Record<string, string> =
      sent === undefined ? {} : { "content-type": "application/json" };
    for (const [kind, headers, classes] of credentials) {
      if (!classes.includes(route.class)) continue;
      for (const method of methods) {
        const answers: string[] = [];
        for (const ids of [annas, MISSING, MALFORMED]) {
          const path = pathOf(route, ids);
          const answer = await ask(product.app.port, path, {
            method,
            headers: { ...headers, ...type },
            ...(sent === undefined ? {} : { body: sent }),
          });
          assert.equal(answer.status, 404, `${method} ${path} with a ${kind}`);
          answers.push(sameness(answer));
        }
        assert.equal(answers[0], answers[1], `${method} ${route.path} with a ${kind}`);
        assert.equal(answers[1], answers[2], `${method} ${route.path} with a ${kind}`);
        compared += 1;
      }
    }
  }
  t.diagnostic(`${compared} triples of answers are equal`);
  assert.equal(await snapshot(product, anna, annas.key), before);
});

test("at the edge a foreign device is answered as a missing one", async (t) => {
  const product = await startProduct(t);
  const annas = await makeHoldings(await product.signIn("anna"));
  const bobs = await makeHoldings(await product.signIn("bob"));
  const agent = await product.connect(annas.deviceToken);
  await agent.ready();
  const headers = { authorization: `Bearer ${bobs.key}` };
  const foreign = await ask(product.relay.port, `/d/${annas.deviceId}/hello`, { headers });
  const missing = await ask(product.relay.port, `/d/${MISSING.deviceId}/hello`, { headers });
  assert.equal(foreign.status, 404);
  assert.equal(sameness(foreign), sameness(missing));
  const own = await ask(product.relay.port, `/d/${annas.deviceId}/hello`, {
    headers: { authorization: `Bearer ${annas.key}` },
  });
  assert.equal(own.status, 200);
});

test("what a body says of tenant, owner or user is refused or without effect", async (t) => {
  const product = await startProduct(t);
  const anna = await product.signIn("anna");
  const bob = await product.signIn("bob");
  const { userId } = await makeHoldings(bob);
  for (const field of ["tenant_id", "tenant", "owner_id", "user_id"]) {
    const answer = await anna.call("POST", "/api/devices", { name: "x", [field]: userId });
    assert.equal(answer.status, 400, field);
    assert.ok(!answer.body.includes(userId), field);
  }
  const answer = await ask(product.app.port, `/api/devices?tenant_id=${userId}`, {
    headers: {
      cookie: `hawser_sid=${anna.browser.cookie("hawser_sid")}`,
      "x-tenant-id": userId,
      "x-hawser-tenant": userId,
    },
  });
  assert.equal(answer.status, 400);
});
