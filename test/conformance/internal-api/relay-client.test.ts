import assert from "node:assert/strict";
import type { IncomingMessage, ServerResponse } from "node:http";
import { type TestContext, test } from "node:test";
import { inspect } from "node:util";
import { RelayCallError, RelayClient, type RelayClientOptions } from "../../../src/api/index.ts";
import type { SessionSummary } from "../../../src/core/contract.ts";
import { type ScriptedServer, startScriptedServer } from "../../support/api/scripted-server.ts";
import { lendPort } from "../../support/ports.ts";
import { until } from "../../support/until.ts";

/** The rows K16, K17, F5, F6 and A4 of seed-contract section 3 that the client owes, by odd answers. */

const SECRET = "canary-of-the-internal-secret-0123456789";
const REF = "vAc_7Gk2mP0q";

function summaryOf(index: number): SessionSummary {
  return {
    token: `vAc_${String(index).padStart(8, "0")}`,
    user_id: "u1",
    device_id: "ptvc6yfze3cyql65",
    connected_at: "2026-11-22T04:10:49.432Z",
    last_heartbeat: "2026-11-22T04:11:02.118Z",
    remote_addr: "192.0.2.7:0",
  };
}

function clientOf(
  t: TestContext,
  baseUrl: string,
  options: Partial<RelayClientOptions> = {},
): RelayClient {
  const client = new RelayClient({ baseUrl, secret: SECRET, ...options });
  t.after(() => client.destroy());
  return client;
}

/** A client of a server that answers every call with this. */
async function answering(
  t: TestContext,
  status: number,
  body: string,
): Promise<{ client: RelayClient; server: ScriptedServer }> {
  const server = await startScriptedServer(t, (_request, response) => {
    response.writeHead(status, { "content-type": "application/json" }).end(body);
  });
  return { client: clientOf(t, server.url), server };
}

/** The error that a call rejects with. */
async function failure(call: Promise<unknown>): Promise<RelayCallError> {
  const error = await call.then(
    () => assert.fail("the call succeeded"),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof RelayCallError, String(error));
  return error;
}

test("K16: all slashes at the end of the base URL are cut, a path in front stays", async (t) => {
  const server = await startScriptedServer(t, (_request, response) => {
    response.end('{"sessions":[],"total":0}');
  });
  const client = clientOf(t, `${server.url}/relay/a///`);
  assert.equal(client.baseUrl, `${server.url}/relay/a`);
  await client.list({ limit: 5 });
  assert.deepEqual(server.calls, ["GET /relay/a/internal/sessions?limit=5"]);
});

test("F5: a base URL that cannot be used is found at construction, and is not shown", () => {
  for (const baseUrl of [
    "",
    "relay.example",
    "ftp://relay.example",
    "http://user:canary@relay.example",
    "http://relay.example?x=canary",
    "http://relay.example#canary",
  ]) {
    assert.throws(
      () => new RelayClient({ baseUrl, secret: SECRET }),
      (error: unknown) =>
        error instanceof RelayCallError &&
        error.code === "ERR_RELAY_CLIENT_BASE_URL" &&
        !inspect(error).includes("canary"),
      baseUrl,
    );
  }
});

test("K16: an empty token is an error before any network call; others are escaped", async (t) => {
  const { client, server } = await answering(t, 404, "{}");
  for (const call of [client.get(""), client.close("")]) {
    assert.equal((await failure(call)).code, "ERR_RELAY_CLIENT_NO_TOKEN");
  }
  assert.deepEqual(server.calls, []);
  await failure(client.get("a/b?c#d e"));
  await failure(client.close("../x"));
  assert.deepEqual(server.calls, [
    "GET /internal/session/a%2Fb%3Fc%23d%20e",
    "POST /internal/session/..%2Fx/close",
  ]);
});

test("K16: a call whose body does not come ends in time, and so does one without an answer", async (t) => {
  const server = await startScriptedServer(t, (request, response) => {
    if (request.url?.endsWith("/close")) return;
    response.writeHead(200).write('{"token":"');
  });
  const client = clientOf(t, server.url, { timeoutMs: 50 });
  for (const call of [client.get(REF), client.close(REF), client.list()]) {
    const error = await failure(call);
    assert.equal(error.code, "ERR_RELAY_CLIENT_TIMEOUT");
    assert.match(error.message, /^(?:GET|POST) \/internal\/session/);
  }
});

