import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { createServer, type IncomingMessage, request } from "node:http";
import { type TestContext, test } from "node:test";
import { testFolder } from "../../support/access-proxy/folder.ts";
import { type ProxyProcess, startProxyProcess, USERS } from "../../support/access-proxy/process.ts";
import { bodyOf, listening, ScriptedIdp, signingKey } from "../../support/access-proxy/rig.ts";

/** A large body takes no more memory than a small one, whichever way it goes. */

const MIB = 2 ** 20;
const WARM_BYTES = 64 * MIB;
/** What is read into falls to the collector, which comes when it likes: one small body does not show the most that waits for it. */
const WARM_BODIES = 4;
const BODY_BYTES = 1_024 * MIB;
const GROWTH_BYTES_MAX = 32 * MIB;
const PIECE_BYTES = 65_536;
const linux = {
  skip: existsSync("/proc/self/status") ? false : "VmHWM is Linux's",
  timeout: 55_000,
};

/** Pieces are cut out of it at ever other places, so that one lost, doubled or misplaced changes the digest. */
const source = Buffer.alloc(2 * MIB);
for (let at = 0; at < source.length; at += 4)
  source.writeUInt32LE(Math.imul(at, 0x9e3779b1) >>> 0, at);

function* pieces(length: number): Generator<Buffer> {
  for (let sent = 0; sent < length; sent += PIECE_BYTES) {
    const at = ((sent / PIECE_BYTES) * 4_099) % MIB;
    yield source.subarray(at, at + Math.min(PIECE_BYTES, length - sent));
  }
}

const digests = new Map<number, string>();

function digestOfPieces(length: number): string {
  const known = digests.get(length);
  if (known !== undefined) return known;
  const digest = createHash("sha1");
  for (const piece of pieces(length)) digest.update(piece);
  const hex = digest.digest("hex");
  digests.set(length, hex);
  return hex;
}

async function digestOf(message: IncomingMessage): Promise<string> {
  const digest = createHash("sha1");
  message.on("data", (piece: Buffer) => digest.update(piece));
  await once(message, "end");
  return digest.digest("hex");
}

async function writePieces(length: number, out: NodeJS.WritableStream): Promise<void> {
  for (const piece of pieces(length)) {
    if (!out.write(piece)) await once(out, "drain");
  }
  out.end();
}

/** A target that answers a GET of `/<bytes>` with so many, and anything else with the digest of its body. */
async function startTarget(t: TestContext): Promise<{ origin: string; tokens: () => number }> {
  let tokens = 0;
  const server = createServer((message, answer) => {
    if (message.headers["x-edo-code-tokens"] !== undefined) tokens++;
    if (message.method === "GET") {
      const length = Number(message.url?.slice(1));
      answer.setHeader("Content-Length", length);
      void writePieces(length, answer);
    } else void digestOf(message).then((hex) => answer.end(hex));
  });
  const port = await listening(server);
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return { origin: `http://127.0.0.1:${port}`, tokens: () => tokens };
}

async function startedProxy(
  t: TestContext,
  hasSession: boolean,
): Promise<{ proxy: ProxyProcess; origin: string; tokens: () => number }> {
  const { origin, tokens } = await startTarget(t);
  const idp = new ScriptedIdp("https://idp-a.example", signingKey("a-1"));
  await idp.start();
  t.after(() => idp.stop());
  const proxy = await startProxyProcess({ folder: testFolder(t), origin, hasSession, idp });
  t.after(() => proxy.stop());
  return { proxy, origin, tokens };
}

function open(proxy: ProxyProcess, target: string, method: string) {
  return request({
    port: proxy.port,
    host: "127.0.0.1",
    method,
    path: "/",
    agent: false,
    headers: { "X-Access-Proxy-To": target, "X-Access-Proxy-Users": USERS },
  });
}

async function upload(proxy: ProxyProcess, origin: string, length: number): Promise<void> {
  const out = open(proxy, `${origin}/`, "POST");
  const answered = once(out, "response") as Promise<[IncomingMessage]>;
  await writePieces(length, out);
  const [answer] = await answered;
  const text = (await bodyOf(answer)).toString();
  assert.deepEqual([answer.statusCode, text], [200, digestOfPieces(length)]);
}

async function download(proxy: ProxyProcess, origin: string, length: number): Promise<void> {
  const out = open(proxy, `${origin}/${length}`, "GET").end();
  const [answer] = (await once(out, "response")) as [IncomingMessage];
  assert.equal(answer.statusCode, 200);
  assert.equal(await digestOf(answer), digestOfPieces(length));
}

/** By how much the most that was resident grows between bodies of 64 MiB and one of 1 GiB. */
async function assertSteady(
  t: TestContext,
  proxy: ProxyProcess,
  move: (length: number) => Promise<void>,
): Promise<void> {
  for (let body = 0; body < WARM_BODIES; body++) await move(WARM_BYTES);
  const before = proxy.peakBytes();
  await move(BODY_BYTES);
  const growth = proxy.peakBytes() - before;
  t.diagnostic(`${(before / MIB).toFixed(1)} MiB, growth ${(growth / MIB).toFixed(1)} MiB`);
  assert.ok(growth < GROWTH_BYTES_MAX, `grown by ${growth} bytes`);
}

for (const hasSession of [true, false]) {
  const way = hasSession ? "a session, recorded until that is given up" : "code tokens";
  test(`an upload of 1 GiB, with ${way}, takes no memory`, linux, async (t) => {
    const { proxy, origin, tokens } = await startedProxy(t, hasSession);
    await assertSteady(t, proxy, (length) => upload(proxy, origin, length));
    assert.equal(tokens(), hasSession ? 0 : WARM_BODIES + 1);
  });
}

test("an answer of 1 GiB takes no memory", linux, async (t) => {
  const { proxy, origin } = await startedProxy(t, true);
  await assertSteady(t, proxy, (length) => download(proxy, origin, length));
});
