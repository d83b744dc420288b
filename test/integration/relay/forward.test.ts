import assert from "node:assert/strict";
import { connect as dial } from "node:net";
import { type TestContext, test } from "node:test";
import type { CallerGate } from "../../../src/relay/ports.ts";
import { type Harness, startHarness } from "../../support/forward/harness.ts";
import { type RawAnswer, rawRequest } from "../../support/forward/raw-request.ts";
import {
  type ReceivedRequest,
  type Script,
  ScriptedService,
} from "../../support/forward/scripted-service.ts";
import { lendPort } from "../../support/ports.ts";
import { until } from "../../support/until.ts";

interface Setup extends Harness {
  readonly service: ScriptedService;
}

async function setup(t: TestContext, script: Script, options = {}): Promise<Setup> {
  const service = await ScriptedService.start(script);
  t.after(() => service.close());
  const harness = await startHarness(t, options);
  await harness.agent(service.port);
  return { ...harness, service };
}

/** A script that answers each request with the same bytes. */
function says(text: string): Script {
  return ({ socket }) => socket.write(Buffer.from(text, "latin1"));
}

const HELLO = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

function problemOf(answer: RawAnswer): { code: string; stage: string; status: number } {
  assert.equal(answer.fields.get("content-type"), "application/problem+json");
  return JSON.parse(answer.body.toString());
}

interface Case {
  readonly name: string;
  /** What the device sends. */
  readonly response: string;
  readonly method?: string;
  /** It closes the connection after that. */
  readonly closes?: boolean;
  readonly status: number;
  readonly body?: string;
  readonly fields?: Record<string, string | undefined>;
}

const CASES: readonly Case[] = [
  {
    name: "a length-delimited body",
    response: HELLO,
    status: 200,
    body: "hello",
    fields: { "content-length": "5" },
  },
  {
    name: "an empty body",
    response: "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    status: 200,
    body: "",
  },
  {
    name: "a chunked body",
    response:
      "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n",
    status: 200,
    body: "hello",
  },
  {
    name: "trailers are read and dropped",
    response:
      "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n",
    status: 200,
    body: "hello",
    fields: { "x-sum": undefined, trailer: undefined },
  },
  {
    name: "a body until close",
    response: "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello",
    closes: true,
    status: 200,
    body: "hello",
  },
  {
    name: "an HTTP/1.0 response",
    response: "HTTP/1.0 200 OK\r\n\r\nhello",
    closes: true,
    status: 200,
    body: "hello",
  },
  {
    name: "204",
    response: "HTTP/1.1 204 No Content\r\nx-a: b\r\n\r\n",
    status: 204,
    body: "",
    fields: { "x-a": "b", "content-length": undefined },
  },
  {
    name: "304",
    response: 'HTTP/1.1 304 Not Modified\r\netag: "x"\r\n\r\n',
    status: 304,
    body: "",
    fields: { etag: '"x"' },
  },
  {
    name: "HEAD with a length",
    method: "HEAD",
    response: "HTTP/1.1 200 OK\r\ncontent-length: 12345\r\n\r\n",
    status: 200,
    fields: { "content-length": "12345" },
  },
  {
    name: "HEAD without a length",
    method: "HEAD",
    response: "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
    status: 200,
  },
  {
    name: "interim responses are dropped",
    response: `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n${HELLO}`,
    status: 200,
    body: "hello",
    fields: { link: undefined },
  },
  {
    name: "hop-by-hop fields are removed",
    response:
      "HTTP/1.1 200 OK\r\nconnection: x-private, keep-alive\r\nkeep-alive: timeout=5\r\nx-private: 1\r\nproxy-connection: keep-alive\r\nupgrade: h2c\r\nx-public: 2\r\ncontent-length: 0\r\n\r\n",
    status: 200,
    fields: {
      "x-private": undefined,
      "keep-alive": undefined,
      "proxy-connection": undefined,
      upgrade: undefined,
      "x-public": "2",
    },
  },
  {
    name: "repeated fields are kept",
    response: "HTTP/1.1 200 OK\r\nset-cookie: a=1\r\nset-cookie: b=2\r\ncontent-length: 0\r\n\r\n",
    status: 200,
    fields: { "set-cookie": "a=1, b=2" },
  },
  {
    name: "the relay names itself",
    response: HELLO,
    status: 200,
    body: "hello",
    fields: { via: "1.1 hawser" },
  },
  {
    name: "the date is the relay's, once",
    response: "HTTP/1.1 200 OK\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\ncontent-length: 0\r\n\r\n",
    status: 200,
  },
  {
    name: "a status of its own reason",
    response: "HTTP/1.1 299 Quite Fine\r\ncontent-length: 0\r\n\r\n",
    status: 299,
  },
  {
    name: "an error of the device is the device's",
    response: "HTTP/1.1 500 Oh\r\ncontent-length: 2\r\n\r\nno",
    status: 500,
    body: "no",
  },
];

