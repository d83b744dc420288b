import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { request } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { writeUnsignedJwt } from "../../../src/access-proxy/index.ts";
import {
  type CallOf,
  exchange,
  ID,
  IDP_A,
  lines,
  PRINCIPAL,
  type ProxyRig,
  type Received,
  startRig,
  TO_TA,
} from "../../support/access-proxy/rig.ts";
import { until } from "../../support/until.ts";

/** TA cooperation, sections 4.6 to 4.8: bodies in both directions. Numbers are those of section 16. */

const FILE_THRES = 10_000;
const FILE_MAX = 50_000;
const REFUSAL = { "X-Edo-Cooperation-Error": "invalid session" };

let rig: ProxyRig;
let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "hawser-bodies-"));
  rig = await startRig({
    options: { fileThres: FILE_THRES, fileMax: FILE_MAX, tempFolder: folder },
  });
});
after(async () => {
  await rig.stop();
  await rm(folder, { recursive: true });
});
afterEach(() => {
  rig.instead = null;
  rig.answer = (_message, answer) => void answer.end("done");
});

const call = (of: Partial<CallOf> = {}) => rig.call({ headers: ID, ...of });
const isMediated = (message: Pick<Received, "rawHeaders">) =>
  lines(message, "x-edo-code-tokens").length > 0;

function pattern(length: number): Buffer {
  return Buffer.from(Array.from({ length }, (_, at) => (at * 31 + (at >> 8)) & 255));
}

/** A request's head up to where its framing is said. */
function callHead(method: string, to: string): string {
  const own = [`X-Access-Proxy-To: ${to}`, `X-Access-Proxy-To-Id: ${TO_TA}`];
  const users = `X-Access-Proxy-Users: ${writeUnsignedJwt(PRINCIPAL)}`;
  return [`${method} / HTTP/1.1`, "Host: x", ...own, users, ""].join("\r\n");
}

async function* pieces(body: Buffer, length: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < body.length; at += length) yield body.subarray(at, at + length);
}

/** Leaves a session that the target refuses from then on. */
async function staleSession(): Promise<void> {
  rig.answer = (_message, answer) => {
    answer.setHeader("Set-Cookie", "Edo-Cooperation=stale; Max-Age=600").end();
  };
  await call();
  rig.answer = (message, answer) => {
    if (isMediated(message)) answer.end("done");
    else answer.writeHead(403, REFUSAL).end();
  };
}

for (const length of [0, 1, FILE_THRES, FILE_THRES + 1, FILE_THRES + FILE_MAX]) {
  for (const isChunked of [false, true]) {
    test(`15: ${length} bytes${isChunked ? " in chunks" : ""} are sent again whole, and no file stays`, async () => {
      await staleSession();
      const body = pattern(length);
      const answer = await call({ method: "POST", body: isChunked ? pieces(body, 7_001) : body });
      assert.equal(answer.body.toString(), "done");
      const [refused, retried] = rig.received.slice(-2);
      assert.ok(refused && retried);
      assert.deepEqual([isMediated(refused), isMediated(retried)], [false, true]);
      assert.deepEqual(retried.body, body);
      assert.deepEqual(lines(retried, "content-length"), isChunked ? [] : [String(length)]);
      assert.deepEqual(await readdir(folder), []);
    });
  }
}

test("15: one byte more cannot be sent again: the session is gone, and the next call succeeds", async () => {
  await staleSession();
  const body = pattern(FILE_THRES + FILE_MAX + 1);
  const before = rig.received.length;
  const answer = await call({ method: "POST", body });
  assert.equal(answer.status, 500);
  assert.equal(
    answer.headers["x-access-proxy-error"],
    "request body is too large to replay; try again",
  );
  assert.equal(rig.received.length, before + 1);
  const next = await call({ method: "POST", body });
  assert.deepEqual([next.status, next.body.toString()], [200, "done"]);
  assert.deepEqual(rig.received.at(-1)?.body, body);
  assert.deepEqual(await readdir(folder), []);
});

test("15: a temporary file that cannot be made costs the retry, and the log says why", async () => {
  const poor = await startRig({
    options: { fileThres: 10, fileMax: 1_000, tempFolder: join(folder, "none") },
  });
  poor.answer = (_message, answer) => {
    answer.setHeader("Set-Cookie", "Edo-Cooperation=stale; Max-Age=600").end();
  };
  await poor.call({ headers: ID });
  poor.answer = (_message, answer) => void answer.writeHead(403, REFUSAL).end();
  const answer = await poor.call({ headers: ID, method: "POST", body: "x".repeat(100) });
  assert.deepEqual(
    [answer.status, answer.headers["x-access-proxy-error"]],
    [500, "request body is too large to replay; try again"],
  );
  assert.match(poor.logs.join(""), /"code":"ENOENT".*"code":"ERR_ACCESS_PROXY_NO_REPLAY"/);
  await poor.stop();
});

