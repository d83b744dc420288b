/** Where pairing needs approval: a device connects and shows itself, and nobody reaches it before a person has said so. */
import assert from "node:assert/strict";
import test from "node:test";
import { makeHoldings } from "../../support/product/holdings.ts";
import { type Person, type Product, startProduct } from "../../support/product/product.ts";
import { type Answer, ask } from "../../support/relay/start-relay.ts";
import { until } from "../../support/until.ts";

interface Paired {
  readonly id: string;
  readonly token: string;
}

async function exchange(product: Product, code: string): Promise<Paired> {
  const answer = await fetch(`${product.baseUrl}/api/pairing/exchange`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ code, device: { name: "lamp", model: "L-2" } }),
  });
  assert.equal(answer.status, 201);
  const { device_id: id, token } = (await answer.json()) as { device_id: string; token: string };
  return { id, token };
}

async function started(t: Parameters<typeof startProduct>[0]) {
  const product = await startProduct(t, {
    api: (options) => ({ ...options, devices: { ...options.devices, needsApproval: true } }),
  });
  const anna = await product.signIn("anna");
  const holdings = await makeHoldings(anna);
  const bearer = { authorization: `Bearer ${holdings.key}` };
  const edge = (id: string): Promise<Answer> =>
    ask(product.relay.port, `/d/${id}/hello`, { headers: bearer });
  const forward = (id: string): Promise<Answer> =>
    ask(product.app.port, `/api/devices/${id}/http/hello`, { headers: bearer });
  return { product, anna, holdings, edge, forward };
}

const shown = (person: Person, id: string) => person.json("GET", `/api/devices/${id}`);

test("approval: a paired device is shown with model and address, and reached once it is approved", async (t) => {
  const { product, anna, holdings, edge, forward } = await started(t);
  const device = await exchange(product, holdings.code);
  const agent = await product.connect(device.token);
  await agent.ready();
  const told = () => product.auditLines.some((line) => line.includes("tunnel_connected"));
  await until(told, "the API server hears that it is connected");
  const before = await shown(anna, device.id);
  assert.deepEqual(
    [before["approved"], before["connected"], before["model"], before["address"]],
    [false, true, "L-2", "127.0.0.1"],
  );
  // As if it were not there, to whoever calls; the tenant's people are told why.
  assert.equal((await edge(device.id)).status, 404);
  const refused = await forward(device.id);
  assert.equal(refused.status, 409);
  assert.match(refused.text, /"code":"device_unapproved"/);

  const approved = await anna.json("POST", `/api/devices/${device.id}/approve`);
  assert.equal(approved["approved"], true);
  assert.equal((await edge(device.id)).text, "hello from the device\n");
  assert.equal((await forward(device.id)).text, "hello from the device\n");
  assert.equal(agent.state, "connected", "its tunnel is the same");
  assert.ok(product.auditLines.some((line) => line.includes("device_approved")));
  // Once more changes nothing.
  assert.equal((await anna.call("POST", `/api/devices/${device.id}/approve`)).status, 200);
  assert.equal((await edge(device.id)).status, 200);
});

test("approval: a device that is not wanted is deleted, and its tunnel ends", async (t) => {
  const { product, anna, holdings, edge } = await started(t);
  const device = await exchange(product, holdings.code);
  const agent = await product.connect(device.token);
  await agent.ready();
  await anna.json("DELETE", `/api/devices/${device.id}`);
  await until(() => agent.state !== "connected", "the tunnel ends");
  assert.equal((await edge(device.id)).status, 404);
  assert.equal((await anna.call("POST", `/api/devices/${device.id}/approve`)).status, 404);
});

test("approval: what people make themselves, or enrol by a key, needs none", async (t) => {
  const { product, anna, holdings, edge } = await started(t);
  const enrolled = await exchange(product, holdings.enrolmentKey);
  for (const { id, token } of [enrolled, { id: holdings.deviceId, token: holdings.deviceToken }]) {
    await (await product.connect(token)).ready();
    assert.equal((await shown(anna, id))["approved"], true);
    const answer = await edge(id);
    assert.equal(answer.status, 200, answer.text);
  }
});
