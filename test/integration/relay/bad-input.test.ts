import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as dial } from "node:net";
import { after, before, type TestContext, test } from "node:test";
import WebSocket from "ws";
import { formatToken, mintToken } from "../../../src/core/token.ts";
import { type RawAnswer, rawRequest } from "../../support/forward/raw-request.ts";
import { SECRET, startTestRelay, type TestRelay } from "../../support/relay/start-relay.ts";

/**
 * Malformed input at every door of one relay. All the while another client asks another device in a loop: each of its
 * requests must be answered.
 */

let started: TestRelay;
let served = 0;
let stop = false;
let others: Promise<unknown>;
const cleanUps: (() => unknown)[] = [];

before(async () => {
  // The support speaks to a test; here one relay serves them all.
  const suite = { after: (end: () => unknown) => cleanUps.unshift(end) } as unknown as TestContext;
  started = await startTestRelay(suite, { failedHandshakesPerMinuteMax: 1_000 }, 4);
  await started.connect({ http: (_req, res) => res.end("served") }, 0);
  const path = `/d/${started.devices[0]?.deviceId}/`;
  others = (async () => {
    while (!stop) {
      const answer = await started.edge(path);
      assert.deepEqual([answer.status, answer.text], [200, "served"]);
      served += 1;
    }
  })().catch((error: unknown) => error);
});

after(async () => {
  stop = true;
  const failure = await others;
  for (const end of cleanUps) await end();
  assert.equal(failure, undefined);
  assert.ok(served > 50, `others were served ${served} times`);
  const left = started.relay.inspect();
  assert.deepEqual([left.running, left.streams, left.receivedBytes], [0, 0, 0]);
});

function edgeHead(path: string, ...fields: string[]): string {
  const key = `authorization: Bearer ${started.key.text}`;
  return [`GET ${path} HTTP/1.1`, "host: relay.example", key, ...fields, "", ""].join("\r\n");
}

/** The status of an answer, and its code where it is a problem. 0 for a connection that was closed. */
function outcomeOf(answer: RawAnswer): [number, string] {
  if (answer.fields.get("content-type") !== "application/problem+json") return [answer.status, ""];
  const problem = JSON.parse(answer.body.toString());
  assert.equal(problem.status, answer.status);
  return [answer.status, problem.code];
}

// ---- HTTP heads at both fronts -------------------------------------------------------------------------------

interface HeadCase {
  readonly name: string;
  /** `D` stands for the path of a device that serves. */
  readonly head: (device: string, auth: string) => string;
  /** Statuses that are right; 0 is a closed connection. */
  readonly statuses: readonly number[];
  readonly code?: string;
}

const start = (path: string, auth: string): string =>
  `GET ${path} HTTP/1.1\r\nhost: h\r\nauthorization: ${auth}\r\n`;