for (const failing of ["the record", "the ID provider"]) {
  test(`15: ${failing} fails behind a stale session: the answer reaches a sender that reads once all is sent`, async () => {
    await staleSession();
    const idp = rig.idps.get(IDP_A);
    assert.ok(idp);
    if (failing === "the ID provider") idp.instead = (_message, answer) => void answer.end();
    rig.instead = (message, answer) => {
      const refuse = (): void => void answer.writeHead(403, REFUSAL).end();
      if (failing === "the ID provider") return refuse();
      let bytes = 0;
      message.on("data", (piece: Buffer) => {
        bytes += piece.length;
        if (bytes <= FILE_THRES + FILE_MAX) return;
        message.pause();
        refuse();
      });
    };
    const socket = connect(rig.port);
    const head = callHead("POST", `${rig.target}/x`);
    // More than the buffers in between hold.
    const body = Buffer.alloc(16_000_000, "x");
    await new Promise<void>((resolve, reject) => {
      socket.once("error", reject);
      socket.write(`${head}Content-Length: ${body.length}\r\n\r\n`);
      socket.write(body, () => resolve());
    });
    const [answer] = await once(socket, "data");
    socket.destroy();
    idp.instead = null;
    assert.match(String(answer), /^HTTP\/1\.1 500 /);
    assert.deepEqual(await readdir(folder), []);
  });
}

test("15: a target that refuses early leaves room for a body that is larger than the record", async () => {
  await staleSession();
  const body = pattern(1_000_000);
  let refusedAfter = 0;
  rig.instead = (message, answer) => {
    rig.instead = null;
    message.once("data", (piece: Buffer) => {
      refusedAfter = piece.length;
      message.pause();
      answer.writeHead(403, { ...REFUSAL, Connection: "close" }).end();
    });
  };
  let sent = 0;
  const slowly = async function* (): AsyncGenerator<Buffer> {
    for await (const piece of pieces(body, 5_000)) {
      // What is not read yet must not reach the proxy before the refusal does.
      if (sent >= 20_000) await until(() => refusedAfter > 0, "a refusal");
      sent += piece.length;
      yield piece;
    }
  };
  const answer = await call({ method: "POST", body: slowly() });
  assert.deepEqual([answer.status, answer.body.toString()], [200, "done"]);
  assert.ok(refusedAfter > 0 && refusedAfter < body.length);
  assert.deepEqual(rig.received.at(-1)?.body, body);
});

test("16: a body in chunks, an empty one, and none", async () => {
  await call({ method: "POST", body: pieces(pattern(100_000), 999) });
  const chunked = rig.received.at(-1);
  assert.deepEqual(lines(chunked ?? { rawHeaders: [] }, "transfer-encoding"), ["chunked"]);
  assert.deepEqual(chunked?.body, pattern(100_000));
  await call({ method: "POST", body: "" });
  assert.deepEqual(lines(rig.received.at(-1) ?? { rawHeaders: [] }, "content-length"), ["0"]);
  // Without a length, which `node:http` would add.
  await exchange(
    rig.port,
    `POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Access-Proxy-To: ${rig.target}/\r\n` +
      `X-Access-Proxy-To-Id: ${TO_TA}\r\nX-Access-Proxy-Users: ${writeUnsignedJwt(PRINCIPAL)}\r\n\r\n`,
  );
  assert.deepEqual(lines(rig.received.at(-1) ?? { rawHeaders: [] }, "content-length"), ["0"]);
  await call({ method: "DELETE" });
  const none = rig.received.at(-1);
  assert.deepEqual(
    [none?.headers["content-length"], none?.headers["transfer-encoding"]],
    [undefined, undefined],
  );
});

