import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer as createTcpServer } from "node:net";
import { test } from "node:test";
import { bodyOf } from "../../support/agent/mini-relay.ts";
import { startAgent, startPath, startRelay, startService } from "../../support/agent/path.ts";

test("after a cut the agent comes back, and requests with it", async (t) => {
  const service = await startService(t);
  const { relay, tunnel, log } = await startPath(t, { to: service.url });
  tunnel.cut();
  const next = await relay.nextTunnel();
  assert.equal((await bodyOf(await next.request("/hello/back"))).toString(), "hello back");
  const line = await log.line(/connection to the relay was lost/);
  assert.equal(line.fields["code"], "WS_1006");
});

test("go away: 200 requests in a row and none fails, the old tunnel finishes its own", async (t) => {
  const service = await startService(t);
  const { relay, tunnel, agent } = await startPath(t, { to: service.url, stableMs: 0 });
  const held = tunnel.request("/hold");
  await service.held(1);
  let current = tunnel;
  for (let index = 0; index < 200; index += 1) {
    if (index === 50) {
      const next = relay.nextTunnel();
      current.goAway();
      current = await next;
    }
    const response = await current.request(`/hello/${index}`);
    assert.equal((await bodyOf(response)).toString(), `hello ${index}`);
  }
  assert.equal(agent.state, "connected");
  service.release();
  assert.equal((await bodyOf(await held)).toString(), "released");
  await tunnel.ended;
  assert.equal(agent.state, "connected", "the old tunnel's end changes nothing");
  assert.equal(relay.tunnels.length, 2);
});

test("go away while the relay refuses new tunnels: the old one serves until one is let in", async (t) => {
  const service = await startService(t);
  const { relay, tunnel, agent, log } = await startPath(t, { to: service.url, stableMs: 0 });
  const held = tunnel.request("/hold");
  await service.held(1);
  relay.refusal = { status: 503 };
  tunnel.goAway();
  await log.line(/relay is busy and asks to wait \(HTTP_503\)/);
  assert.equal(agent.state, "draining");
  relay.refusal = null;
  const next = await relay.nextTunnel();
  assert.equal((await bodyOf(await next.request("/hello/x"))).toString(), "hello x");
  service.release();
  assert.equal((await bodyOf(await held)).toString(), "released");
});

for (const [status, cause] of [
  [401, "token_refused"],
  [403, "token_refused"],
  [429, "limited"],
  [503, "limited"],
  [500, "rejected"],
  [301, "rejected"],
] as const) {
  test(`a handshake answered with ${status} is ${cause}, and Retry-After is obeyed`, async (t) => {
    const relay = await startRelay(t);
    relay.refusal = { status, headers: { "retry-after": "100", location: relay.url } };
    const { agent } = startAgent(t, relay.url, { to: "tcp://127.0.0.1:1" });
    const [event] = await once(agent, "disconnected");
    assert.equal(event.cause, cause);
    assert.equal(event.code, `HTTP_${status}`);
    assert.ok(event.retryInMs >= 100_000 && event.retryInMs <= 100_100, `${event.retryInMs} ms`);
    assert.equal(relay.handshakes.length, 1);
  });
}

for (const [code, cause] of [
  [4403, "revoked"],
  [4409, "displaced"],
  [4410, "disconnected"],
  [1012, "restarting"],
  [1008, "protocol"],
] as const) {
  test(`a tunnel closed with ${code} is ${cause}`, async (t) => {
    const service = await startService(t);
    const { tunnel, agent } = await startPath(t, { to: service.url });
    const lost = once(agent, "disconnected");
    tunnel.closeWith(code, "told by the test");
    const [event] = await lost;
    assert.equal(event.cause, cause);
    assert.equal(event.code, `WS_${code}`);
    if (code === 4410) assert.ok(event.retryInMs <= 500, "comes back soon");
    else if (code >= 4000) assert.ok(event.retryInMs >= 48_000, "does not come back soon");
  });
}

test("streams of a lost tunnel are cut on the local side too", async (t) => {
  const service = await startService(t);
  const { tunnel, relay } = await startPath(t, { to: service.url });
  void tunnel.request("/hold").catch(() => {});
  await service.held(1);
  const aborted = once(service.server, "connection").catch(() => {});
  tunnel.cut();
  const next = await relay.nextTunnel();
  await bodyOf(await next.request("/hello/1"));
  await aborted;
});

test("a relay in the same yamux role is told of plainly", async (t) => {
  const relay = await startRelay(t, { role: "client" });
  const { agent, log } = startAgent(t, relay.url, {
    to: "tcp://127.0.0.1:1",
    yamuxRole: "client",
  });
  const tunnel = await relay.nextTunnel();
  const lost = once(agent, "disconnected");
  tunnel.open().on("error", () => {});
  const [event] = await lost;
  assert.equal(event.cause, "protocol");
  await log.line(/check that their --yamux-role differ/);
});

test("a text message ends the tunnel, and the agent comes back", async (t) => {
  const { relay, tunnel, log } = await startPath(t, { to: "tcp://127.0.0.1:1" });
  tunnel.sendText("no frame");
  await relay.nextTunnel();
  await log.line(/yamux error between agent and relay/);
});

test("a relay that never answers the handshake is given up", async (t) => {
  const silent = createTcpServer().listen(0, "127.0.0.1");
  await once(silent, "listening");
  t.after(() => silent.close());
  const address = silent.address();
  assert.ok(typeof address === "object" && address !== null);
  const { agent } = startAgent(t, `ws://127.0.0.1:${address.port}`, {
    to: "tcp://127.0.0.1:1",
    handshakeTimeoutMs: 20,
  });
  const [event] = await once(agent, "disconnected");
  assert.equal(event.code, "ERR_AGENT_HANDSHAKE_TIMEOUT");
  assert.equal(event.cause, "unreachable");
});

test("a relay that is not there is dialled again", async (t) => {
  const { agent } = startAgent(t, "ws://127.0.0.1:1", { to: "tcp://127.0.0.1:1" });
  for (let attempt = 0; attempt < 3; attempt += 1) {
    const [event] = await once(agent, "disconnected");
    assert.equal(event.code, "ECONNREFUSED");
  }
});

test("close() lets a running request finish, takes no new one, then ends", async (t) => {
  const service = await startService(t);
  const { tunnel, agent } = await startPath(t, { to: service.url });
  const held = tunnel.request("/hold");
  await service.held(1);
  const stopped = agent.close({ drainMs: 30_000 });
  assert.equal(agent.state, "stopping");
  service.release();
  assert.equal((await bodyOf(await held)).toString(), "released");
  tunnel.dropIdle();
  await stopped;
  await tunnel.ended;
  assert.equal(agent.state, "stopped");
});

test("close() without time to drain breaks a running request off", async (t) => {
  const service = await startService(t);
  const { tunnel, agent } = await startPath(t, { to: service.url });
  const held = assert.rejects(tunnel.request("/hold"));
  await service.held(1);
  await agent.close({ drainMs: 0 });
  await held;
});