const HEADS: readonly HeadCase[] = [
  {
    name: "two content-length lines",
    head: (d, auth) => `${start(d, auth)}content-length: 3\r\ncontent-length: 4\r\n\r\nabcd`,
    statuses: [400],
  },
  {
    name: "two equal content-length lines",
    head: (d, auth) => `${start(d, auth)}content-length: 3\r\ncontent-length: 3\r\n\r\nabc`,
    statuses: [400],
  },
  {
    name: "a signed content-length",
    head: (d, auth) => `${start(d, auth)}content-length: +3\r\n\r\nabc`,
    statuses: [400],
  },
  {
    name: "content-length beside transfer-encoding",
    head: (d, auth) =>
      `${start(d, auth)}content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
    statuses: [400],
  },
  {
    name: "transfer-encoding: identity",
    head: (d, auth) => `${start(d, auth)}transfer-encoding: identity\r\n\r\n`,
    statuses: [400, 501],
  },
  {
    name: "transfer-encoding: xchunked",
    head: (d, auth) => `${start(d, auth)}transfer-encoding: xchunked\r\n\r\n0\r\n\r\n`,
    statuses: [400, 501],
  },
  {
    name: "transfer-encoding: gzip, chunked",
    head: (d, auth) => `${start(d, auth)}transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n`,
    statuses: [501],
  },
  {
    name: "a space before the colon",
    head: (d, auth) => `${start(d, auth)}x-a : 1\r\n\r\n`,
    statuses: [400],
  },
  {
    name: "a NUL in a value",
    head: (d, auth) => `${start(d, auth)}x-a: a\0b\r\n\r\n`,
    statuses: [400],
  },
  {
    name: "a control character in a value",
    head: (d, auth) => `${start(d, auth)}x-a: a\x01b\r\n\r\n`,
    statuses: [400],
  },
  {
    name: "a folded line",
    head: (d, auth) => `${start(d, auth)}x-a: a\r\n b\r\n\r\n`,
    statuses: [400],
  },
  {
    name: "no host",
    head: (d, auth) => `GET ${d} HTTP/1.1\r\nauthorization: ${auth}\r\n\r\n`,
    statuses: [400],
  },
  {
    name: "two hosts",
    head: (d, auth) => `${start(d, auth)}host: other\r\n\r\n`,
    statuses: [400],
  },
  {
    name: "a head over 32 KiB",
    head: (d, auth) => `${start(d, auth)}x-a: ${"a".repeat(40_000)}\r\n\r\n`,
    statuses: [431],
  },
  {
    name: "200 fields",
    head: (d, auth) => `${start(d, auth)}${"x-a: 1\r\n".repeat(200)}\r\n`,
    statuses: [431],
  },
  {
    name: "HTTP/1.0",
    head: (d) => `GET ${d} HTTP/1.0\r\nhost: h\r\n\r\n`,
    statuses: [505],
  },
  { name: "an HTTP/2 preface", head: () => "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", statuses: [505, 0] },
  { name: "garbage", head: () => "\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", statuses: [400, 505, 0] },
  {
    name: "absolute form",
    head: (d, auth) => `GET http://h${d} HTTP/1.1\r\nhost: h\r\nauthorization: ${auth}\r\n\r\n`,
    statuses: [400, 505],
  },
  {
    name: "a method that is no token",
    head: (d, auth) => `G{T ${d} HTTP/1.1\r\nhost: h\r\nauthorization: ${auth}\r\n\r\n`,
    statuses: [400, 501],
  },
];

for (const [front, portName] of [
  ["edge", "port"],
  ["internal", "internalPort"],
] as const) {
  for (const { name, head, statuses } of HEADS) {
    test(`${front}: ${name}`, async () => {
      const device = started.devices[0];
      const path =
        front === "edge"
          ? `/d/${device?.deviceId}/`
          : `/internal/session/${device?.token.ref}/forward/`;
      const auth = `Bearer ${front === "edge" ? started.key.text : SECRET}`;
      const answer = await rawRequest(started.relay[portName], head(path, auth));
      assert.ok(statuses.includes(answer.status), `answered ${answer.statusLine}`);
    });
  }
}

// ---- paths ---------------------------------------------------------------------------------------------------

const BAD_PATHS = [
  "/..",
  "/.",
  "/a/../b",
  "/a/./b",
  "/%2e%2e/b",
  "/%2E%2e",
  "/.%2e/b",
  "/a/%2e",
  "/a%2f..%2fb",
  "/a\\b",
  "/a%5Cb",
  "/a%5cb",
  "/a%00b",
];

for (const path of BAD_PATHS) {
  test(`a path to a device: ${path}`, async () => {
    const { deviceId, token } = started.devices[0] as TestRelay["devices"][number];
    const outside = await rawRequest(started.relay.port, edgeHead(`/d/${deviceId}${path}`));
    assert.equal(outcomeOf(outside)[0], 400, outside.statusLine);
    const inside = await rawRequest(
      started.relay.internalPort,
      `GET /internal/session/${token.ref}/forward${path} HTTP/1.1\r\nhost: h\r\nauthorization: Bearer ${SECRET}\r\n\r\n`,
    );
    assert.equal(outcomeOf(inside)[0], 400, inside.statusLine);
  });
}