test("16: HEAD, 204, 304 and a redirect are relayed as they are", async () => {
  const cases: ReadonlyArray<
    readonly [method: string, status: number, headers: Record<string, string>]
  > = [
    ["HEAD", 200, { "Content-Length": "1234", ETag: '"a"' }],
    ["GET", 204, {}],
    ["GET", 304, { ETag: '"b"' }],
    ["GET", 302, { Location: "http://127.0.0.1:1/elsewhere" }],
    ["POST", 307, { Location: "/x" }],
  ];
  for (const [method, status, headers] of cases) {
    rig.answer = (_message, answer) => void answer.writeHead(status, headers).end();
    const answer = await call({ method });
    assert.equal(answer.status, status);
    for (const [name, value] of Object.entries(headers)) {
      assert.equal(answer.headers[name.toLowerCase()], value);
    }
    assert.equal(answer.body.length, 0);
  }
});

test("16: an answer's lines stay apart and in order, its body byte for byte, encoded or not", async () => {
  const body = pattern(300_000);
  rig.answer = (_message, answer) => {
    answer.writeHead(299, "Odd Reason", [
      ...["X-B", "1", "Set-Cookie", "a=1", "x-b", "2", "Set-Cookie", "b=2"],
      ...[
        "Content-Encoding",
        "gzip",
        "X-Access-Proxy-Error",
        "forged",
        "Connection",
        "x-hop",
        "X-Hop",
        "1",
      ],
    ]);
    answer.end(body);
  };
  const answer = await call({ headers: [...ID, "Accept-Encoding", "gzip, br"] });
  assert.equal(rig.received.at(-1)?.headers["accept-encoding"], "gzip, br");
  assert.equal(answer.status, 299);
  assert.deepEqual(lines(answer, "x-b"), ["1", "2"]);
  assert.deepEqual(lines(answer, "set-cookie"), ["a=1", "b=2"]);
  assert.deepEqual(lines(answer, "content-encoding"), ["gzip"]);
  assert.deepEqual([lines(answer, "x-hop"), lines(answer, "x-access-proxy-error")], [[], []]);
  assert.deepEqual(answer.body, body);
});

test("16: a large answer streams: the reader sets the pace", async () => {
  const PIECE = Buffer.alloc(65_536, "x");
  let written = 0;
  rig.answer = (_message, answer) => {
    answer.writeHead(200);
    const write = (): void => {
      while (written < 512 * 65_536) {
        written += PIECE.length;
        if (!answer.write(PIECE)) return void answer.once("drain", write);
      }
      answer.end();
    };
    write();
  };
  const message = await open("GET");
  message.pause();
  let last = -1;
  await until(() => {
    const isStill = written === last;
    last = written;
    return isStill && written > 0;
  }, "the target to be held up");
  assert.ok(written < 512 * 65_536, `${written} bytes are under way`);
  const digest = createHash("sha1");
  let length = 0;
  for await (const piece of message) {
    length += (piece as Buffer).length;
    digest.update(piece as Buffer);
  }
  assert.equal(length, 512 * 65_536);
});

/** Begins a call and gives the head of its answer. */
async function open(method: string, agent = false): Promise<import("node:http").IncomingMessage> {
  const out = request({
    port: rig.port,
    method,
    agent,
    headers: {
      "X-Access-Proxy-To": `${rig.target}/x`,
      "X-Access-Proxy-To-Id": TO_TA,
      "X-Access-Proxy-Users": writeUnsignedJwt(PRINCIPAL),
    },
  });
  out.end();
  const [message] = await once(out, "response");
  return message;
}

test("a target that breaks off midway breaks the caller's answer off", async () => {
  for (const head of ["Content-Length: 100", "Transfer-Encoding: chunked"]) {
    rig.answer = (_message, answer) => {
      answer.socket?.end(`HTTP/1.1 200 OK\r\n${head}\r\n\r\n5\r\nhello`);
    };
    const message = await open("GET");
    await assert.rejects(async () => {
      for await (const _ of message);
    }, /aborted/);
  }
});

test("a target that breaks off while its session is kept: the caller is told, and does not wait for ever", async () => {
  const held: import("node:net").Socket[] = [];
  const sessions = {
    get: () => undefined,
    save: async () => {
      const [socket] = held;
      assert.ok(socket);
      socket.destroy();
      await once(socket, "close");
      // A whole round trip later the proxy has seen it.
      held.length = 0;
      slow.answer = (_message, answer) => void answer.end();
      await slow.call({ headers: ID });
    },
    deleteIf: () => undefined,
    delete: () => undefined,
  };
  const slow = await startRig({ parts: { sessions } });
  slow.answer = (_message, answer) => {
    if (answer.socket !== null) held.push(answer.socket);
    answer.writeHead(200, {
      "Set-Cookie": "Edo-Cooperation=s; Max-Age=600",
      "Content-Length": 100,
    });
    answer.write("some");
  };
  const answer = await slow.call({ headers: ID });
  assert.equal(answer.status, 500);
  assert.equal(answer.headers["x-access-proxy-error"], "destination did not give a valid response");
  await slow.stop();
});