for (const row of CASES) {
  test(`a response passes: ${row.name}`, async (t) => {
    const script: Script = ({ socket }) => {
      socket.write(Buffer.from(row.response, "latin1"));
      if (row.closes === true) socket.end();
    };
    const { relay, head } = await setup(t, script);
    const method = row.method ?? "GET";
    const answer = await rawRequest(relay.port, head(method, "/x"), method === "HEAD");
    assert.equal(answer.status, row.status);
    assert.ok(answer.whole);
    if (row.body !== undefined) assert.equal(answer.body.toString(), row.body);
    for (const [name, value] of Object.entries(row.fields ?? {})) {
      assert.equal(answer.fields.get(name), value, name);
    }
    assert.equal(answer.fields.get("uwebsockets"), undefined);
    assert.ok(!(answer.fields.get("date") ?? "").includes("1970"));
  });
}

const REJECTED: Record<string, string> = {
  "bare LF": "HTTP/1.1 200 OK\ncontent-length: 0\n\n",
  "two different lengths": "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx",
  "length with chunked":
    "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
  "another transfer coding": "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
  "space before the colon": "HTTP/1.1 200 OK\r\nx-a : b\r\ncontent-length: 0\r\n\r\n",
  "a control character": "HTTP/1.1 200 OK\r\nx-a: b\x01c\r\ncontent-length: 0\r\n\r\n",
  "not HTTP": "SSH-2.0-OpenSSH_9.2\r\n\r\n",
  "a head that is too large": `HTTP/1.1 200 OK\r\nx-a: ${"y".repeat(40_000)}\r\ncontent-length: 0\r\n\r\n`,
  "an upgrade nobody asked for":
    "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
};

for (const [name, response] of Object.entries(REJECTED)) {
  test(`a malformed response is a 502: ${name}`, async (t) => {
    const { relay, head, service } = await setup(t, says(response));
    const answer = await rawRequest(relay.port, head("GET", "/x"));
    assert.equal(answer.status, 502);
    const problem = problemOf(answer);
    assert.equal(problem.code, "ERR_RELAY_RESPONSE_INVALID");
    assert.equal(problem.stage, "open");
    service.script = says(HELLO);
    assert.equal(
      (await rawRequest(relay.port, head("GET", "/x"))).status,
      200,
      "others are served",
    );
  });
}

test("the request reaches the device as it is, less what belongs to the hop", async (t) => {
  const { relay, head, service, deviceId, key } = await setup(t, says(HELLO));
  const request = head(
    "GET",
    "/a%2Fb/c;d=e?q=%20&r",
    "User-Agent: t",
    "Accept: */*",
    "Connection: x-secret",
    "X-Secret: 1",
    "TE: trailers",
    "Keep-Alive: timeout=1",
    `X-Hawser-Device: ${deviceId}`,
    "X-Forwarded-For: 9.9.9.9",
    "Forwarded: for=9.9.9.9",
    "X-Hawser-User: root",
    "X_Hawser_Tenant: t1",
    "X_Forwarded_For: 9.9.9.9",
    "Cookie: a=b",
    "Cookie: hawser_sid=v1.k1.x.y; c=d",
  );
  assert.equal((await rawRequest(relay.port, request)).status, 200);
  const [got] = service.requests;
  assert.ok(got !== undefined);
  assert.equal(got.target, "/a%2Fb/c;d=e?q=%20&r");
  assert.match(got.head, /^GET \/a%2Fb\/c;d=e\?q=%20&r HTTP\/1\.1\r\n/);
  assert.equal(got.fields.get("host"), "relay.example");
  assert.equal(got.fields.get("user-agent"), "t");
  assert.equal(got.fields.get("x-forwarded-for"), "127.0.0.1", "an untrusted one is replaced");
  assert.equal(got.fields.get("x-forwarded-proto"), "http");
  assert.equal(got.fields.get("x-forwarded-host"), "relay.example");
  assert.equal(got.fields.get("x-forwarded-prefix"), `/d/${deviceId}`);
  assert.match(got.fields.get("forwarded") ?? "", /^for=127\.0\.0\.1;/);
  assert.equal(got.fields.get("via"), "1.1 hawser");
  for (const name of [
    "authorization",
    "connection",
    "x-secret",
    "te",
    "keep-alive",
    "x-hawser-device",
    "x-hawser-user",
    "x_hawser_tenant",
    "x_forwarded_for",
  ]) {
    assert.equal(got.fields.get(name), undefined, name);
  }
  assert.ok(!got.head.includes(key));
  assert.equal(got.fields.get("cookie"), "a=b, c=d");
});

