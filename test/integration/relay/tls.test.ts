import assert from "node:assert/strict";
import { once } from "node:events";
import { copyFile, writeFile } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import { Agent as KeepAlive, request } from "node:https";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import type { TLSSocket } from "node:tls";
import { ConfigError } from "../../../src/core/errors.ts";
import { makeCertificate } from "../../support/relay/certificate.ts";
import {
  startTestRelay,
  type TestRelay,
  temporaryFolder,
} from "../../support/relay/start-relay.ts";

interface SecureAnswer {
  readonly status: number;
  readonly text: string;
  /** Common name of the certificate that the connection was made with. */
  readonly name: string;
}

/** One HTTPS request to the edge; without `agent` on a connection of its own. */
async function askSecurely(
  started: TestRelay,
  path: string,
  ca: string,
  agent: KeepAlive | false = false,
): Promise<SecureAnswer> {
  const req = request({
    host: "127.0.0.1",
    port: started.relay.port,
    path,
    ca,
    agent,
    headers: { authorization: `Bearer ${started.key.text}` },
  });
  req.end();
  const [response] = (await once(req, "response")) as [IncomingMessage];
  const subject = (response.socket as TLSSocket).getPeerCertificate().subject;
  const pieces: Buffer[] = [];
  for await (const piece of response) pieces.push(piece as Buffer);
  return {
    status: response.statusCode ?? 0,
    text: Buffer.concat(pieces).toString(),
    name: String(subject?.CN ?? ""),
  };
}

/** A relay with TLS, whose files can be exchanged, and two certificates. */
async function setUp(t: TestContext) {
  const folder = await temporaryFolder(t);
  const [first, second] = [makeCertificate(folder, "first"), makeCertificate(folder, "second")];
  const [tlsCertFile, tlsKeyFile] = [join(folder, "relay.crt"), join(folder, "relay.key")];
  await copyFile(first.certFile, tlsCertFile);
  await copyFile(first.keyFile, tlsKeyFile);
  const started = await startTestRelay(t, { tlsCertFile, tlsKeyFile });
  return { started, first, second, tlsCertFile, tlsKeyFile, folder };
}

test("devices dial wss and clients call https; the device is told so", async (t) => {
  const { started, first } = await setUp(t);
  await started.connect({
    ca: first.pem,
    http: (req, res) => res.end(`${req.headers["x-forwarded-proto"]} ${req.headers.forwarded}`),
  });
  const path = `/d/${started.devices[0]?.deviceId}/`;
  const answer = await askSecurely(started, path, first.pem);
  assert.equal(answer.status, 200);
  assert.match(answer.text, /^https for=127\.0\.0\.1;host=.*;proto=https$/);
  await assert.rejects(started.edge(path), /ECONNRESET|socket hang up/);
});

test("a body of 4 MiB passes over TLS whole", async (t) => {
  const { started, first } = await setUp(t);
  await started.connect({ ca: first.pem, http: (_req, res) => res.end("x".repeat(4 << 20)) });
  const path = `/d/${started.devices[0]?.deviceId}/`;
  assert.equal((await askSecurely(started, path, first.pem)).text.length, 4 << 20);
});

for (const direction of ["up", "down"] as const) {
  test(`four bodies of 8 MiB at once over TLS, ${direction}, whole, and the tunnel lives on`, async (t) => {
    const { started, first } = await setUp(t);
    const body = Buffer.alloc(8 << 20, "b");
    const device = await started.connect({
      ca: first.pem,
      http: (req, res) => {
        let bytes = 0;
        req.on("data", (piece: Buffer) => {
          bytes += piece.length;
        });
        req.on("end", () => res.end(direction === "up" ? String(bytes) : body));
      },
    });
    const transfer = async (): Promise<string> => {
      const req = request({
        host: "127.0.0.1",
        port: started.relay.port,
        path: `/d/${started.devices[0]?.deviceId}/`,
        method: "POST",
        ca: first.pem,
        agent: false,
        headers: { authorization: `Bearer ${started.key.text}` },
      });
      req.end(direction === "up" ? body : "");
      const [response] = (await once(req, "response")) as [IncomingMessage];
      let bytes = 0;
      let text = "";
      for await (const piece of response) {
        bytes += (piece as Buffer).length;
        if (direction === "up") text += piece;
      }
      return direction === "up" ? text : String(bytes);
    };
    const all = await Promise.all([transfer(), transfer(), transfer(), transfer()]);
    assert.deepEqual(all, Array(4).fill(String(body.length)));
    assert.equal(device.session.isOpen, true);
  });
}

