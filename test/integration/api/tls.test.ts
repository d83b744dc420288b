import assert from "node:assert/strict";
import { once } from "node:events";
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { Agent, request } from "node:https";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { type ConnectionOptions, type TLSSocket, connect as tlsConnect } from "node:tls";
import {
  API_DEFAULTS,
  apiOptionsProblems,
  type Reply,
  type Route,
  route,
  text,
} from "../../../src/api/index.ts";
import { type Api, startApi } from "../../support/api/harness.ts";
import { makeCertificate, type TestCertificate } from "../../support/relay/certificate.ts";

interface Secure {
  readonly api: Api;
  readonly first: TestCertificate;
  readonly second: TestCertificate;
  readonly tlsCertFile: string;
  readonly tlsKeyFile: string;
}

function open(handler: Route["handler"], path = "/open"): Route {
  return route({
    method: "GET",
    path,
    class: "public",
    reason: "It belongs to a test.",
    summary: "A test.",
    responses: { 200: { description: "Done." } },
    handler,
  });
}

function folderOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "hawser-api-tls-"));
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

/** A listener with TLS, whose files can be exchanged, and two certificates. */
async function startSecure(
  t: TestContext,
  handler: Route["handler"] = () => text(200, "hello", "text/plain"),
): Promise<Secure> {
  const folder = folderOf(t);
  const [first, second] = [makeCertificate(folder, "first"), makeCertificate(folder, "second")];
  const [tlsCertFile, tlsKeyFile] = [join(folder, "api.crt"), join(folder, "api.key")];
  copyFileSync(first.certFile, tlsCertFile);
  copyFileSync(first.keyFile, tlsKeyFile);
  const api = await startApi(t, [open(handler)], { tlsCertFile, tlsKeyFile });
  return { api, first, second, tlsCertFile, tlsKeyFile };
}

interface Answer {
  readonly status: number | undefined;
  readonly text: string;
  /** Common name of the certificate that the connection was made with. */
  readonly name: string;
  readonly alpn: string | false | null;
}

async function ask(secure: Secure, ca: string, agent: Agent | false = false): Promise<Answer> {
  const { port } = secure.api;
  const outgoing = request({ host: "127.0.0.1", port, path: "/open", ca, agent });
  outgoing.end();
  const [response] = (await once(outgoing, "response")) as [IncomingMessage];
  const socket = response.socket as TLSSocket;
  const name = String(socket.getPeerCertificate().subject?.CN ?? "");
  const alpn = socket.alpnProtocol;
  let body = "";
  for await (const piece of response) body += String(piece);
  return { status: response.statusCode, text: body, name, alpn };
}

async function dial(secure: Secure, over: ConnectionOptions = {}): Promise<TLSSocket> {
  const { api, first } = secure;
  const socket = tlsConnect({ port: api.port, host: "127.0.0.1", ca: first.pem, ...over });
  await once(socket, "secureConnect");
  return socket;
}

