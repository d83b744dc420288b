import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { Agent, get, type IncomingMessage } from "node:http";
import { test } from "node:test";
import { startHarness } from "../../support/forward/harness.ts";
import { ScriptedService } from "../../support/forward/scripted-service.ts";
import { Prng, seedFromEnvironment } from "../../support/mux/prng.ts";

const ROUNDS = 300;
const CLIENTS_MAX = 6;
const ADDRESSES = ["127.0.0.1", "127.0.0.2", "127.0.0.3"];

/** A client that keeps its one connection. */
interface Client {
  readonly address: string;
  readonly agent: Agent;
}

test("each request is told with the address of its own connection, whichever others are open", async (t) => {
  const seed = seedFromEnvironment(randomInt(2 ** 32));
  t.diagnostic(`HAWSER_SEED=${seed}`);
  const random = new Prng(seed);
  const service = await ScriptedService.start(({ socket, fields }) => {
    const body = fields.get("x-forwarded-for") ?? "";
    socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
  });
  t.after(() => service.close());
  const { relay, deviceId, key, agent } = await startHarness(t);
  await agent(service.port);

  const clients: Client[] = [];
  t.after(() => {
    for (const client of clients) client.agent.destroy();
  });
  const seenBy = async (client: Client): Promise<string> => {
    const asked = get({
      port: relay.port,
      path: `/d/${deviceId}/`,
      agent: client.agent,
      localAddress: client.address,
      headers: { authorization: `Bearer ${key}` },
    });
    const [response] = (await once(asked, "response")) as [IncomingMessage];
    let text = "";
    for await (const piece of response) text += String(piece);
    return text;
  };
  let alone = 0;
  let mixed = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const wish = random.below(10);
    // Stretches with one address alone, and stretches with all of them.
    const variety = Math.floor(round / 50) % 2 === 0 ? 1 : ADDRESSES.length;
    if (clients.length === 0 || (wish < 3 && clients.length < CLIENTS_MAX)) {
      const address = ADDRESSES[random.below(variety)] ?? "";
      clients.push({ address, agent: new Agent({ keepAlive: true, maxSockets: 1 }) });
    } else if (wish < 5) {
      const [gone] = clients.splice(random.below(clients.length), 1);
      gone?.agent.destroy();
    } else if (wish === 5 && round % 5 === 0) {
      // A device that dials in: its connection turns into a WebSocket.
      await agent(service.port);
    }
    const client = clients[random.below(Math.max(1, clients.length))];
    if (client === undefined) continue;
    assert.equal(await seenBy(client), client.address, `round ${round}`);
    if (new Set(clients.map(({ address }) => address)).size === 1) alone += 1;
    else mixed += 1;
  }
  assert.ok(alone > 50 && mixed > 50, `${alone} alone, ${mixed} mixed`);
});