test("E31: a caller that goes away ends what runs for it, at the ID provider, at the target and midway", async () => {
  const idp = rig.idps.get(IDP_A);
  assert.ok(idp);
  const gone: string[] = [];
  const hold = (what: string): import("node:http").RequestListener => {
    return (message) => {
      message.resume();
      message.socket.once("close", () => gone.push(what));
      socket.destroy();
    };
  };
  let socket = connect(rig.port);
  const start = (): void => {
    socket = connect(rig.port);
    socket.write(
      `GET / HTTP/1.1\r\nHost: x\r\nX-Access-Proxy-To: ${rig.target}/\r\nX-Access-Proxy-To-Id: ${TO_TA}\r\n` +
        `X-Access-Proxy-Users: ${writeUnsignedJwt({ gone: { at_tag: "tag-1" } })}\r\n\r\n`,
    );
  };
  socket.destroy();
  idp.instead = hold("idp");
  start();
  await until(() => gone.includes("idp"), "the ID provider's request to end");
  idp.instead = null;
  rig.instead = hold("target");
  start();
  await until(() => gone.includes("target"), "the target's request to end");
  rig.instead = (message, answer) => {
    answer.writeHead(200).write("some");
    hold("midway")(message, answer);
  };
  start();
  await until(() => gone.includes("midway"), "the target's answer to end");
  await until(() => rig.outcomes.slice(-3).every(({ code }) => code === "gone"), "three outcomes");
});

test("a connection of the caller serves on after an error that came before its body was read", async () => {
  const body = pattern(200_000);
  const socket = connect(rig.port);
  const head = (target: string) =>
    `POST / HTTP/1.1\r\nHost: x\r\nX-Access-Proxy-To: ${target}\r\nX-Access-Proxy-To-Id: ${TO_TA}\r\n` +
    `X-Access-Proxy-Users: ${writeUnsignedJwt(PRINCIPAL)}\r\nContent-Length: ${body.length}\r\n\r\n`;
  socket.write(head("https://other.example/"));
  socket.write(body);
  socket.write(head(`${rig.target}/after`).replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"));
  socket.write(body);
  let text = "";
  for await (const piece of socket) text += (piece as Buffer).toString("latin1");
  assert.match(text, /^HTTP\/1\.1 403 .*HTTP\/1\.1 200 /s);
  assert.deepEqual(rig.received.at(-1)?.body, body);
});

test("a target that answers before it has read the body: the answer is relayed, and the connection serves on", async () => {
  rig.instead = (message, answer) => {
    answer.writeHead(413).end("too large");
    message.resume();
  };
  const answer = await call({ method: "POST", body: pieces(pattern(3_000_000), 60_000) });
  assert.deepEqual([answer.status, answer.body.toString()], [413, "too large"]);
});

test("a body whose length Connection names is still a body, and no request of its own", async () => {
  const body = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
  for (const method of ["GET", "DELETE", "OPTIONS", "POST"]) {
    const before = rig.received.length;
    const headers = [...ID, "Connection", "close, Content-Length"];
    const answer = await call({ method, body, headers });
    assert.equal(answer.status, 200);
    // A second request on the same connection would have been read by the time of this one's answer.
    await call();
    const [first, second, ...more] = rig.received.slice(before);
    assert.deepEqual([first?.method, first?.body.toString()], [method, body]);
    assert.deepEqual([second?.url, more], ["/x", []]);
  }
});

test("16: an answer's head does not wait for a body that is late", async () => {
  let sendRest = (): void => assert.fail("the target was not asked");
  rig.answer = (_message, answer) => {
    answer.writeHead(200, { "Content-Type": "text/event-stream" });
    answer.flushHeaders();
    sendRest = () => void answer.end("data: late\n\n");
  };
  const socket = connect(rig.port);
  let seen = "";
  socket.setEncoding("latin1").on("data", (piece: string) => {
    seen += piece;
  });
  socket.write(`${callHead("GET", `${rig.target}/events`)}\r\n`);
  await until(() => seen.includes("text/event-stream"), "the head");
  assert.ok(!seen.includes("late"));
  sendRest();
  await until(() => seen.includes("data: late"), "the body");
  socket.destroy();
});
