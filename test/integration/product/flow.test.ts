import assert from "node:assert/strict";
import test from "node:test";
import { startProduct } from "../../support/product/product.ts";
import { ask } from "../../support/relay/start-relay.ts";

test("the whole way: sign in, pair, connect, key, edge, revoke", { timeout: 60_000 }, async (t) => {
  const product = await startProduct(t);
  const anna = await product.signIn("anna");
  const me = await anna.json("GET", "/api/auth/me");
  assert.equal((me["user"] as { name: string }).name, "Name of anna");
  const code = await anna.json("POST", "/api/pairing-codes", {});
  const answer = await fetch(`${product.baseUrl}/api/pairing/exchange`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ code: code["code"], device: { name: "lamp" } }),
  });
  assert.equal(answer.status, 201);
  const paired = (await answer.json()) as { device_id: string; token: string; tunnel_url: string };
  const agent = await product.connect(paired.token);
  await agent.ready();
  const key = await anna.json("POST", "/api/keys", { name: "k", scopes: ["tunnel:use"] });
  const page = await ask(product.relay.port, `/d/${paired.device_id}/hello`, {
    headers: { authorization: `Bearer ${key["key"]}` },
  });
  assert.deepEqual([page.status, page.text], [200, "hello from the device\n"]);
});
