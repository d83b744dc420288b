/** What is up goes on while something else is away, and what was away is found again without a restart. */
import assert from "node:assert/strict";
import test from "node:test";
import { API_DEFAULTS } from "../../../src/api/index.ts";
import { lendPort } from "../../support/ports.ts";
import { skipWithoutPostgres, startPostgres } from "../../support/postgres.ts";
import { makeHoldings } from "../../support/product/holdings.ts";
import { startProduct } from "../../support/product/product.ts";
import { startTap } from "../../support/product/tap.ts";
import { ask } from "../../support/relay/start-relay.ts";

test("a database that is away: 503 with Retry-After, devices go on, and it is found again", {
  skip: skipWithoutPostgres(),
  timeout: 60_000,
}, async (t) => {
  const postgres = await startPostgres();
  t.after(() => postgres.stop());
  const direct = new URL(await postgres.createSpace());
  const port = await lendPort();
  const line = await startTap(t, port, Number(direct.port));
  const through = new URL(direct);
  through.port = String(port);
  const product = await startProduct(t, { databaseUrl: through.href });
  const anna = await product.signIn("anna");
  const { deviceId, deviceToken, key } = await makeHoldings(anna);
  const agent = await product.connect(deviceToken);
  await agent.ready();
  const bearer = { authorization: `Bearer ${key}` };
  const edge = () => ask(product.relay.port, `/d/${deviceId}/hello`, { headers: bearer });
  const ready = () => ask(product.app.port, "/readyz");
  assert.equal((await edge()).status, 200);
  assert.equal((await ready()).status, 200);

  line.setOpen(false);
  assert.equal((await ready()).status, 503);
  const answers = [
    await ask(product.app.port, "/api/pairing-codes", { headers: bearer }),
    await ask(product.app.port, "/api/pairing/exchange", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ code: `hwp_${"0".repeat(26)}`, device: {} }),
    }),
  ];
  for (const { status, headers, text } of answers) {
    assert.equal(status, 503, text);
    assert.ok(Number(headers["retry-after"]) > 0, text);
    assert.match(text, /"code":"unavailable"/);
  }
  const me = await anna.call("GET", "/api/auth/me");
  assert.equal(me.status, 503);
  assert.equal(me.headers["set-cookie"], undefined, "nobody is signed out by it");
  // Devices and the keys that the relay knows do not notice.
  assert.equal((await edge()).status, 200);
  assert.equal(agent.state, "connected");

  line.setOpen(true);
  assert.equal((await ready()).status, 200);
  assert.equal((await anna.call("GET", "/api/auth/me")).status, 200);
  const listed = await ask(product.app.port, "/api/devices", { headers: bearer });
  assert.equal(listed.status, 200);
  // The code's failure above was none: five of them would block the address.
  assert.match(listed.text, /"connected":true/);
});

test("whoever tries secrets at the internal listener does not lock the relay out", async (t) => {
  const product = await startProduct(t);
  const { deviceId, key, deviceToken } = await makeHoldings(await product.signIn("anna"));
  for (let at = 0; at < API_DEFAULTS.authFailuresMax + 1; at++) {
    const headers = { authorization: `Bearer guess-${at}` };
    const answer = await ask(product.app.internalPort, "/metrics", { headers });
    assert.equal(answer.status, 401);
  }
  const agent = await product.connect(deviceToken);
  await agent.ready();
  const headers = { authorization: `Bearer ${key}` };
  assert.equal((await ask(product.relay.port, `/d/${deviceId}/hello`, { headers })).status, 200);
});