test("reload: new connections get the new certificate, open ones live on", async (t) => {
  const { started, first, second, tlsCertFile, tlsKeyFile } = await setUp(t);
  const device = await started.connect({ ca: first.pem, http: (_req, res) => res.end("hi") });
  const path = `/d/${started.devices[0]?.deviceId}/`;
  const keepAlive = new KeepAlive({ keepAlive: true, maxSockets: 1 });
  t.after(() => keepAlive.destroy());
  assert.equal((await askSecurely(started, path, first.pem, keepAlive)).name, "first");

  for (const [from, name] of [
    [second, "second"],
    [first, "first"],
    [second, "second"],
  ] as const) {
    await copyFile(from.certFile, tlsCertFile);
    await copyFile(from.keyFile, tlsKeyFile);
    started.relay.reloadTls();
    // The relay has asked for this end of the loop's turn before us.
    await setImmediate();
    assert.equal((await askSecurely(started, path, from.pem)).name, name);
  }
  const old = await askSecurely(started, path, first.pem, keepAlive);
  assert.deepEqual([old.status, old.name], [200, "first"]);
  assert.equal(device.session.isOpen, true);

  await started.relay.drain();
  await device.closed;
  await assert.rejects(askSecurely(started, path, second.pem), /ECONNREFUSED/);
});

test("reload: files that cannot be used are logged, and the old certificate stays", async (t) => {
  const { started, first, second, tlsCertFile, tlsKeyFile } = await setUp(t);
  for (const [certificate, key] of [
    ["not PEM", "not PEM"],
    ["", ""],
    [second.pem, undefined],
  ] as const) {
    await writeFile(tlsCertFile, certificate);
    if (key !== undefined) await writeFile(tlsKeyFile, key);
    else await copyFile(first.keyFile, tlsKeyFile);
    started.relay.reloadTls();
    // The relay has asked for this end of the loop's turn before us.
    await setImmediate();
    assert.equal((await askSecurely(started, "/", first.pem)).name, "first");
  }
  const complaints = started.log.filter((line) => /cannot be used/.test(String(line["msg"])));
  assert.equal(complaints.length, 3);
});

test("reload has no effect without TLS", async (t) => {
  const started = await startTestRelay(t);
  started.relay.reloadTls();
  assert.equal((await started.edge("/")).status, 404);
});

test("a start with a certificate that cannot be used, or half a pair, is a ConfigError", async (t) => {
  const folder = await temporaryFolder(t);
  const [first, second] = [makeCertificate(folder, "first"), makeCertificate(folder, "second")];
  for (const [tlsCertFile, tlsKeyFile, setting] of [
    [first.certFile, second.keyFile, "tlsCertFile"],
    [join(folder, "missing"), first.keyFile, "tlsCertFile"],
    [first.certFile, null, "tlsKeyFile"],
    [null, first.keyFile, "tlsCertFile"],
  ] as const) {
    await assert.rejects(startTestRelay(t, { tlsCertFile, tlsKeyFile }), (error: unknown) => {
      assert.ok(error instanceof ConfigError);
      assert.deepEqual(
        error.problems.map((problem) => problem.setting),
        [setting],
      );
      return true;
    });
  }
});