test("behind a trusted proxy the client's address and protocol are passed on", async (t) => {
  const { relay, head, service } = await setup(t, says(HELLO), {
    trustedProxyCidrs: ["127.0.0.0/8"],
  });
  const request = head("GET", "/", "X-Forwarded-For: 9.9.9.9", "X-Forwarded-Proto: https");
  assert.equal((await rawRequest(relay.port, request)).status, 200);
  const [got] = service.requests;
  assert.equal(got?.fields.get("x-forwarded-for"), "9.9.9.9, 127.0.0.1");
  assert.equal(got?.fields.get("x-forwarded-proto"), "https");
});

test("with Proxy-Authorization the device gets Authorization itself", async (t) => {
  const { relay, service, deviceId, key } = await setup(t, says(HELLO));
  const request = `GET /d/${deviceId}/ HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Bearer ${key}\r\nAuthorization: Basic abc\r\n\r\n`;
  assert.equal((await rawRequest(relay.port, request)).status, 200);
  const [got] = service.requests;
  assert.equal(got?.fields.get("authorization"), "Basic abc");
  assert.equal(got?.fields.get("proxy-authorization"), undefined);
});

test("one stream and one local connection serve requests in turn", async (t) => {
  const { relay, head, service } = await setup(t, says(HELLO));
  for (let i = 0; i < 5; i++) {
    assert.equal((await rawRequest(relay.port, head("GET", `/${i}`))).body.toString(), "hello");
  }
  assert.equal(service.connections, 1);
  assert.equal(relay.inspect().streams, 1);
});

test("streams beyond the limit of idle ones are closed after a moment", async (t) => {
  const held: ReceivedRequest[] = [];
  const { relay, head, service } = await setup(t, (request) => held.push(request), {
    idleStreamsPerTunnelMax: 2,
  });
  const answers = Array.from({ length: 6 }, () => rawRequest(relay.port, head("GET", "/")));
  await service.arrived(6);
  for (const { socket } of held) socket.write(HELLO);
  await Promise.all(answers);
  assert.equal(relay.inspect().streams, 6);
  // The agent closes its local connections as the streams end.
  const closed = held.map(({ socket }) => new Promise((resolve) => socket.once("close", resolve)));
  let count = 0;
  await new Promise<void>((resolve) => {
    for (const one of closed) {
      one.then(() => {
        count += 1;
        if (count === 4) resolve();
      });
    }
  });
  // One more exchange comes behind the last FIN in the tunnel.
  service.script = says(HELLO);
  assert.equal((await rawRequest(relay.port, head("GET", "/"))).status, 200);
  assert.equal(relay.inspect().streams, 2);
});

test("a device that closes after each response is served", async (t) => {
  const { relay, head, service } = await setup(t, ({ socket }) => {
    socket.end("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello");
  });
  for (let i = 0; i < 5; i++) {
    assert.equal((await rawRequest(relay.port, head("GET", `/${i}`))).body.toString(), "hello");
  }
  assert.equal(service.connections, 5);
  assert.equal(relay.inspect().streams, 0);
});

