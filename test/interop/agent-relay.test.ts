import assert from "node:assert/strict";
import { once } from "node:events";
import {
  createServer as createHttpServer,
  type IncomingMessage,
  type ServerResponse,
} from "node:http";
import { type AddressInfo, createServer as createTcpServer, type Server } from "node:net";
import { type TestContext, test } from "node:test";
import { patternBytes } from "../../bench/support/pattern.ts";
import { type Agent, type AgentOptions, connect } from "../../src/agent/index.ts";
import { mintToken } from "../../src/core/token.ts";
import { PEER_VERSIONS, type PeerVersion, skipWithout } from "../support/go.ts";
import { lendPort } from "../support/ports.ts";
import { WAIT_MS } from "../support/until.ts";
import { patternSha256 } from "./mux-end.ts";
import { GoPeer } from "./peer.ts";
import { type TransferOptions, type TransferResult, transfer } from "./transfer.ts";

/** Our agent against a relay's side in Go: http.Request.Write and http.ReadResponse over hashicorp/yamux. */

const MIB = 1_024 * 1_024;
const LARGEST = 64 * MIB;
const PATTERN = patternBytes(LARGEST);

function forEachPeer(
  name: string,
  body: (t: TestContext, version: PeerVersion) => Promise<void>,
): void {
  for (const version of PEER_VERSIONS) {
    const options = { skip: skipWithout("go"), timeout: 55_000 };
    test(`${name} (${version})`, options, (t) => body(t, version));
  }
}

interface Fixture {
  readonly agent: Agent;
  readonly peer: GoPeer;
  through(path: string, options?: TransferOptions): Promise<TransferResult>;
}

