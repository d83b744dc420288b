import assert from "node:assert/strict";
import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { type TestContext, test } from "node:test";
import { disableUser, revokeApiKey, revokeDeviceTokens } from "../../../../src/api/store/index.ts";
import { activeDevice, person, TENANT } from "../../../support/api-store/people.ts";
import { apiKey } from "../../../support/relay-link/people.ts";
import { type Rig, startRig } from "../../../support/relay-link/rig.ts";
import { until } from "../../../support/until.ts";

/** How long a revocation may take to arrive. */
const LIMIT_MS = 2_000;

async function rigWithDevice(t: TestContext, options: Parameters<typeof startRig>[1] = {}) {
  const rig = await startRig(t, options);
  const ann = await person(rig.store, "ann");
  const device = await activeDevice(rig.store, ann);
  const key = await apiKey(rig.store, ann);
  return { rig, ann, device, key };
}

/** A request through the edge whose answer has begun and does not end. */
async function endless(rig: Rig, id: string, key: string) {
  const headers = { authorization: `Bearer ${key}` };
  const call = request({ host: "127.0.0.1", port: rig.edgePort, path: `/d/${id}/`, headers }).end();
  const [response] = await once(call, "response");
  await once(response, "data");
  response.on("error", () => {});
  const isOver = new Promise<void>((resolve) => response.on("close", resolve));
  return { isOver, response: response as IncomingMessage };
}

test("revoke: closes the live tunnel with a request in flight within 2 s, and the token opens none again", async (t) => {
  const { rig, device, key } = await rigWithDevice(t);
  const tunnel = await rig.connect(t, device.token.text, {
    http: (_request, response) => void response.write("begun"),
  });
  const { isOver, response } = await endless(rig, device.id, key.text);
  await tunnel.opened();
  const startedAt = performance.now();
  const revoked = await revokeDeviceTokens(rig.store, TENANT, device.id);
  assert.deepEqual(revoked, [device.token.ref]);
  await rig.changes.announce({ revoked: revoked ?? [] });
  assert.equal(await tunnel.closed, 4403);
  await isOver;
  assert.equal(response.complete, false);
  assert.ok(performance.now() - startedAt < LIMIT_MS);
  await assert.rejects(rig.connect(t, device.token.text), /refused with 401/);
});

test("revoke: a disabled user's tunnels and keys end within 2 s", async (t) => {
  const { rig, ann, device, key } = await rigWithDevice(t);
  const tunnel = await rig.connect(t, device.token.text, {
    http: (_request, response) => void response.end("ok"),
  });
  assert.equal((await rig.edge(device.id, key.text)).status, 200);
  const startedAt = performance.now();
  const disabled = await disableUser(rig.store, TENANT, ann.id);
  const { tokenRefs = [], keyRefs = [] } = disabled ?? {};
  await rig.changes.announce({ revoked: [...tokenRefs, ...keyRefs] });
  assert.equal(await tunnel.closed, 4403);
  assert.equal((await rig.edge(device.id, key.text)).status, 401);
  assert.ok(performance.now() - startedAt < LIMIT_MS);
});

test("revoke: a key that the edge has cached is refused as soon as the relay is told", async (t) => {
  const { rig, device, key } = await rigWithDevice(t);
  await rig.connect(t, device.token.text, {
    http: (_request, response) => void response.end("ok"),
  });
  assert.equal((await rig.edge(device.id, key.text)).status, 200);
  await revokeApiKey(rig.store, TENANT, key.ref);
  await rig.changes.announce({ revoked: [key.ref] });
  assert.equal((await rig.edge(device.id, key.text)).status, 401);
});

test("revoke: the relay is down for a while: the revocation waits, and is told when it is back", async (t) => {
  const { rig, device } = await rigWithDevice(t);
  await rig.stopRelay();
  await revokeDeviceTokens(rig.store, TENANT, device.id);
  await rig.changes.announce({ revoked: [device.token.ref] });
  assert.equal(rig.changes.size, 1);
  await rig.startRelay();
  await until(() => rig.changes.size === 0, "the change to be taken");
  await assert.rejects(rig.connect(t, device.token.text), /refused with 401/);
});

test("partition: the relay cannot reach the API server: tunnels stay, known tokens and keys stay good, others get 503", async (t) => {
  const { rig, device, key, ann } = await rigWithDevice(t, { gate: { recheckMs: 60_000 } });
  const other = await activeDevice(rig.store, ann);
  const answer = {
    http: (_request: unknown, response: { end(text: string): void }) => response.end("ok"),
  };
  const tunnel = await rig.connect(t, device.token.text, answer as never);
  assert.equal((await rig.edge(device.id, key.text)).status, 200);
  await rig.stopApi();
  // The relay notices by the first call that fails; the stranger is told to come again.
  await assert.rejects(rig.connect(t, other.token.text), /refused with 503/);
  assert.equal((await rig.edge(device.id, key.text)).status, 200);
  const again = await rig.connect(t, device.token.text, answer as never);
  assert.equal(await tunnel.closed, 4409);
  // A revocation still arrives the other way.
  await revokeDeviceTokens(rig.store, TENANT, device.id);
  await rig.changes.announce({ revoked: [device.token.ref] });
  assert.equal(await again.closed, 4403);
});

test("partition: the API server's word does not reach the relay: the re-check closes the tunnel", async (t) => {
  const { rig, device } = await rigWithDevice(t, { gate: { recheckMs: 50 } });
  const tunnel = await rig.connect(t, device.token.text);
  await revokeDeviceTokens(rig.store, TENANT, device.id);
  assert.equal(await tunnel.closed, 4403);
});

test("partition: the API server's word does not reach the relay: what runs for a key at the edge ends by the re-check", async (t) => {
  const { rig, ann, device, key } = await rigWithDevice(t, { gate: { recheckMs: 50 } });
  const tunnel = await rig.connect(t, device.token.text, {
    http: (_request, response) => void response.write("begun"),
  });
  const other = await apiKey(rig.store, ann);
  const [first, second] = [
    await endless(rig, device.id, key.text),
    await endless(rig, device.id, other.text),
  ];
  await revokeApiKey(rig.store, TENANT, key.ref);
  await first.isOver;
  assert.equal(first.response.complete, false);
  assert.equal(second.response.closed, false);
  await disableUser(rig.store, TENANT, ann.id);
  await second.isOver;
  assert.equal(second.response.complete, false);
  assert.equal(await tunnel.closed, 4403);
});

test("partition: back again, the relay re-checks what lives at once", async (t) => {
  const { rig, device, ann } = await rigWithDevice(t);
  const tunnel = await rig.connect(t, device.token.text);
  const other = await activeDevice(rig.store, ann);
  await rig.stopApi();
  await assert.rejects(rig.connect(t, other.token.text), /refused with 503/);
  await revokeDeviceTokens(rig.store, TENANT, device.id);
  await rig.startApi();
  assert.equal(await tunnel.closed, 4403);
});

test("--fail-closed-after: the API server is away for so long: tunnels end and nothing is good", async (t) => {
  const { rig, device, key } = await rigWithDevice(t, {
    gate: { failClosedAfterMs: 1, recheckMs: 50, callTimeoutMs: 5_000 },
  });
  const tunnel = await rig.connect(t, device.token.text);
  await rig.stopApi();
  assert.equal(await tunnel.closed, 1013);
  await assert.rejects(rig.connect(t, device.token.text), /refused with 503/);
  assert.equal((await rig.edge(device.id, key.text)).status, 503);
});