test("K16: the limit is for a whole call: a body that trickles on does not stretch it", async (t) => {
  const server = await startScriptedServer(t, (_request, response) => {
    response.writeHead(200);
    const timer = setInterval(() => response.write(" "), 5);
    response.on("close", () => clearInterval(timer));
  });
  const error = await failure(clientOf(t, server.url, { timeoutMs: 60 }).get(REF));
  assert.equal(error.code, "ERR_RELAY_CLIENT_TIMEOUT");
});

test("K16: every call takes a signal; its reason is the cause", async (t) => {
  let tellAsked = (): void => {};
  const asked = new Promise<void>((resolve) => {
    tellAsked = resolve;
  });
  const server = await startScriptedServer(t, () => tellAsked());
  const client = clientOf(t, server.url);
  const controller = new AbortController();
  const { signal } = controller;
  const changes = { revoked: [], changed: [], devices: [] };
  const calls = [
    failure(client.get(REF, { signal })),
    failure(client.close(REF, { signal })),
    failure(client.list({ signal })),
    failure(client.list({ limit: 1, signal })),
    failure(client.announce(changes, { signal })),
  ];
  await asked;
  const reason = new Error("the caller left");
  controller.abort(reason);
  for (const error of await Promise.all(calls)) {
    assert.equal(error.code, "ERR_RELAY_CLIENT_ABORTED");
    assert.equal(error.cause, reason);
  }
  const before = server.calls.length;
  assert.equal((await failure(client.get(REF, { signal }))).code, "ERR_RELAY_CLIENT_ABORTED");
  assert.equal(server.calls.length, before);
});

test("K17: get takes connected:false and 404 for no session", async (t) => {
  const detail = { ...summaryOf(1), connected: true };
  const good = await answering(t, 200, JSON.stringify(detail));
  assert.deepEqual(await good.client.get(REF), detail);
  const draining = await answering(t, 200, JSON.stringify({ ...detail, connected: false }));
  const missing = await answering(t, 404, '{"code":"ERR_RELAY_NO_SESSION"}');
  for (const { client } of [draining, missing]) {
    const error = await failure(client.get(REF));
    assert.equal(error.code, "ERR_RELAY_CLIENT_SESSION_NOT_FOUND");
  }
});

test("K17: close takes 404 for no session, and passes the drain on", async (t) => {
  const { client } = await answering(t, 404, "");
  assert.equal((await failure(client.close(REF))).code, "ERR_RELAY_CLIENT_SESSION_NOT_FOUND");
  const good = await answering(t, 200, '{"closed":true}');
  await good.client.close(REF);
  await good.client.close(REF, { drainS: 5 });
  assert.deepEqual(good.server.calls, [
    `POST /internal/session/${REF}/close`,
    `POST /internal/session/${REF}/close?drain=5`,
  ]);
});

test("K17: sessions that are missing or null are an empty list; 404 is an error like any other", async (t) => {
  for (const body of ["{}", '{"sessions":null}', '{"sessions":null,"total":0}']) {
    const { client } = await answering(t, 200, body);
    assert.deepEqual(await client.list(), { sessions: [], total: 0 });
  }
  const { client } = await answering(t, 404, "nothing here");
  const error = await failure(client.list());
  assert.equal(error.code, "ERR_RELAY_CLIENT_STATUS");
  assert.equal(error.status, 404);
});

test("K17: another status is an error that names call and status and carries 1,024 bytes of the body at most", async (t) => {
  const body = "x".repeat(1_024) + "never".repeat(100);
  const { client } = await answering(t, 503, body);
  const calls: [Promise<unknown>, string][] = [
    [client.get(REF), `GET /internal/session/${REF}`],
    [client.close(REF), `POST /internal/session/${REF}/close`],
    [client.list({ userId: "u1" }), "GET /internal/sessions"],
    [client.announce({ revoked: [], changed: [], devices: [] }), "POST /internal/changes"],
  ];
  for (const [call, name] of calls) {
    const error = await failure(call);
    assert.equal(error.code, "ERR_RELAY_CLIENT_STATUS");
    assert.equal(error.call, name);
    assert.equal(error.status, 503);
    assert.ok(error.message.startsWith(`${name} (status 503)`), error.message);
    assert.equal(error.body, "x".repeat(1_024));
    assert.ok(!error.message.includes("xxx"), "the message has nothing of the body");
  }
});

