import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:https";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import { ApiClient, ApiRefusal, apiAddress } from "../../../src/cli/api-client.ts";
import { CommandError } from "../../../src/cli/errors.ts";
import { ConfigError } from "../../../src/core/errors.ts";
import { makeCertificate } from "../../support/relay/certificate.ts";
import { startScriptedApi } from "../../support/scripted-api.ts";

async function failureOf(work: Promise<unknown>): Promise<CommandError> {
  const error = await work.then(
    () => null,
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof CommandError, String(error));
  return error;
}

function clientOf(t: TestContext, api: string, more: { ca?: string; timeoutMs?: number } = {}) {
  const client = new ApiClient({ api, key: "hwk_canary", ...more });
  t.after(() => client.close());
  return client;
}

test("api client: a certificate is checked, against the file that is named", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "hawser-client-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const { certFile: ca, keyFile, pem: cert } = makeCertificate(folder, "localhost");
  const key = await readFile(keyFile);
  let served = 0;
  const server = createServer({ cert, key }, (_request, response) => {
    served += 1;
    response.end("{}");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  const url = `https://localhost:${(server.address() as AddressInfo).port}`;
  const untrusted = await failureOf(clientOf(t, url).post("/x"));
  assert.equal(untrusted.code, "ERR_CLI_API_UNREACHABLE");
  assert.match(untrusted.advice, /--ca <file>/);
  assert.equal(served, 0);
  assert.deepEqual(await clientOf(t, url, { ca }).post("/x"), {});
});

test("api client: a server that says nothing is waited for no longer than told", async (t) => {
  const server = createTcpServer(() => {});
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const silent = await failureOf(clientOf(t, url, { timeoutMs: 50 }).get("/x"));
  assert.equal(silent.code, "ERR_CLI_API_UNREACHABLE");
  assert.match(silent.message, /no answer in time/);
});

test("api client: a proxy's path stands in front of all paths", async (t) => {
  const { url, asked } = await startScriptedApi(t, () => ({ body: {} }));
  await clientOf(t, `${url}/hawser/`).get("/api/devices", { limit: 5, tag: undefined });
  assert.equal(asked[0]?.target, "/hawser/api/devices?limit=5");
});

test("api client: what does not fit is told by place, and a server's text steers nothing", async (t) => {
  const { url } = await startScriptedApi(t, () => ({
    status: 400,
    body: {
      code: "invalid_request",
      detail: "It does\nnot fit.",
      request_id: "r\u001b[1m",
      issues: [{ in: "body", pointer: "/name", detail: "is too long" }],
    },
  }));
  const error = await failureOf(clientOf(t, url).post("/x", {}));
  assert.ok(error instanceof ApiRefusal);
  assert.deepEqual([error.status, error.code], [400, "invalid_request"]);
  assert.equal(error.message, "It does not fit. (name is too long) [request r [1m]");
});

test("api client: an address is one of http or https, without user, query and fragment", () => {
  assert.equal(apiAddress("https://API.example.org:443/"), "https://api.example.org");
  for (const text of [
    "api.example.org",
    "ftp://x",
    "https://user:pa55@x",
    "https://x?y",
    "https://x#y",
  ]) {
    assert.throws(
      () => apiAddress(text),
      (error) => error instanceof ConfigError && !error.message.includes("pa55"),
    );
  }
});