async function listening(t: TestContext, server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** A Go relay's side and our agent, connected; `target` is the agent's `to`. */
async function start(
  t: TestContext,
  version: PeerVersion,
  target: string,
  more: { role?: "client" | "server"; options?: Partial<AgentOptions> } = {},
): Promise<Fixture> {
  const token = mintToken("device").text;
  const role = more.role ?? "client";
  const peer = await GoPeer.start(t, version, ["relay", "-token", token, "-role", role]);
  const address = await peer.said("relay");
  const agent = connect({
    relay: `ws://${address}/tunnel/connect`,
    token,
    to: target,
    yamuxRole: role === "client" ? "server" : "client",
    backoffBaseMs: 20,
    ...more.options,
  });
  t.after(() => agent.close());
  await peer.said("connected");
  return {
    agent,
    peer,
    through: (path, options = {}) => transfer(`http://${address}${path}`, options),
  };
}

/** The local service: the same paths as the Go device has, as far as they are used here. */
async function localService(t: TestContext): Promise<string> {
  const server = createHttpServer((incoming, outgoing) => {
    serve(incoming, outgoing).catch(() => outgoing.destroy());
  });
  t.after(() => server.closeAllConnections());
  return `http://127.0.0.1:${await listening(t, server)}`;
}

async function serve(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
  const url = new URL(incoming.url ?? "/", "http://local");
  const size = Number(url.searchParams.get("bytes") ?? 0);
  switch (url.pathname) {
    case "/down":
      outgoing.setHeader("content-length", size);
      outgoing.end(PATTERN.subarray(0, size));
      return;
    case "/chunked":
      outgoing.write(PATTERN.subarray(0, size >> 1));
      outgoing.end(PATTERN.subarray(size >> 1, size));
      return;
    case "/echo":
      incoming.pipe(outgoing);
      return;
    default:
      outgoing.end("Hello, world!\n");
  }
}

for (const [role, size] of [
  ["client", LARGEST],
  ["server", 8 * MIB],
] as const) {
  forEachPeer(
    `${size / MIB} MiB down, chunked and echoed, Go as yamux ${role}`,
    async (t, version) => {
      const { through, peer } = await start(t, version, await localService(t), { role });
      const sum = patternSha256(size);
      for (const path of [`/down?bytes=${size}`, `/chunked?bytes=${size}`]) {
        const down = await through(path);
        assert.deepEqual([down.status, down.bytes, down.sha256], [200, size, sum], path);
      }
      const echo = await through("/echo", { uploadBytes: size });
      assert.deepEqual([echo.status, echo.bytes, echo.sha256], [200, size, sum]);
      const chunked = await through("/echo", { uploadBytes: 1 * MIB, chunked: true });
      assert.deepEqual([chunked.bytes, chunked.sha256], [1 * MIB, patternSha256(1 * MIB)]);
      await peer.until((state) => state.streams === 0, "streams");
    },
  );
}

forEachPeer("200 exchanges at once, and 1,000 in all, leave no stream", async (t, version) => {
  const { through, peer } = await start(t, version, await localService(t));
  const some = async (_: unknown, count: number): Promise<void> => {
    for (let round = 0; round < 5; round++) {
      const size = count * 500;
      const path = count % 2 === 0 ? `/down?bytes=${size}` : `/chunked?bytes=${size}`;
      const down = await through(path);
      assert.deepEqual([down.status, down.bytes, down.sha256], [200, size, patternSha256(size)]);
    }
  };
  await Promise.all(Array.from({ length: 200 }, some));
  await peer.until((state) => state.streams === 0, "streams");
});

forEachPeer("a refused upload is answered, and the tunnel lives", async (t, version) => {
  // Refuses by the head alone, and closes with the body unread: what node:http does with every early answer.
  const refusing = createHttpServer((_request, response) => {
    response.writeHead(413, { connection: "close", "content-length": 9 });
    response.end("too large");
  });
  const address = `http://127.0.0.1:${await listening(t, refusing)}`;
  const { through, peer } = await start(t, version, address);
  for (let count = 0; count < 5; count++) {
    // More than a window, and no more than sockets hold: net/http cuts a client that still sends.
    const refused = await through("/", { uploadBytes: 1 * MIB, keep: true });
    assert.deepEqual([refused.status, refused.text], [413, "too large"]);
  }
  await peer.control("/ping");
  await peer.until((state) => state.streams === 0, "streams");
});

forEachPeer("bytes as they are, with the end of each direction by itself", async (t, version) => {
  // Speaks only after it has heard the end: a half-closed stream on the way.
  const late = createTcpServer({ allowHalfOpen: true }, (socket) => {
    let bytes = 0;
    socket.on("data", (piece: Buffer) => {
      bytes += piece.length;
    });
    socket.on("end", () => socket.end(`${bytes} bytes\n`));
    socket.on("error", () => undefined);
  });
  const { through, peer } = await start(t, version, `tcp://127.0.0.1:${await listening(t, late)}`);
  for (const size of [0, 1, 5 * MIB]) {
    const answer = await through("/", {
      method: "POST",
      uploadBytes: size,
      headers: { "x-raw": "yes" },
      keep: true,
    });
    // v0.1.1 reports the end of reading after its own Close and so never sees the answer.
    const expected = version === "yamux-v0.1.1" ? ["", `${size} bytes\n`] : [`${size} bytes\n`];
    assert.ok(expected.includes(answer.text), answer.text);
  }
  await peer.until((state) => state.streams === 0, "streams");
});

forEachPeer(
  "GoAway and a lost connection: the agent dials again and serves",
  async (t, version) => {
    const { through, peer, agent } = await start(t, version, await localService(t));
    for (const [index, how] of ["/goaway", "/kill", "/close"].entries()) {
      const again = once(agent, "connected", { signal: AbortSignal.timeout(WAIT_MS) });
      await peer.control(how);
      await again;
      // The Go side knows of the new session a moment later than the agent.
      await peer.said("connected", index + 2);
      assert.equal((await through("/hello")).status, 200, how);
    }
  },
);

forEachPeer(
  "a local service that is not there is a refusal of the stream, not of the tunnel",
  async (t, version) => {
    const { through, peer } = await start(t, version, `http://127.0.0.1:${await lendPort()}`);
    for (let count = 0; count < 3; count++) assert.equal((await through("/hello")).status, 502);
    await peer.control("/ping");
    await peer.until((state) => state.streams === 0, "streams");
  },
);
