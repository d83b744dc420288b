import assert from "node:assert/strict";
import test from "node:test";
import { type AccessProxy, accessProxyServer } from "../../../src/access-proxy/index.ts";
import { TargetClient } from "../../../src/access-proxy/target-client.ts";

test("server: a head has a minute, and a body as long as it takes", () => {
  const server = accessProxyServer({} as AccessProxy, { pathProx: "/", pathOk: "/ok" });
  assert.equal(server.headersTimeout, 60_000);
  assert.equal(server.requestTimeout, 0);
});

test("targets: a device's origin is unreachable where there is no edge, whatever its name leads to", (t) => {
  const targets = new TargetClient({
    connectTimeoutMs: 1_000,
    headTimeoutMs: 1_000,
    ca: null,
    edge: null,
  });
  t.after(() => targets.close());
  const destination = {
    origin: "http://127.0.0.1:9",
    taId: "ta",
    pathPrefix: "/",
    allowHttp: true,
    allowPrivate: true,
    device: "abcdefgh234567ab",
  };
  assert.throws(() => targets.send("GET", new URL(destination.origin), [], destination, null), {
    code: "ERR_ACCESS_PROXY_UNREACHABLE",
  });
});
