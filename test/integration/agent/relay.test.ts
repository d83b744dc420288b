import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { Agent as HttpAgent, type IncomingMessage, request as sendRequest } from "node:http";
import { type AddressInfo, connect, createServer } from "node:net";
import { type TestContext, test } from "node:test";
import { pino } from "pino";
import { CredentialsFile, RELAY_DEFAULTS, startRelay } from "../../../src/relay/index.ts";
import { patternBytes, sha256 } from "../../support/agent/local-service.ts";
import { bodyOf } from "../../support/agent/mini-relay.ts";
import { startAgent, startService } from "../../support/agent/path.ts";
import { SECRET, startTestRelay, type TestRelay } from "../../support/relay/start-relay.ts";
import { WAIT_MS } from "../../support/until.ts";

const MIB = 1024 * 1024;

/** What a rolling restart has in front: takes connections for whichever relay is ready. */
async function startFront(t: TestContext, port: number): Promise<{ port: number; target: number }> {
  const server = createServer((near) => {
    const far = connect(front.target, "127.0.0.1");
    near.on("error", () => far.destroy());
    far.on("error", () => near.destroy());
    near.pipe(far).pipe(near);
    t.after(() => near.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  const front = { port: (server.address() as AddressInfo).port, target: port };
  return front;
}

/** A second relay that knows the same devices and keys. */
async function startTwin(t: TestContext, first: TestRelay) {
  const logger = pino({ level: "silent" });
  const credentials = await CredentialsFile.open(first.credentialsPath, logger);
  t.after(() => credentials.close());
  const relay = await startRelay(
    {
      ...RELAY_DEFAULTS,
      listenHost: "127.0.0.1",
      listenPort: 0,
      internalPort: 0,
      internalSecret: SECRET,
    },
    { tunnelGate: credentials, callerGate: credentials, logger },
  );
  t.after(() => relay.close());
  return relay;
}

/** One request of the API client to the first device, over a connection of its own unless `agent` is given. */
function ask(
  port: number,
  first: TestRelay,
  path: string,
  body?: Buffer,
  agent: HttpAgent | false = false,
): Promise<IncomingMessage> {
  const device = first.devices[0];
  assert.ok(device !== undefined);
  return new Promise((resolve, reject) => {
    const request = sendRequest({
      port,
      agent,
      host: "127.0.0.1",
      method: body === undefined ? "GET" : "POST",
      path: `/d/${device.deviceId}${path}`,
      headers: { authorization: `Bearer ${first.key.text}` },
    });
    request.once("response", resolve);
    request.once("error", reject);
    request.end(body);
  });
}

async function startReal(t: TestContext, port?: (relay: TestRelay) => Promise<number>) {
  const service = await startService(t);
  const relay = await startTestRelay(t);
  const dialled = port === undefined ? relay.relay.port : await port(relay);
  const token = relay.devices[0]?.token.text;
  const { agent, log } = startAgent(t, `ws://127.0.0.1:${dialled}`, {
    token,
    to: service.url,
    stableMs: 0,
  });
  await agent.ready();
  return { service, relay, agent, log };
}

test("bodies of 32 MiB both ways through the real relay", async (t) => {
  const { relay } = await startReal(t);
  const { port } = relay.relay;
  const bytes = patternBytes(32 * MIB + 3);
  const down = await ask(port, relay, `/down/${bytes.length}`);
  assert.equal(down.statusCode, 200);
  const hash = createHash("sha256");
  for await (const chunk of down) hash.update(chunk as Buffer);
  assert.equal(hash.digest("hex"), sha256(bytes));
  const up = await bodyOf(await ask(port, relay, "/up", bytes));
  assert.equal(up.toString(), `${bytes.length} ${sha256(bytes)}`);
});

test("200 requests at once reuse streams and local connections", async (t) => {
  const { relay, service, agent } = await startReal(t);
  const clients = new HttpAgent({ keepAlive: true, maxSockets: 50 });
  t.after(() => clients.destroy());
  const answers = await Promise.all(
    Array.from({ length: 200 }, async (_, index) => {
      const answer = await ask(relay.relay.port, relay, `/hello/${index}`, undefined, clients);
      return (await bodyOf(answer)).toString();
    }),
  );
  assert.deepEqual(
    answers,
    Array.from({ length: 200 }, (_, index) => `hello ${index}`),
  );
  assert.ok(service.connections.count < 200, `${service.connections.count} local connections`);
  assert.ok(agent.streamCount <= 16 + 50, "the relay keeps 16 idle ones");
});

test("a local service that is away is 502 with stage open", async (t) => {
  const { relay, service } = await startReal(t);
  await service.close();
  t.mock.method(service, "close", () => Promise.resolve());
  const answer = await ask(relay.relay.port, relay, "/hello/1");
  assert.equal(answer.statusCode, 502);
  const problem = JSON.parse((await bodyOf(answer)).toString()) as Record<string, unknown>;
  assert.equal(problem["stage"], "open");
});

test("a wrong token is refused with 401, and tried slowly", async (t) => {
  const relay = await startTestRelay(t);
  const { agent } = startAgent(t, `ws://127.0.0.1:${relay.relay.port}`, {
    token: relay.key.text,
    to: "tcp://127.0.0.1:1",
  });
  const [event] = await once(agent, "disconnected");
  assert.equal(event.cause, "token_refused");
  assert.ok(event.retryInMs >= 48_000);
});

test("the second connection of a device displaces the first, which does not fight", async (t) => {
  const { relay, service, agent } = await startReal(t);
  const lost = once(agent, "disconnected");
  const second = startAgent(t, `ws://127.0.0.1:${relay.relay.port}`, {
    token: relay.devices[0]?.token.text,
    to: service.url,
  });
  await second.agent.ready();
  const [event] = await lost;
  assert.equal(event.cause, "displaced");
  assert.ok(event.retryInMs >= 48_000);
  const answer = await ask(relay.relay.port, relay, "/hello/1");
  assert.equal((await bodyOf(answer)).toString(), "hello 1");
});

test("rolling restart: no request fails, a long one finishes on the old relay", async (t) => {
  let front = { port: 0, target: 0 };
  const { relay, service, agent } = await startReal(t, async (first) => {
    front = await startFront(t, first.relay.port);
    return front.port;
  });
  const held = ask(front.port, relay, "/hold");
  await service.held(1);
  let restarted = false;
  let over = false;
  t.after(() => {
    over = true;
  });
  let served = 0;
  // The front stops sending to the old relay before that one drains; what it had sent is answered there.
  const running = new Set<Promise<void>>();
  const askOnce = async (): Promise<void> => {
    const answer = await ask(front.port, relay, `/hello/${served}`);
    assert.equal(answer.statusCode, 200);
    assert.match((await bodyOf(answer)).toString(), /^hello/);
    served += 1;
  };
  const loops = Array.from({ length: 4 }, async () => {
    while (!over && (!restarted || served < 400)) {
      const asked = askOnce();
      running.add(asked);
      await asked;
      running.delete(asked);
    }
  });
  const twin = await startTwin(t, relay);
  const moved = once(agent, "connected", { signal: AbortSignal.timeout(WAIT_MS) });
  front.target = twin.port;
  await Promise.race([Promise.all(running), ...loops]);
  const drained = relay.relay.drain();
  await moved;
  restarted = true;
  service.release();
  assert.equal((await bodyOf(await held)).toString(), "released");
  await Promise.all(loops);
  await drained;
  assert.equal(agent.state, "connected");
});