test("K17: a transport error and JSON that is none name the call and keep the cause", async (t) => {
  const refused = await failure(clientOf(t, `http://127.0.0.1:${await lendPort()}`).get(REF));
  assert.equal(refused.code, "ERR_RELAY_CLIENT_TRANSPORT");
  assert.equal(refused.call, `GET /internal/session/${REF}`);
  assert.equal((refused.cause as NodeJS.ErrnoException).code, "ECONNREFUSED");

  const cutting = await startScriptedServer(t, (_request, response) => {
    response.writeHead(200, { "content-length": "100" }).write("{");
    response.socket?.destroy();
  });
  const cut = await failure(clientOf(t, cutting.url).list());
  assert.equal(cut.code, "ERR_RELAY_CLIENT_TRANSPORT");
  assert.ok(cut.cause instanceof Error);

  const { client } = await answering(t, 200, "{canary");
  for (const call of [client.get(REF), client.list()]) {
    const error = await failure(call);
    assert.equal(error.code, "ERR_RELAY_CLIENT_ANSWER");
    assert.ok(error.cause instanceof SyntaxError);
    assert.ok(!inspect(error).includes("canary"), "the body stays out of it");
  }
});

test("K17: JSON of another shape is an error", async (t) => {
  for (const body of ["null", "[]", "1", '"x"', '{"connected":true}', '{"token":"x"}']) {
    const { client } = await answering(t, 200, body);
    assert.equal((await failure(client.get(REF))).code, "ERR_RELAY_CLIENT_ANSWER", body);
  }
  for (const body of ["null", "[]", '{"sessions":{}}', '{"sessions":[1]}', '{"next":1}']) {
    const { client } = await answering(t, 200, body);
    assert.equal((await failure(client.list())).code, "ERR_RELAY_CLIENT_ANSWER", body);
  }
});

test("K17: an answer over the limit of bodies is given up", async (t) => {
  const server = await startScriptedServer(t, (_request, response) => {
    const piece = Buffer.alloc(1 << 20, 0x20);
    const write = (): void => {
      while (!response.destroyed && response.write(piece));
    };
    response.writeHead(200).on("drain", write);
    write();
  });
  const error = await failure(clientOf(t, server.url).list());
  assert.equal(error.code, "ERR_RELAY_CLIENT_ANSWER");
  assert.match(String(error.cause), /more than 16777216 bytes/);
});

test("F6: bodies are read to their end whatever the status, so that one connection serves all calls", async (t) => {
  const answers: [number, string][] = [
    [500, "e".repeat(60_000)],
    [404, "n".repeat(5_000)],
    [200, `{"closed":true,"more":"${"m".repeat(5_000)}"}`],
    [200, "{not json"],
  ];
  let asked = 0;
  const server = await startScriptedServer(t, (_request, response) => {
    const [status, body] = answers[asked++ % answers.length] as [number, string];
    response.writeHead(status).end(body);
  });
  // A pool that may have one only would stall, or make another, for each that cannot be used again.
  const client = clientOf(t, server.url, { connectionsMax: 1 });
  const codes: string[] = [];
  for (let round = 0; round < 2; round++) {
    codes.push((await failure(client.get(REF))).code);
    codes.push((await failure(client.close(REF))).code);
    await client.close(REF);
    codes.push((await failure(client.list())).code);
  }
  assert.deepEqual(codes.slice(0, 3), [
    "ERR_RELAY_CLIENT_STATUS",
    "ERR_RELAY_CLIENT_SESSION_NOT_FOUND",
    "ERR_RELAY_CLIENT_ANSWER",
  ]);
  assert.equal(server.calls.length, 8);
  assert.equal(server.connections(), 1);
});

