import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { patternBytes, sha256 } from "../../support/agent/local-service.ts";
import { bodyOf } from "../../support/agent/mini-relay.ts";
import { startAgent, startPath, startRelay, startService } from "../../support/agent/path.ts";
import { makeCertificate } from "../../support/agent/tls.ts";

const certificate = makeCertificate();
const inCi = (process.env["CI"] ?? "") !== "";
const skip = certificate === null && !inCi ? "openssl is not installed" : false;

function pem(): { key: string; cert: string } {
  assert.ok(certificate !== null, "openssl is required in CI");
  return certificate;
}

test("wss:// with the relay's own certificate as --ca", { skip }, async (t) => {
  const service = await startService(t);
  const tls = pem();
  const { tunnel } = await startPath(t, { to: service.url, ca: tls.cert }, { tls });
  const bytes = patternBytes(4 * 1024 * 1024);
  const down = await bodyOf(await tunnel.request(`/down/${bytes.length}`));
  assert.equal(sha256(down), sha256(bytes));
  const up = await bodyOf(await tunnel.request("/up", { method: "POST" }, bytes));
  assert.equal(up.toString(), `${bytes.length} ${sha256(bytes)}`);
});

test("wss:// with a certificate that nobody vouches for is refused", { skip }, async (t) => {
  const relay = await startRelay(t, { tls: pem() });
  const { agent, log } = startAgent(t, relay.url, { to: "tcp://127.0.0.1:1" });
  const [event] = await once(agent, "disconnected");
  assert.equal(event.cause, "tls");
  assert.equal(event.code, "DEPTH_ZERO_SELF_SIGNED_CERT");
  await log.line(/TLS to the relay failed: check its certificate and --ca/);
  assert.equal(relay.handshakes.length, 0, "the token was not sent");
});

test("wss:// to a port that speaks no TLS", { skip }, async (t) => {
  const relay = await startRelay(t);
  const { agent } = startAgent(t, relay.url.replace("ws:", "wss:"), { to: "tcp://127.0.0.1:1" });
  const [event] = await once(agent, "disconnected");
  assert.ok(["tls", "unreachable"].includes(event.cause));
});

test("an https:// service, checked against localCa", { skip }, async (t) => {
  const tls = pem();
  const service = await startService(t, tls);
  const { tunnel } = await startPath(t, { to: service.url, localCa: tls.cert });
  const bytes = patternBytes(2 * 1024 * 1024);
  const echoed = await bodyOf(await tunnel.request("/echo", { method: "POST" }, bytes));
  assert.equal(sha256(echoed), sha256(bytes));
  assert.equal((await bodyOf(await tunnel.request("/hello/2"))).toString(), "hello 2");
  assert.equal(service.connections.count, 1);
});

test("an https:// service with an unknown certificate is not spoken to", { skip }, async (t) => {
  const service = await startService(t, pem());
  const { tunnel, log } = await startPath(t, { to: service.url });
  await assert.rejects(tunnel.request("/hello/1"));
  await log.line(/cannot be reached \(DEPTH_ZERO_SELF_SIGNED_CERT\)/);
});

test("a running TLS connection is cut when the relay resets the stream", { skip }, async (t) => {
  const tls = pem();
  const service = await startService(t, tls);
  const { tunnel } = await startPath(t, { to: service.url, localCa: tls.cert });
  const closed = new Promise<void>((resolve) => {
    service.server.on("secureConnection", (socket) => {
      socket.on("close", () => resolve());
      socket.on("error", () => {});
    });
  });
  const request = tunnel.request("/hold").catch(() => {});
  await service.held(1);
  tunnel.dropAll();
  await request;
  await closed;
});