for (const [path, status] of [
  ["/", 404],
  ["/d", 404],
  ["/d/", 404],
  ["/d/short/", 404],
  ["/d/AAAAAAAAAAAAAAAA/", 404],
  ["/d/aaaaaaaaaaaaaaa1/", 404],
  ["/d/aaaaaaaaaaaaaaaa/", 404],
  ["/d/aaaaaaaaaaaaaaaaa/", 404],
  ["//d/aaaaaaaaaaaaaaaa/", 404],
  ["/tunnel/connect", 426],
] as const) {
  test(`a path of the edge itself: ${path}`, async () => {
    const answer = await rawRequest(started.relay.port, edgeHead(path));
    assert.equal(outcomeOf(answer)[0], status, answer.statusLine);
  });
}

// ---- tokens and keys -----------------------------------------------------------------------------------------

/** The status of a handshake with this `Authorization` field, null for none. */
async function handshake(authorization: string | null, ...fields: string[]): Promise<RawAnswer> {
  const lines = [
    "GET /tunnel/connect HTTP/1.1",
    "host: h",
    "connection: upgrade",
    "upgrade: websocket",
    "sec-websocket-version: 13",
    "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==",
  ];
  if (authorization !== null) lines.push(`authorization: ${authorization}`);
  return rawRequest(started.relay.port, [...lines, ...fields, "", ""].join("\r\n"));
}

test("tokens that are none, or not known, are all refused alike", async () => {
  const { token } = started.devices[1] as TestRelay["devices"][number];
  const { text } = token;
  const flipped = text.slice(0, -1) + (text.endsWith("0") ? "1" : "0");
  const sameId = formatToken("device", token.ref.slice(4), Buffer.alloc(32, 7)).text;
  const bodies = new Set<string>();
  for (const authorization of [
    null,
    "",
    "Bearer",
    "Bearer ",
    `Basic ${text}`,
    text,
    `Bearer ${text}x`,
    `Bearer ${text.slice(0, -1)}`,
    `Bearer ${flipped}`,
    `Bearer ${sameId}`,
    `Bearer ${mintToken("device").text}`,
    `Bearer ${started.key.text}`,
    `Bearer ${token.ref}`,
    `Bearer ${"x".repeat(8_000)}`,
    `Bearer ${text} ${text}`,
    "Bearer vAc_\xff\xfe",
  ]) {
    const answer = await handshake(authorization);
    assert.equal(answer.status, 401, `${authorization}`);
    const { request_id, ...problem } = JSON.parse(answer.body.toString());
    bodies.add(JSON.stringify(problem));
  }
  assert.equal(bodies.size, 1);
  // A token in the query counts only where that is switched on.
  const query = await rawRequest(
    started.relay.port,
    `GET /tunnel/connect?token=${text} HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n`,
  );
  assert.equal(query.status, 401);
  assert.equal(started.logText().includes(text), false);
});

test("a token is found behind its scheme however that is spelled", async (t) => {
  const { token } = started.devices[2] as TestRelay["devices"][number];
  for (const scheme of ["Bearer ", "Bearer   ", "bearer ", "BEARER "]) {
    const ws = new WebSocket(`ws://127.0.0.1:${started.relay.port}/tunnel/connect`, {
      headers: { authorization: `${scheme}${token.text}` },
    });
    t.after(() => ws.terminate());
    await once(ws, "open");
    const closed = once(ws, "close");
    ws.close();
    await closed;
  }
});

