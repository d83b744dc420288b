import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { RelayClient } from "../../../src/api/index.ts";
import { mintToken } from "../../../src/core/token.ts";
import { RelayCall } from "../../support/forward/relay-call.ts";
import { startListOnly } from "../../support/relay/list-only.ts";
import { SECRET, startTestRelay } from "../../support/relay/start-relay.ts";

/** The client against the real relay. */

function clientOf(t: TestContext, port: number): RelayClient {
  const client = new RelayClient({ baseUrl: `http://127.0.0.1:${port}/`, secret: SECRET });
  t.after(() => client.destroy());
  return client;
}

const NOT_FOUND = { code: "ERR_RELAY_CLIENT_SESSION_NOT_FOUND" };

test("relay client: gets, lists and closes the sessions of a relay", async (t) => {
  const started = await startTestRelay(t, {}, 3);
  const client = clientOf(t, started.relay.internalPort);
  assert.deepEqual(await client.list(), { sessions: [], total: 0 });
  const devices = await Promise.all([0, 1, 2].map((index) => started.connect({}, index)));
  const refs = started.devices.map(({ token }) => token.ref);
  const [ref = ""] = refs;

  const session = await client.get(ref);
  assert.equal(session.token, ref);
  assert.equal(session.device_id, started.devices[0]?.deviceId);
  const { sessions, total } = await client.list();
  assert.deepEqual([sessions.map(({ token }) => token).sort(), total], [[...refs].sort(), 3]);
  assert.equal((await client.list({ userId: "u2" })).total, 1);
  assert.equal((await client.list({ limit: 2 })).sessions.length, 2);

  await client.close(ref);
  assert.equal(await devices[0]?.closed, 4410);
  await assert.rejects(client.get(ref), NOT_FOUND);
  await assert.rejects(client.close(ref), NOT_FOUND);
});

test("relay client: a session that drains is no session", async (t) => {
  const started = await startTestRelay(t);
  const device = await started.connect({ http: () => {} });
  const client = clientOf(t, started.relay.internalPort);
  const ref = started.devices[0]?.token.ref ?? "";
  const running = started.internal(`/internal/session/${ref}/forward/never`);
  await device.opened();
  await client.close(ref, { drainS: 30 });
  await assert.rejects(client.get(ref), NOT_FOUND);
  await client.close(ref);
  assert.equal((await running).status, 502);
});

test("relay client: announces what was revoked, and its tunnels close", async (t) => {
  const started = await startTestRelay(t, {}, 2);
  const device = await started.connect({});
  await started.connect({}, 1);
  const client = clientOf(t, started.relay.internalPort);
  const revoked = [started.devices[0]?.token.ref ?? "", mintToken("key").ref];
  assert.deepEqual(await client.announce({ revoked, changed: [], devices: [] }), { closed: 1 });
  assert.equal(await device.closed, 4403);
  assert.equal((await client.list()).total, 1);
});

test("relay client: a wrong secret is an error with the relay's status", async (t) => {
  const started = await startTestRelay(t);
  const baseUrl = `http://127.0.0.1:${started.relay.internalPort}`;
  const client = new RelayClient({ baseUrl, secret: "wrong" });
  t.after(() => client.destroy());
  await assert.rejects(client.list(), { code: "ERR_RELAY_CLIENT_STATUS", status: 401 });
});

test("relay client: forwards go over connections of their own, with its secret", async (t) => {
  const started = await startTestRelay(t);
  await started.connect({ http: (request, response) => void response.end(`hello ${request.url}`) });
  const client = clientOf(t, started.relay.internalPort);
  const ref = started.devices[0]?.token.ref ?? "";
  const lines = ["host: x", `authorization: ${client.authorization}`, "", ""].join("\r\n");
  const path = `${client.prefix}/internal/session/${ref}/forward/a`;
  const call = new RelayCall(client.forwards.take(), `GET ${path} HTTP/1.1\r\n${lines}`);
  await call.over();
  assert.equal(call.head?.status, 200);
  assert.equal(call.body, "hello /a");
});

test("relay client: walks over 25,000 sessions in three pages", async (t) => {
  const { port } = await startListOnly(t, 25_000);
  const { sessions, total } = await clientOf(t, port).list();
  assert.equal(total, 25_000);
  assert.equal(new Set(sessions.map(({ token }) => token)).size, 25_000);
});
