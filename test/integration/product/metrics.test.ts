/** What an operator sees of sign-ins, the identity provider and refusals, and that nobody can blow it up. */
import assert from "node:assert/strict";
import test from "node:test";
import { INTERNAL_SECRET, type Product, startProduct } from "../../support/product/product.ts";
import { ask } from "../../support/relay/start-relay.ts";

async function figures(product: Product): Promise<Map<string, number>> {
  const answer = await ask(product.app.internalPort, "/metrics", {
    headers: { authorization: `Bearer ${INTERNAL_SECRET}` },
  });
  assert.equal(answer.status, 200, answer.text);
  const lines = answer.text.split("\n").filter((line) => line.startsWith("hawser_api_"));
  return new Map(
    lines.map((line) => {
      const at = line.lastIndexOf(" ");
      return [line.slice("hawser_api_".length, at), Number(line.slice(at + 1))] as const;
    }),
  );
}

test("metrics: sign-ins by result, calls to the provider, live sessions, pairing failures, refusals", async (t) => {
  const product = await startProduct(t);
  const anna = await product.signIn("anna");
  await anna.call("GET", "/api/auth/callback?code=a&state=b");
  const exchange = await fetch(`${product.baseUrl}/api/pairing/exchange`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ code: `hwp_${"0".repeat(26)}`, device: {} }),
  });
  assert.equal(exchange.status, 404);
  await ask(product.app.port, "/api/devices");
  const seen = await figures(product);
  for (const [name, value] of [
    ['sign_ins_total{result="ok"}', 1],
    ['sign_ins_total{result="err_oidc_callback_invalid"}', 1],
    ['idp_calls_total{kind="discovery",result="answered"}', 1],
    ['idp_calls_total{kind="keys",result="answered"}', 1],
    ['idp_calls_total{kind="token",result="answered"}', 1],
    ['idp_calls_total{kind="userinfo",result="answered"}', 1],
    ["login_sessions", 1],
    ['audit_events_total{event="pairing_failed"}', 1],
    ['requests_total{class="key",status="401"}', 1],
  ] as const) {
    assert.equal(seen.get(name), value, name);
  }
});

test("metrics: whatever is asked, the number of series stays what it is", async (t) => {
  const product = await startProduct(t);
  const junk = async (round: number): Promise<void> => {
    for (let at = 0; at < 40; at++) {
      const odd = `${round}-${at}`;
      await ask(product.app.port, `/${odd}`);
      await ask(product.app.port, `/api/devices/${odd}/http/x`, {
        headers: { authorization: `Bearer hwk_${odd}`, "user-agent": odd, "x-request-id": odd },
      });
      await ask(product.app.port, `/api/auth/callback?error=${odd}&state=${odd}`);
      await ask(product.app.port, `/api/auth/login?return_to=/${odd}`, { method: "HEAD" });
    }
  };
  // Which is a request itself.
  await figures(product);
  await junk(0);
  const before = (await figures(product)).size;
  await junk(1);
  assert.equal((await figures(product)).size, before);
});
