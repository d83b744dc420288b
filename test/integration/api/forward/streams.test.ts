import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { connect } from "node:net";
import { test } from "node:test";
import { type ForwardRig, startForwardRig } from "../../../support/forward/api-rig.ts";
import { Changes, until } from "../../../support/until.ts";

const MIB = 1 << 20;

/** A request with Ann's key whose body the caller writes. */
function open({ api, root }: ForwardRig, method: string, path: string, more: object = {}) {
  const headers = { authorization: "Bearer key-of-ann", ...more };
  const options = { host: "127.0.0.1", port: api.port, path: root + path, method, headers };
  const call = httpRequest({ ...options, agent: false });
  call.on("error", () => {});
  return call;
}

async function answerOf(call: ReturnType<typeof open>): Promise<IncomingMessage> {
  const [response] = await once(call, "response");
  response.on("error", () => {});
  return response;
}

test("streams: 16 MiB go both ways whole, neither of them gathered", async (t) => {
  const rig = await startForwardRig(t, (request, response) => void request.pipe(response));
  const sent = createHash("sha256");
  const received = createHash("sha256");
  const call = open(rig, "POST", "/echo", { "content-type": "application/octet-stream" });
  const answered = answerOf(call);
  const piece = Buffer.alloc(64 * 1_024);
  for (let at = 0; at < 256; at++) {
    piece.fill(at);
    sent.update(piece);
    if (!call.write(Buffer.from(piece))) await once(call, "drain");
    if (at === 0) {
      const response = await answered;
      response.on("data", (chunk: Buffer) => received.update(chunk));
    }
  }
  call.end();
  const response = await answered;
  await once(response, "end");
  assert.equal(received.digest("hex"), sent.digest("hex"));
});

test("streams: a client that does not read holds the device back", async (t) => {
  let written = 0;
  let waits = false;
  const rig = await startForwardRig(t, (_request, response) => {
    const chunk = Buffer.alloc(64 * 1_024);
    const more = (): void => {
      for (;;) {
        written += chunk.length;
        if (response.write(chunk)) continue;
        waits = true;
        response.once("drain", () => {
          waits = false;
          more();
        });
        return;
      }
    };
    more();
  });
  const socket = connect(rig.api.port, "127.0.0.1");
  t.after(() => socket.destroy());
  socket.on("error", () => {});
  socket.write(
    `GET ${rig.root}/ HTTP/1.1\r\nHost: hawser.test\r\nAuthorization: Bearer key-of-ann\r\n\r\n`,
  );
  await once(socket, "readable");
  // Nobody reads on: buffers of the way fill up, then nothing moves any more.
  let before = -1;
  await until(() => {
    const isStill = waits && before === written;
    before = written;
    return isStill && rig.rig.relay.inspect().receivedBytes > 0;
  }, "the device to wait");
  assert.ok(written < 64 * MIB, `${written} bytes`);
});

test("streams: a device that does not read holds the client back", async (t) => {
  const rig = await startForwardRig(t, (_request, response) => {
    // Takes the head alone.
    response.writeHead(200).write("begun");
  });
  const call = open(rig, "PUT", "/sink", { "content-type": "application/octet-stream" });
  t.after(() => call.destroy());
  const chunk = Buffer.alloc(MIB);
  let isFull = false;
  for (let sent = 0; sent < 256 && !isFull; sent++) {
    if (call.write(chunk)) continue;
    const drained = once(call, "drain").then(() => false);
    isFull = await Promise.race([drained, stillAfter(rig)]);
  }
  assert.ok(isFull, "256 MiB were taken");
});

/** True once the relay's client of the API neither sends nor waits any more: nothing moves for many turns. */
async function stillAfter(rig: ForwardRig): Promise<boolean> {
  let turns = 0;
  await until(() => {
    turns += 1;
    return turns > 20_000;
  }, `a pause at ${rig.api.port}`);
  return true;
}

test("streams: an answer that begins early arrives while the request is still being sent", async (t) => {
  const rig = await startForwardRig(t, (_request, response) => {
    response.writeHead(413, { "content-length": "3" }).end("big");
  });
  const call = open(rig, "POST", "/", {
    "content-type": "application/octet-stream",
    "content-length": String(64 * MIB),
  });
  call.write(Buffer.alloc(1_024));
  const response = await answerOf(call);
  assert.equal(response.statusCode, 413);
  let body = "";
  for await (const piece of response) body += piece;
  assert.equal(body, "big");
  call.destroy();
});

test("streams: the first event of an answer without an end arrives at once", async (t) => {
  const rig = await startForwardRig(t, (_request, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" }).write("data: 1\n\n");
  });
  const response = await answerOf(open(rig, "GET", "/events").end());
  assert.equal(response.headers["content-type"], "text/event-stream");
  const [event] = await once(response, "data");
  assert.equal(String(event), "data: 1\n\n");
  response.destroy();
});

