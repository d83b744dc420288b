import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { parseAuthorizeRequest } from "../../../src/core/authorize.ts";
import { CliProcess, runCli } from "../../support/cli.ts";
import { makeCertificate } from "../../support/relay/certificate.ts";

/** `hawser relay --api https://…`: the API server behind TLS, with a certificate of its operator's own. */

const SECRET = "internal-secret-canary-0123456789abcdef";
const ON_LOOPBACK = ["--listen-host", "127.0.0.1", "--listen-port", "0", "--internal-port", "0"];

/** An https server that answers authorize calls about nothing. */
async function httpsApi(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), "hawser-relay-tls-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const { certFile, keyFile } = makeCertificate(folder, "api");
  const bearers: (string | undefined)[] = [];
  const options = { cert: readFileSync(certFile), key: readFileSync(keyFile) };
  const server: Server = createServer(options, (request, response) => {
    bearers.push(request.headers.authorization);
    let text = "";
    request.on("data", (piece) => {
      text += piece;
    });
    request.on("end", () => {
      assert.ok(parseAuthorizeRequest(text) !== null);
      response.end(JSON.stringify({ tokens: [], keys: [], devices: [], revoked: [] }));
    });
  }).listen(0, "127.0.0.1");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const asked = once(server, "request");
  return { url: `https://localhost:${port}`, certFile, bearers, asked };
}

test("hawser relay --api https://: asks over TLS, the certificate checked against --api-ca", async (t) => {
  const { url, certFile, bearers, asked } = await httpsApi(t);
  const words = ["relay", "--api", url, "--api-ca", certFile, ...ON_LOOPBACK];
  const relay = new CliProcess(t, words, { HAWSER_INTERNAL_SECRET: SECRET });
  await asked;
  relay.child.kill("SIGTERM");
  const { code, stdout } = await relay.finished();
  assert.equal(code, 0);
  assert.deepEqual(bearers, [`Bearer ${SECRET}`]);
  assert.doesNotMatch(stdout, /plain HTTP/);
});

test("hawser relay --api https://: a certificate that nobody vouches for gets no secret", async (t) => {
  const { url, bearers } = await httpsApi(t);
  const relay = new CliProcess(t, ["relay", "--api", url, ...ON_LOOPBACK], {
    HAWSER_INTERNAL_SECRET: SECRET,
  });
  await relay.printed(/the API server is away/);
  relay.child.kill("SIGTERM");
  assert.equal((await relay.finished()).code, 0);
  assert.deepEqual(bearers, []);
});

test("hawser relay --api-ca: refused where it has no effect, or cannot be read", async (t) => {
  const { certFile } = await httpsApi(t);
  const check = ["relay", "--check-config", "--api"];
  const environment = { HAWSER_INTERNAL_SECRET: SECRET };
  const plain = await runCli(
    t,
    [...check, "http://127.0.0.1:1", "--api-ca", certFile],
    environment,
  );
  assert.equal(plain.code, 2);
  assert.match(plain.stderr, /--api-ca: has no effect: --api is no https:/);
  const missing = await runCli(t, [...check, "https://h", "--api-ca", "/no/such.pem"], environment);
  assert.equal(missing.code, 2);
  assert.match(missing.stderr, /--api-ca/);
});