describe("TLS of the API listener", () => {
  it("serves HTTP/1.1, and says so in the handshake", async (t) => {
    const secure = await startSecure(t);
    const agent = new Agent({ ALPNProtocols: ["h2", "http/1.1"] });
    t.after(() => agent.destroy());
    const { status, text: body, name, alpn } = await ask(secure, secure.first.pem, agent);
    assert.deepEqual([status, body, name, alpn], [200, "hello", "first", "http/1.1"]);
  });

  it("refuses clients of HTTP/2 alone and of TLS 1.1 in the handshake", async (t) => {
    const secure = await startSecure(t);
    await assert.rejects(dial(secure, { ALPNProtocols: ["h2"] }), /no application protocol/i);
    const old = { minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" };
    await assert.rejects(dial(secure, old as ConnectionOptions));
    assert.equal((await ask(secure, secure.first.pem)).status, 200);
  });

  it("cuts what is no handshake without an answer, and serves the others on", async (t) => {
    const secure = await startSecure(t);
    for (const garbage of ["GET /open HTTP/1.1\r\nHost: a\r\n\r\n", "\u0016\u0003\u0001\u0000"]) {
      const socket = connect(secure.api.port, "127.0.0.1");
      let received = "";
      socket.on("data", (piece: Buffer) => {
        received += piece.toString("latin1");
      });
      socket.on("error", () => undefined);
      socket.end(garbage);
      await once(socket, "close");
      assert.doesNotMatch(received, /HTTP/);
    }
    assert.equal((await ask(secure, secure.first.pem)).status, 200);
  });

  it("reads the certificate again: new connections have the new one, old ones go on", async (t) => {
    const secure = await startSecure(t);
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    t.after(() => agent.destroy());
    assert.equal((await ask(secure, secure.first.pem, agent)).name, "first");
    copyFileSync(secure.second.certFile, secure.tlsCertFile);
    copyFileSync(secure.second.keyFile, secure.tlsKeyFile);
    secure.api.server.reloadTls();
    await secure.api.logged(({ msg }) => msg === "certificate read again");
    assert.equal((await ask(secure, secure.second.pem)).name, "second");
    assert.equal((await ask(secure, secure.first.pem, agent)).name, "first");
  });

  it("keeps the old certificate where the new pair cannot be used, and says so", async (t) => {
    const secure = await startSecure(t);
    copyFileSync(secure.second.certFile, secure.tlsCertFile);
    secure.api.server.reloadTls();
    const line = await secure.api.logged(({ msg }) => /old one stays/.test(String(msg)));
    assert.match(String(line["reason"]), /is not the key of the certificate/);
    assert.equal((await ask(secure, secure.first.pem)).name, "first");
    rmSync(secure.tlsKeyFile);
    secure.api.server.reloadTls();
    await secure.api.logged(({ reason }) => /cannot be read/.test(String(reason)));
    assert.equal((await ask(secure, secure.first.pem)).name, "first");
  });

  it("stops: idle connections end, a running request is finished", async (t) => {
    let called = (): void => undefined;
    let answer: (reply: Reply) => void = () => undefined;
    const running = new Promise<void>((resolve) => {
      called = resolve;
    });
    const reply = new Promise<Reply>((resolve) => {
      answer = resolve;
    });
    const secure = await startSecure(t, () => {
      called();
      return reply;
    });
    const idle = await dial(secure);
    idle.on("error", () => undefined);
    const silent = connect(secure.api.port, "127.0.0.1");
    silent.on("error", () => undefined);
    await once(silent, "connect");
    const answered = ask(secure, secure.first.pem);
    await running;
    const closed = Promise.all([once(idle, "close"), once(silent, "close")]);
    const stopped = secure.api.server.stop();
    await closed;
    answer(text(200, "done", "text/plain"));
    assert.equal((await answered).text, "done");
    await stopped;
  });

  it("tells what keeps a pair from being used, and shows nothing of it", (t) => {
    const folder = folderOf(t);
    const [first, second] = [makeCertificate(folder, "first"), makeCertificate(folder, "second")];
    const junk = join(folder, "junk.pem");
    writeFileSync(junk, "canary");
    const cases: readonly (readonly [string | null, string | null, string[]])[] = [
      [null, null, []],
      [first.certFile, first.keyFile, []],
      [first.certFile, null, ["tlsKeyFile"]],
      [null, first.keyFile, ["tlsCertFile"]],
      [first.certFile, second.keyFile, ["tlsKeyFile"]],
      [junk, junk, ["tlsCertFile", "tlsKeyFile"]],
      [join(folder, "none"), first.keyFile, ["tlsCertFile"]],
    ];
    for (const [tlsCertFile, tlsKeyFile, wanted] of cases) {
      const publicBaseUrl = "https://api.test";
      const problems = apiOptionsProblems({
        ...API_DEFAULTS,
        publicBaseUrl,
        tlsCertFile,
        tlsKeyFile,
      });
      assert.deepEqual(
        problems.map(({ setting }) => setting),
        wanted,
      );
      assert.doesNotMatch(JSON.stringify(problems), /canary/);
    }
  });
});