test("streams: an answer that breaks off midway cuts the client, with and without a length", async (t) => {
  for (const headers of [{ "content-length": "100" }, {}]) {
    let breakOff = (): void => {};
    const rig = await startForwardRig(t, (_request, response) => {
      breakOff = () => response.destroy();
      response.writeHead(200, headers as Record<string, string>).write("begun");
    });
    const response = await answerOf(open(rig, "GET", "/").end());
    await once(response, "data");
    breakOff();
    await new Promise((resolve) => response.on("close", resolve));
    assert.equal(response.complete, false);
    assert.equal(rig.rig.endings.size, 0);
  }
});

test("streams: a client that leaves ends the device's request, before and after the answer began", async (t) => {
  const changes = new Changes();
  let begun = 0;
  let ended = 0;
  const rig = await startForwardRig(t, (request, response) => {
    begun += 1;
    changes.tell();
    if (request.url === "/late") response.write("begun");
    response.on("close", () => {
      ended += 1;
      changes.tell();
    });
  });
  const early = open(rig, "GET", "/early").end();
  await changes.until(() => begun === 1, "the first request");
  early.destroy();
  await changes.until(() => ended === 1, "its end");
  const late = open(rig, "GET", "/late").end();
  const response = await answerOf(late);
  response.destroy();
  await changes.until(() => ended === 2, "the second end");
  const upload = open(rig, "POST", "/up", { "content-type": "application/octet-stream" });
  upload.write("x");
  await changes.until(() => begun === 3, "the upload");
  upload.destroy();
  await changes.until(() => ended === 3, "the third end");
  await until(() => rig.rig.endings.size === 0, "nothing to be left");
});

test("streams: what runs in the name of somebody who is let in no longer is cut at once", async (t) => {
  const rig = await startForwardRig(t, (request, response) => {
    if (request.url === "/begun") response.write("begun");
  });
  const begun = await answerOf(open(rig, "GET", "/begun").end());
  const waiting = answerOf(open(rig, "GET", "/waiting").end());
  await until(() => rig.rig.relay.inspect().running === 2, "both to run");
  begun.resume();
  const cut = new Promise((resolve) => begun.on("close", resolve));
  rig.rig.endings.end(["key-of-ann"]);
  await cut;
  assert.equal(begun.complete, false);
  assert.equal((await waiting).statusCode, 401);
  await until(() => rig.rig.relay.inspect().running === 0, "the relay to be told");
  assert.equal(rig.rig.endings.size, 0);
});

test("streams: HEAD has the length and no body, and the connection serves on", async (t) => {
  const rig = await startForwardRig(t, (_request, response) => {
    response.setHeader("content-length", "5").end("hello");
  });
  const head = await rig.send("HEAD", "/");
  assert.equal(head.status, 200);
  assert.equal(head.fields.get("content-length"), "5");
  assert.equal(head.raw.toString("latin1").split("\r\n\r\n")[1], "");
  assert.equal((await rig.send("GET", "/")).body.toString(), "hello");
});

test("streams: a client that waits for 100 gets it, and the device does not see the expectation", async (t) => {
  const rig = await startForwardRig(t, (request, response) => {
    request.resume().on("end", () => response.end(request.headers.expect ?? "none"));
  });
  const call = open(rig, "POST", "/", {
    "content-type": "application/octet-stream",
    "content-length": "2",
    expect: "100-continue",
  });
  call.flushHeaders();
  await once(call, "continue");
  call.end("ab");
  const response = await answerOf(call);
  let body = "";
  for await (const piece of response) body += piece;
  assert.equal(body, "none");
});

test("streams: trailers and interim answers are dropped", async (t) => {
  const rig = await startForwardRig(t, (_request, response) => {
    response.writeEarlyHints({ link: "</a>; rel=preload" });
    response.writeHead(200, { trailer: "x-after" });
    response.write("body");
    response.addTrailers({ "x-after": "canary" });
    response.end();
  });
  const answer = await rig.send("GET", "/");
  assert.equal(answer.status, 200);
  assert.equal(answer.body.toString(), "body");
  assert.doesNotMatch(answer.raw.toString("latin1"), /canary|103|x-after/);
});

test("limits: requests under way in all, and of one tenant, have an end", async (t) => {
  const rig = await startForwardRig(t, () => {}, { inFlightMax: 3, inFlightPerTenantMax: 2 });
  const calls = [open(rig, "GET", "/1").end(), open(rig, "GET", "/2").end()];
  await until(() => rig.rig.relay.inspect().running === 2, "both to run");
  const over = await rig.send("GET", "/3");
  assert.deepEqual([over.status, over.fields.get("retry-after")], [429, "1"]);
  assert.equal(JSON.parse(over.body.toString()).code, "forward_limited");
  for (const call of calls) call.destroy();
  await until(() => rig.rig.endings.size === 0, "both to end");
  const again = open(rig, "GET", "/4").end();
  await until(() => rig.rig.relay.inspect().running === 1, "one to run");
  again.destroy();
});
