import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:https";
import { type AddressInfo, createServer as createTcpServer, type Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { ID, onlyTo, startRig } from "../../support/access-proxy/rig.ts";
import { makeCertificate } from "../../support/agent/tls.ts";
import { skipWithout } from "../../support/go.ts";

/** Destinations over TLS: whose certificates are taken. TA cooperation, section 4.9, row E23. */

const needed = { skip: skipWithout("openssl") };
const BAD_ANSWER = [500, "destination did not give a valid response"];

interface Asked {
  readonly status: number;
  readonly text: unknown;
}

/** A target with a certificate for localhost and 127.0.0.1, and what a call to it by `host` gives. */
async function tlsTarget(
  t: TestContext,
  address = "127.0.0.1",
): Promise<{
  readonly cert: string;
  /** How many requests it got. */
  readonly count: () => number;
  ask(host: string, ca: string | null): Promise<Asked>;
}> {
  const certificate = makeCertificate();
  assert.ok(certificate !== null, "openssl makes a certificate");
  let count = 0;
  const server = createServer(certificate, (_message, answer) => {
    count++;
    answer.end("there");
  });
  server.listen(0, address);
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  const ask = async (host: string, ca: string | null): Promise<Asked> => {
    const origin = `https://${host}:${port}`;
    const destinationPolicy = onlyTo(origin, { allowHttp: false });
    const rig = await startRig({ options: { ca, destinationPolicy } });
    t.after(() => rig.stop());
    const { status, body, headers: fields } = await rig.call({ to: `${origin}/`, headers: ID });
    return { status, text: fields["x-access-proxy-error"] ?? body.toString() };
  };
  return { cert: certificate.cert, count: () => count, ask };
}

test("E23: a certificate that nobody trusts is not taken", needed, async (t) => {
  const { ask, count } = await tlsTarget(t);
  const { status, text } = await ask("localhost", null);
  assert.deepEqual([status, text], BAD_ANSWER);
  assert.equal(count(), 0);
});

test(
  "a certificate that is given as trusted is taken, by name and by address",
  needed,
  async (t) => {
    const { ask, cert } = await tlsTarget(t);
    for (const host of ["localhost", "127.0.0.1"]) {
      assert.deepEqual(await ask(host, cert), { status: 200, text: "there" });
    }
  },
);

test("E23: a trusted certificate of another host is not taken", needed, async (t) => {
  const { ask, cert, count } = await tlsTarget(t, "127.0.0.2");
  const { status, text } = await ask("127.0.0.2", cert);
  assert.deepEqual([status, text], BAD_ANSWER);
  assert.equal(count(), 0);
});

test("E23: another certificate that is trusted does not help", needed, async (t) => {
  const { ask, count } = await tlsTarget(t);
  const { status, text } = await ask("localhost", makeCertificate()?.cert ?? "");
  assert.deepEqual([status, text], BAD_ANSWER);
  assert.equal(count(), 0);
});

const HANDSHAKES: ReadonlyArray<readonly [how: string, act: (socket: Socket) => void]> = [
  ["closes the connection", (socket) => socket.end()],
  ["speaks plain HTTP", (socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n")],
];
for (const [how, act] of HANDSHAKES) {
  test(`E23: a target that ${how} amid the handshake`, async (t) => {
    const server = createTcpServer((socket) => {
      socket.on("error", () => undefined);
      socket.once("data", () => act(socket));
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    t.after(() => server.close());
    const destinationPolicy = { allowAny: true, destinations: [] };
    const rig = await startRig({ options: { destinationPolicy } });
    t.after(() => rig.stop());
    const { port } = server.address() as AddressInfo;
    const { status, headers } = await rig.call({ to: `https://127.0.0.1:${port}/` });
    assert.deepEqual([status, headers["x-access-proxy-error"]], BAD_ANSWER);
  });
}
