/** Answers of a real service behind a real agent: at the edge, at the internal forward and through the API. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type IncomingMessage, request, type ServerResponse } from "node:http";
import test, { type TestContext } from "node:test";
import { connect } from "../../../src/agent/index.ts";
import { serveHttp } from "../../support/http-service.ts";
import { makeHoldings } from "../../support/product/holdings.ts";
import { INTERNAL_SECRET, startProduct } from "../../support/product/product.ts";

interface Way {
  readonly name: string;
  ask(method: string, path: string): Promise<IncomingMessage>;
}

type Service = (request: IncomingMessage, response: ServerResponse) => void;

async function threeWays(t: TestContext, service: Service): Promise<readonly Way[]> {
  const product = await startProduct(t);
  const { deviceId, deviceToken, key } = await makeHoldings(await product.signIn("anna"));
  const port = await serveHttp(t, service);
  const agent = connect({
    relay: product.edgeUrl.replace(/^http/, "ws"),
    token: deviceToken,
    to: `http://127.0.0.1:${port}`,
  });
  t.after(() => agent.close());
  await agent.ready();
  const way = (name: string, port: number, prefix: string, secret: string): Way => ({
    name,
    ask: async (method, path) => {
      const headers = { authorization: `Bearer ${secret}` };
      const options = { host: "127.0.0.1", port, path: prefix + path, method, headers };
      const call = request({ ...options, agent: false });
      t.after(() => call.destroy());
      call.end();
      const [response] = (await once(call, "response")) as [IncomingMessage];
      response.on("error", () => {});
      return response;
    },
  });
  const { relay, app } = product;
  const forward = `/internal/device/${deviceId}/forward`;
  return [
    way("edge", relay.port, `/d/${deviceId}`, key),
    way("internal", relay.internalPort, forward, INTERNAL_SECRET),
    way("api", app.port, `/api/devices/${deviceId}/http`, key),
  ];
}

async function textOf(response: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of response) text += String(chunk);
  return text;
}

test("a stream of events that is silent at first begins with its head, and loses no event", {
  timeout: 30_000,
}, async (t) => {
  const silent: ServerResponse[] = [];
  const ways = await threeWays(t, (_request, response) => {
    response.setHeader("content-type", "text/event-stream; charset=utf-8");
    response.flushHeaders();
    silent.push(response);
  });
  for (const { name, ask } of ways) {
    // The service says nothing more until the head is here.
    const response = await ask("GET", "/events");
    assert.equal(response.statusCode, 200, name);
    const own = silent.pop();
    assert.ok(own !== undefined, name);
    // A byte order mark counts as one at the very start alone.
    own.write("\ufeffdata: one\n\n");
    own.end("data: two\n\n");
    assert.equal(await textOf(response), ":\n\ndata: one\n\ndata: two\n\n", name);
  }
  assert.equal(silent.length, 0);
});

test("a stream of events whose first event comes with its head is as the device sent it", {
  timeout: 30_000,
}, async (t) => {
  const ways = await threeWays(t, (_request, response) => {
    response.setHeader("content-type", "text/event-stream");
    response.cork();
    response.write("data: one\n\n");
    response.uncork();
    response.end("data: two\n\n");
  });
  for (const { name, ask } of ways) {
    assert.equal(await textOf(await ask("GET", "/")), "data: one\n\ndata: two\n\n", name);
  }
});

test("nothing is added to an answer that is no stream of events, or is not to be changed", {
  timeout: 30_000,
}, async (t) => {
  const fields: Readonly<Record<string, Record<string, string>>> = {
    "/plain": { "content-type": "text/plain" },
    "/coded": { "content-type": "text/event-stream", "content-encoding": "gzip" },
    "/kept": { "content-type": "text/event-stream", "cache-control": "private, no-transform" },
    "/other": { "content-type": "text/event-stream-like" },
  };
  const ways = await threeWays(t, (asked, response) => {
    for (const [name, value] of Object.entries(fields[asked.url ?? ""] ?? {})) {
      response.setHeader(name, value);
    }
    response.flushHeaders();
    // The head alone has left before the body does.
    setImmediate(() => response.end("body"));
  });
  for (const { name, ask } of ways) {
    for (const path of Object.keys(fields)) {
      assert.equal(await textOf(await ask("GET", path)), "body", `${name} ${path}`);
    }
  }
});

test("answers without a body, and behind interim ones, are whole and leave the way good", {
  timeout: 30_000,
}, async (t) => {
  const ways = await threeWays(t, (asked, response) => {
    const status = Number(asked.url?.slice(1));
    if (status === 103) response.writeEarlyHints({ link: "</style.css>; rel=preload" });
    if (status === 102) response.writeProcessing();
    if (status === 100) response.writeContinue();
    response.statusCode = Math.max(status, 200);
    if (status === 304) response.setHeader("etag", '"x"');
    if (status === 204 || status === 304) response.end();
    else response.setHeader("content-length", 5).end("hello");
  });
  for (const { name, ask } of ways) {
    for (const path of ["/200", "/100", "/102", "/103", "/204", "/304", "/404"]) {
      for (const method of ["GET", "HEAD"]) {
        const where = `${name}: ${method} ${path}`;
        const wanted = Number(path.slice(1));
        const response = await ask(method, path);
        assert.equal(response.statusCode, Math.max(wanted, 200), where);
        const isEmpty = method === "HEAD" || wanted === 204 || wanted === 304;
        assert.equal(await textOf(response), isEmpty ? "" : "hello", where);
        assert.equal(
          response.headers["content-length"] === "5",
          !(wanted === 204 || wanted === 304),
          where,
        );
        assert.equal(response.headers["transfer-encoding"], undefined, where);
        if (wanted === 304) assert.equal(response.headers.etag, '"x"', where);
      }
    }
  }
});