test("a browser's handshake is refused before its token is looked at", async () => {
  const { token } = started.devices[1] as TestRelay["devices"][number];
  const answer = await handshake(`Bearer ${token.text}`, "origin: https://evil.example");
  assert.deepEqual(outcomeOf(answer), [403, "ERR_RELAY_ORIGIN"]);
});

test("keys that are none, or not known, are refused alike", async () => {
  const { deviceId } = started.devices[0] as TestRelay["devices"][number];
  for (const key of ["", "x", `${started.key.text}x`, mintToken("key").text, "hwk_\xff"]) {
    const answer = await rawRequest(
      started.relay.port,
      `GET /d/${deviceId}/ HTTP/1.1\r\nhost: h\r\nauthorization: Bearer ${key}\r\n\r\n`,
    );
    assert.deepEqual(outcomeOf(answer), [401, "ERR_RELAY_UNAUTHORIZED"]);
  }
});

// ---- frames --------------------------------------------------------------------------------------------------

/** One yamux header. */
function frame(version: number, type: number, flags: number, id: number, length: number): Buffer {
  const bytes = Buffer.alloc(12);
  bytes.writeUInt8(version, 0);
  bytes.writeUInt8(type, 1);
  bytes.writeUInt16BE(flags, 2);
  bytes.writeUInt32BE(id, 4);
  bytes.writeUInt32BE(length, 8);
  return bytes;
}

const FRAMES: readonly { name: string; sends: (Buffer | string)[]; code: number }[] = [
  { name: "a version that is not 0", sends: [frame(1, 0, 0, 0, 0)], code: 1002 },
  { name: "an unknown type", sends: [frame(0, 9, 0, 0, 0)], code: 1002 },
  { name: "text", sends: ["hello"], code: 1003 },
  { name: "a SYN of our own parity", sends: [frame(0, 1, 1, 1, 0)], code: 1002 },
  { name: "a SYN for stream 0", sends: [frame(0, 1, 1, 0, 0)], code: 1002 },
  { name: "HTTP in place of frames", sends: [Buffer.from("GET / HTTP/1.1\r\n\r\n")], code: 1002 },
  { name: "a GoAway for an error", sends: [frame(0, 3, 0, 0, 1)], code: 1000 },
];

for (const { name, sends, code } of FRAMES) {
  test(`a device sends ${name}`, async () => {
    const { token } = started.devices[2] as TestRelay["devices"][number];
    const ws = new WebSocket(`ws://127.0.0.1:${started.relay.port}/tunnel/connect`, {
      headers: { authorization: `Bearer ${token.text}` },
    });
    const closed = new Promise<number>((resolve) => {
      ws.on("close", resolve);
    });
    ws.on("open", () => {
      for (const message of sends) ws.send(message);
    });
    assert.equal(await closed, code);
  });
}

test("a message over every limit, reserved bits, half a handshake", async () => {
  const { token } = started.devices[2] as TestRelay["devices"][number];
  const upgrade = [
    "GET /tunnel/connect HTTP/1.1",
    "host: h",
    "connection: upgrade",
    "upgrade: websocket",
    "sec-websocket-version: 13",
    "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==",
    `authorization: Bearer ${token.text}`,
    "",
    "",
  ].join("\r\n");
  for (const bytes of [
    Buffer.from([0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4]),
    Buffer.from([0xf2, 0x80, 1, 2, 3, 4]),
  ]) {
    const socket = dial(started.relay.port, "127.0.0.1");
    socket.on("error", () => {});
    const closed = new Promise<void>((resolve) => {
      socket.on("close", () => resolve());
    });
    let open = false;
    socket.on("data", () => {
      if (open) return;
      open = true;
      socket.write(bytes);
    });
    socket.write(upgrade);
    await closed;
    assert.equal(open, true);
  }
  const half = dial(started.relay.port, "127.0.0.1");
  half.on("error", () => {});
  half.write(upgrade.slice(0, 40));
  await new Promise((resolve) => half.once("connect", resolve));
  half.destroy();
});
