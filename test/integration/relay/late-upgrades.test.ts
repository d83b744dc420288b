import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import WebSocket from "ws";
import { type ApiStandIn, startApiStandIn } from "../../support/api/api-stand-in.ts";
import { CliProcess } from "../../support/cli.ts";
import { makeCertificate, type TestCertificate } from "../../support/relay/certificate.ts";

/**
 * Tunnels whose token has to be asked about: the WebSocket is made once the request's handler is over. None may be lost
 * as it opens, which is likeliest in a relay that has just started: each test has relays of its own.
 */

const SECRET = "internal-secret-of-the-tests-0123456789";
/** Fresh relays a test, and what dials each. */
const RELAYS = 2;
const DEVICES = 60;
/**
 * The allocator overwrites what is freed, at once, with bytes that read as "end this connection": so whoever reads the
 * state of an HTTP response after it is freed loses the tunnel nearly each time, not now and then.
 */
const OVERWRITING = "glibc.malloc.tcache_count=0:glibc.malloc.perturb=80";

interface Outcomes {
  /** Those whose WebSocket answered a ping after it had opened. */
  readonly alive: number;
  /** The different ways in which the others ended. */
  readonly lost: readonly string[];
}

/** Dials, pings once open, and tells "alive" at the pong, else how it ended. */
function dial(t: TestContext, url: string, token: string, ca: string | undefined): Promise<string> {
  const webSocket = new WebSocket(`${url}/tunnel/connect`, {
    headers: { authorization: `Bearer ${token}` },
    perMessageDeflate: false,
    ...(ca === undefined ? {} : { ca }),
  });
  t.after(() => webSocket.terminate());
  return new Promise((resolve) => {
    let isOpen = false;
    webSocket.once("open", () => {
      isOpen = true;
      webSocket.ping();
    });
    webSocket.once("pong", () => resolve("alive"));
    webSocket.once("close", (code) =>
      resolve(`closed with ${code}${isOpen ? " as it opened" : ""}`),
    );
    webSocket.on("error", (error) => resolve(error.message));
  });
}

/** Starts a relay, and lets all devices dial it at once. */
async function outcomesOf(
  t: TestContext,
  api: ApiStandIn,
  certificate: TestCertificate | null,
): Promise<Outcomes> {
  const tls =
    certificate === null
      ? []
      : ["--tls-cert", certificate.certFile, "--tls-key", certificate.keyFile];
  const ports = ["--listen-host", "127.0.0.1", "--listen-port", "0", "--internal-port", "0"];
  const relay = new CliProcess(t, ["relay", "--api", api.origin, ...ports, ...tls], {
    HAWSER_INTERNAL_SECRET: SECRET,
    GLIBC_TUNABLES: OVERWRITING,
  });
  const [, port = ""] = await relay.printed(/"listen":"127\.0\.0\.1:(\d+)"/);
  const url = `${certificate === null ? "ws" : "wss"}://127.0.0.1:${port}`;
  const tokens = Array.from({ length: DEVICES }, () => api.addDevice().token.text);
  const ends = await Promise.all(tokens.map((token) => dial(t, url, token, certificate?.pem)));
  return {
    alive: ends.filter((end) => end === "alive").length,
    lost: [...new Set(ends.filter((end) => end !== "alive"))],
  };
}

async function expectAllAlive(
  t: TestContext,
  certificate: TestCertificate | null = null,
): Promise<void> {
  const api = await startApiStandIn(t, SECRET);
  const runs = Array.from({ length: RELAYS }, () => outcomesOf(t, api, certificate));
  for (const outcomes of await Promise.all(runs)) {
    assert.deepEqual(outcomes, { alive: DEVICES, lost: [] });
  }
  assert.equal(api.checks, RELAYS * DEVICES, "each token had to be asked about");
}

const isLinux = process.platform === "linux";
const onLinux = { skip: isLinux ? false : "the binary is adapted on Linux only" };

test("late upgrades: nothing that an upgrade has freed is read", onLinux, async (t) => {
  await expectAllAlive(t);
});

test("late upgrades: nothing that an upgrade over TLS has freed is read", onLinux, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "hawser-test-"));
  t.after(() => rmSync(folder, { recursive: true }));
  await expectAllAlive(t, makeCertificate(folder, "relay"));
});