test("a request sent before the answer to the one before ends the connection, and nothing is mixed up", async (t) => {
  // uWS answers pipelined requests only where each is answered within its handler, which forwarding never is.
  const { relay, head } = await setup(t, ({ socket, target }) => {
    socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${target.length}\r\n\r\n${target}`);
  });
  const answer = await rawRequest(relay.port, head("GET", "/1") + head("GET", "/22"));
  assert.equal(answer.raw.length, 0);
  await relay.whenIdle();
  assert.equal((await rawRequest(relay.port, head("GET", "/333"))).body.toString(), "/333");
});

test("an Expect is answered by the relay and not passed on", async (t) => {
  const { relay, head, service } = await setup(t, ({ socket, rest }) => {
    socket.write(`HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n${rest.length === 0 ? "ok" : "no"}`);
  });
  const answer = rawRequest(
    relay.port,
    head("POST", "/", "Content-Length: 4", "Expect: 100-continue"),
  );
  await assert.doesNotReject(
    answer.then((got) => assert.match(got.raw.toString(), /^HTTP\/1\.1 100 /)),
  );
  assert.equal(service.requests[0]?.fields.get("expect"), undefined);
});

test("a client that leaves resets the stream", async (t) => {
  let arrived: (request: ReceivedRequest) => void = () => {};
  const arrival = new Promise<ReceivedRequest>((resolve) => {
    arrived = resolve;
  });
  const { relay, head } = await setup(t, (request) => arrived(request));
  const socket = dial({ port: relay.port, host: "127.0.0.1" });
  socket.write(head("GET", "/"));
  const { socket: local } = await arrival;
  // The agent resets its local connection: an error, then the close.
  const closed = new Promise((resolve) => local.once("close", resolve));
  socket.destroy();
  await closed;
  await relay.whenIdle();
  assert.equal(relay.inspect().streams, 0);
});

for (const [name, start] of [
  ["with a length", "HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\nhello"],
  ["in chunks", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"],
] as const) {
  test(`a device that breaks off midway breaks the client's connection: ${name}`, async (t) => {
    let cut: () => void = () => {};
    const { relay, head } = await setup(t, ({ socket }) => {
      cut = () => socket.resetAndDestroy();
      socket.write(start);
    });
    // Only then: a reset takes along what was not read yet.
    const answer = await rawRequest(relay.port, head("GET", "/"), false, () => cut());
    assert.equal(answer.status, 200);
    assert.ok(!answer.whole, "it must not look complete");
    assert.equal(relay.inspect().running, 0);
  });
}

test("a local service that refuses is a 502 at stage open", async (t) => {
  const harness = await startHarness(t);
  await harness.agent(await lendPort());
  const answer = await rawRequest(harness.relay.port, harness.head("GET", "/"));
  assert.equal(answer.status, 502);
  assert.equal(problemOf(answer).stage, "open");
});

test("a response head that does not come is a 504", async (t) => {
  const { relay, head } = await setup(t, () => {}, { firstByteTimeoutMs: 300 });
  const answer = await rawRequest(relay.port, head("GET", "/"));
  assert.equal(answer.status, 504);
  assert.equal(problemOf(answer).stage, "first_byte");
  assert.equal(relay.inspect().streams, 0);
});

test("a response head that comes byte by byte and never ends is a 504", {
  timeout: 20_000,
}, async (t) => {
  const trickle: Script = ({ socket }) => {
    socket.write("HTTP/1.1 200 OK\r\nx-slow: ");
    const timer = setInterval(() => socket.write("a"), 20);
    socket.on("error", () => {}).on("close", () => clearInterval(timer));
  };
  const { relay, head } = await setup(t, trickle, { firstByteTimeoutMs: 300 });
  const answer = await rawRequest(relay.port, head("GET", "/"));
  assert.equal(answer.status, 504);
  assert.equal(problemOf(answer).stage, "first_byte");
  assert.equal(relay.inspect().streams, 0);
});

test("a body that falls silent midway breaks the client's connection", async (t) => {
  const { relay, head } = await setup(
    t,
    says("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello"),
    {
      idleTimeoutMs: 300,
    },
  );
  const answer = await rawRequest(relay.port, head("GET", "/"));
  assert.equal(answer.status, 200);
  assert.ok(!answer.whole);
});

test("an answer before the end of the upload is delivered at once", async (t) => {
  const { relay, head } = await setup(t, ({ socket }) => {
    socket.write("HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\n\r\nbig");
  });
  const started = performance.now();
  const answer = await rawRequest(
    relay.port,
    Buffer.concat([
      Buffer.from(head("POST", "/", "Content-Length: 10000000")),
      Buffer.alloc(4_000_000),
    ]),
  );
  assert.equal(answer.status, 413);
  assert.equal(answer.body.toString(), "big");
  assert.ok(performance.now() - started < 5_000);
  await relay.whenIdle();
});

test("an idempotent request is sent again when a kept stream dies under it", async (t) => {
  const { relay, head, service } = await setup(t, says(HELLO));
  assert.equal((await rawRequest(relay.port, head("GET", "/1"))).status, 200);
  let first = true;
  service.script = ({ socket }) => {
    if (first) socket.end();
    else socket.write(HELLO);
    first = false;
  };
  assert.equal((await rawRequest(relay.port, head("GET", "/2"))).status, 200);
  assert.equal(service.requests.length, 3);
});

test("a request that is not idempotent is not sent again", async (t) => {
  const { relay, head, service } = await setup(t, says(HELLO));
  service.script = ({ socket }) => socket.end();
  const answer = await rawRequest(relay.port, head("POST", "/", "Content-Length: 0"));
  assert.equal(answer.status, 502);
  assert.equal(service.requests.length, 1);
});

test("a request waits for a device that comes back", async (t) => {
  const service = await ScriptedService.start(says(HELLO));
  t.after(() => service.close());
  const harness = await startHarness(t, { holdMs: 10_000 });
  const answer = rawRequest(harness.relay.port, harness.head("GET", "/"));
  await harness.agent(service.port);
  assert.equal((await answer).status, 200);
});

test("a device that does not come is offline, an unknown one is no device", async (t) => {
  const { relay, absentId, key } = await startHarness(t, { holdMs: 100 });
  const get = (id: string): Promise<RawAnswer> =>
    rawRequest(
      relay.port,
      `GET /d/${id}/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${key}\r\n\r\n`,
    );
  const offline = await get(absentId);
  assert.equal(offline.status, 503);
  assert.equal(problemOf(offline).stage, "offline");
  assert.ok(Number(offline.fields.get("retry-after")) > 0);
  const unknown = await get("aaaaaaaaaaaaaaaa");
  assert.equal(unknown.status, 404);
  assert.equal(problemOf(unknown).stage, "no_device");
});

test("the hold queue is bounded", async (t) => {
  const { relay, head } = await startHarness(t, { holdMs: 2_000, holdQueueMax: 2 });
  const waiting = [1, 2].map(() => rawRequest(relay.port, head("GET", "/")));
  const third = await rawRequest(relay.port, head("GET", "/"));
  assert.equal(third.status, 503);
  const others = await Promise.all(waiting);
  assert.deepEqual(
    others.map(({ status }) => status),
    [503, 503],
  );
});

test("requests over the device's limit are refused, the others go on", async (t) => {
  const held: ReceivedRequest[] = [];
  const { relay, head, service } = await setup(t, (request) => held.push(request), {
    inFlightPerDeviceMax: 2,
  });
  const waiting = [1, 2].map(() => rawRequest(relay.port, head("GET", "/")));
  await service.arrived(2);
  const third = await rawRequest(relay.port, head("GET", "/"));
  assert.equal(third.status, 503);
  assert.equal(problemOf(third).stage, "overloaded");
  for (const { socket } of held) socket.write(HELLO);
  const others = await Promise.all(waiting);
  assert.deepEqual(
    others.map(({ status }) => status),
    [200, 200],
  );
});

const UNAUTHORIZED: Record<string, string[]> = {
  nothing: [],
  garbage: ["Authorization: Bearer xyz"],
  "another scheme": ["Authorization: Basic abc"],
};

for (const [name, fields] of Object.entries(UNAUTHORIZED)) {
  test(`without a good key it is 401: ${name}`, async (t) => {
    const { relay, deviceId, absentId } = await startHarness(t);
    for (const id of [deviceId, absentId, "aaaaaaaaaaaaaaaa"]) {
      const request = [`GET /d/${id}/ HTTP/1.1`, "Host: x", ...fields, "", ""].join("\r\n");
      const answer = await rawRequest(relay.port, request);
      assert.equal(answer.status, 401);
      assert.match(answer.fields.get("www-authenticate") ?? "", /^Bearer/);
    }
  });
}

test("a key that must be asked for is awaited; the body waits with it", async (t) => {
  const service = await ScriptedService.start(async ({ socket, rest }) => {
    await until(() => Buffer.concat(rest).length === 4, "the body");
    socket.write(`HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n${Buffer.concat(rest)}`);
  });
  t.after(() => service.close());
  let tellAsked: (allow: () => void) => void = () => {};
  const asked = new Promise<() => void>((resolve) => {
    tellAsked = resolve;
  });
  const caller = { keyId: "hwk_late", userId: "u", limit: null, allows: () => true };
  const authenticateCaller = (): ReturnType<CallerGate["authenticateCaller"]> =>
    new Promise((resolve) => tellAsked(() => resolve({ ok: true, value: caller })));
  const harness = await startHarness(t, {}, { callerGate: { authenticateCaller } });
  await harness.agent(service.port);
  const answer = rawRequest(
    harness.relay.port,
    `${harness.head("POST", "/", "Content-Length: 4")}body`,
  );
  (await asked)();
  assert.equal((await answer).body.toString(), "body");
  await harness.relay.close();
  const line = harness.log.find(({ key }) => key === "hwk_late");
  assert.equal(line?.["status"], 200);
});