test("K15: forwards have connections of their own: a slow one does not keep a revocation waiting", async (t) => {
  const held = new Set<ServerResponse>();
  const server = await startScriptedServer(t, (request, response) => {
    if (request.url === "/slow") held.add(response);
    else response.end(JSON.stringify({ closed: 1 }));
  });
  const client = clientOf(t, server.url, { connectionsMax: 1, forwardConnectionsMax: 1 });
  const slow = client.dispatcher.request({ origin: server.url, path: "/slow", method: "GET" });
  await until(() => held.size === 1, "the forward");
  const none = { changed: [], devices: [] };
  assert.deepEqual(await client.announce({ revoked: [REF], ...none }), { closed: 1 });
  for (const response of held) response.end();
  await (await slow).body.dump();
});

test("F6: a body without an end is given up at a bound", async (t) => {
  const server = await startScriptedServer(t, (_request, response) => {
    const piece = Buffer.alloc(16_384, 0x61);
    const write = (): void => {
      while (!response.destroyed && response.write(piece));
    };
    response.writeHead(500).on("drain", write);
    write();
  });
  const error = await failure(clientOf(t, server.url).get(REF));
  assert.equal(error.code, "ERR_RELAY_CLIENT_STATUS");
  assert.equal(error.body.length, 1_024);
});

/** Serves `count` sessions in pages, by a cursor that is the index of the first. */
function pages(count: number): (request: IncomingMessage, response: ServerResponse) => void {
  return (request, response) => {
    const query = new URL(request.url ?? "", "http://relay").searchParams;
    const start = Number(query.get("cursor") ?? 0);
    const end = Math.min(count, start + Math.min(3, Number(query.get("limit") ?? 1_000)));
    const sessions = Array.from({ length: end - start }, (_, at) => summaryOf(start + at));
    const next = end < count ? { next: String(end) } : {};
    response.end(JSON.stringify({ sessions, total: count, ...next }));
  };
}

test("A4: the pages are walked with the largest limit, unless one is asked for", async (t) => {
  const server = await startScriptedServer(t, pages(7));
  const client = clientOf(t, server.url);
  const all = await client.list({ userId: "a b&c" });
  assert.equal(all.total, 7);
  assert.deepEqual(
    all.sessions.map(({ token }) => token),
    Array.from({ length: 7 }, (_, index) => summaryOf(index).token),
  );
  assert.equal(all.next, undefined);
  assert.deepEqual(server.calls, [
    "GET /internal/sessions?limit=10000&user_id=a+b%26c",
    "GET /internal/sessions?limit=10000&cursor=3&user_id=a+b%26c",
    "GET /internal/sessions?limit=10000&cursor=6&user_id=a+b%26c",
  ]);
  const one = await client.list({ limit: 2, cursor: "3" });
  assert.deepEqual([one.sessions.length, one.total, one.next], [2, 7, "5"]);
});

test("A4: a relay whose pages have no end is given up", async (t) => {
  const server = await startScriptedServer(t, (_request, response) => {
    response.end('{"sessions":[],"total":1,"next":"again"}');
  });
  const error = await failure(clientOf(t, server.url).list());
  assert.equal(error.code, "ERR_RELAY_CLIENT_ANSWER");
  assert.equal(server.calls.length, 1_000);
});

test("K16: the secret is in the Authorization field and nowhere else", async (t) => {
  const fields: (string | undefined)[] = [];
  const server = await startScriptedServer(t, (request, response) => {
    fields.push(request.headers.authorization);
    response.writeHead(500).end();
  });
  const lines: unknown[] = [];
  const logger = { debug: (...line: unknown[]) => void lines.push(line) };
  const client = clientOf(t, server.url, { logger });
  const error = await failure(client.get(REF));
  assert.deepEqual(fields, [`Bearer ${SECRET}`]);
  assert.equal(client.authorization, `Bearer ${SECRET}`);
  assert.deepEqual(lines, [[{ call: `GET /internal/session/${REF}`, status: 500 }, "relay call"]]);
  const shown = inspect([client, error, lines], { depth: 4 }) + JSON.stringify([client, error]);
  assert.ok(!shown.includes(SECRET));
});
