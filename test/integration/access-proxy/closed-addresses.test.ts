import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage, type RequestListener, request } from "node:http";
import { type TestContext, test } from "node:test";
import type { Destination, ProxySession } from "../../../src/access-proxy/index.ts";
import { testFolder } from "../../support/access-proxy/folder.ts";
import { startProxyProcess, USERS } from "../../support/access-proxy/process.ts";
import {
  type Answered,
  bodyOf,
  ID,
  IDP_A,
  listening,
  onlyTo,
  type ProxyRig,
  type RigOptions,
  startRig,
  T0,
} from "../../support/access-proxy/rig.ts";

/** TA cooperation, section 14.2, over real sockets: what the rules of the table lead to. Number 21 of section 16. */

const DENIED = [403, "destination is not allowed"];
/**
 * Global unicast, and of a part that is given to nobody: public to the rules, and whoever connects there reaches nobody.
 *
 * @see IANA, IPv6 Global Unicast Address Assignments
 */
const NOBODYS = { address: "3000::1", family: 6 };
const LOOPBACK = { address: "127.0.0.1", family: 4 };

interface Server {
  readonly port: number;
  /** `Host` of each request. */
  readonly hosts: string[];
  /** Client ports of its connections. */
  readonly ports: number[];
}

async function serving(t: TestContext, serve: RequestListener): Promise<Server> {
  const hosts: string[] = [];
  const ports: number[] = [];
  const server = createServer((message, answer) => {
    hosts.push(message.headers.host ?? "");
    serve(message, answer);
  });
  server.on("connection", ({ remotePort = 0 }) => ports.push(remotePort));
  const port = await listening(server);
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return { port, hosts, ports };
}

function destination(origin: string, of: Partial<Destination> = {}): Destination {
  const [entry] = onlyTo(origin, { allowPrivate: false, ...of }).destinations;
  assert.ok(entry);
  return entry;
}

async function rigWith(
  t: TestContext,
  destinations: readonly Destination[],
  { options, parts }: RigOptions = {},
): Promise<ProxyRig> {
  const destinationPolicy = { allowAny: false, destinations };
  const rig = await startRig({ options: { ...options, destinationPolicy }, parts: parts ?? {} });
  t.after(() => rig.stop());
  return rig;
}

function verdictOf({ status, headers }: Answered): readonly unknown[] {
  return [status, headers["x-access-proxy-error"]];
}

test("21: an address that a name did not have when it was checked is not connected to", async (t) => {
  const target = await serving(t, (_message, answer) => answer.end());
  const answers = [[NOBODYS], [LOOPBACK], [NOBODYS, LOOPBACK]];
  const asked: string[] = [];
  const origin = `http://to.example:${target.port}`;
  const rig = await rigWith(t, [destination(origin)], {
    options: { connectTimeoutMs: 500 },
    parts: {
      resolve: (host, _options, callback) => {
        // A second question about one connection would be answered with the closed address.
        asked.push(host);
        callback(null, answers[asked.length - 1] ?? [LOOPBACK]);
      },
    },
  });
  const first = await rig.call({ to: `${origin}/x`, headers: ID });
  assert.notEqual(first.headers["x-access-proxy-error"], undefined);
  assert.notDeepEqual(verdictOf(first), DENIED);
  assert.deepEqual(asked, ["to.example"]);
  for (const count of [2, 3]) {
    const answer = await rig.call({ to: `${origin}/x`, headers: ID });
    assert.deepEqual(verdictOf(answer), DENIED);
    assert.equal(asked.length, count);
    // Only the first one got as far as that.
    assert.equal(rig.idps.get(IDP_A)?.asked.length, 1);
  }
  assert.deepEqual(target.ports, []);
});

test("21: a name whose address has closed while its session lived is not connected to either", async (t) => {
  const target = await serving(t, (_message, answer) => answer.end());
  const origin = `http://to.example:${target.port}`;
  const saved: ProxySession = { id: "s", expiresAt: T0 + 3_600_000 };
  const sessions = { get: () => saved, save: () => {}, deleteIf: () => {}, delete: () => {} };
  const rig = await rigWith(t, [destination(origin)], {
    parts: { sessions, resolve: (_host, _options, callback) => callback(null, [LOOPBACK]) },
  });
  assert.deepEqual(verdictOf(await rig.call({ to: `${origin}/x`, headers: ID })), DENIED);
  assert.deepEqual(target.ports, []);
  assert.equal(rig.outcomes.at(-1)?.path, "session");
});

test("21: a name that nobody knows is an unreachable destination, once the ID providers were asked", async (t) => {
  const rig = await rigWith(t, [destination("http://to.example")], {
    parts: {
      resolve: (_host, _options, callback) =>
        callback(Object.assign(new Error("no such name"), { code: "ENOTFOUND" }), []),
    },
  });
  const answer = await rig.call({ to: "http://to.example/x", headers: ID });
  assert.deepEqual(verdictOf(answer), [404, "destination is unreachable"]);
  assert.equal(rig.idps.get(IDP_A)?.asked.length, 1);
});

test("E22: a name whose resolution never ends is given up in the time of a connection", async (t) => {
  const rig = await rigWith(t, [destination("http://to.example")], {
    options: { connectTimeoutMs: 50 },
    parts: { resolve: () => undefined },
  });
  const answer = await rig.call({ to: "http://to.example/x", headers: ID });
  assert.deepEqual(verdictOf(answer), [404, "destination is unreachable"]);
  assert.deepEqual(rig.idps.get(IDP_A)?.asked, []);
});

test("21: a name of this host and an address of it are refused, unless the entry allows it", async (t) => {
  const target = await serving(t, (_message, answer) => answer.end("there"));
  const hosts = ["localhost", "127.0.0.1", "127.1", "0x7f000001", "[::ffff:127.0.0.1]", "0.0.0.0"];
  const targets = hosts.map((host) => `http://${host}:${target.port}/`);
  const listed = targets.map((to) => destination(new URL(to).origin));
  const rig = await rigWith(t, listed);
  for (const to of targets) {
    assert.deepEqual(verdictOf(await rig.call({ to, headers: ID })), DENIED, to);
    assert.deepEqual(rig.idps.get(IDP_A)?.asked, [], to);
  }
  assert.deepEqual(target.ports, []);
  const open = await rigWith(
    t,
    listed.map((entry) => ({ ...entry, allowPrivate: true })),
  );
  const answer = await open.call({ to: targets[0] ?? "", headers: ID });
  assert.deepEqual([answer.status, answer.body.toString()], [200, "there"]);
});

test("21: the connection of an entry that allows private addresses serves no entry that does not", async (t) => {
  const target = await serving(t, (_message, answer) => answer.end("there"));
  const origin = `http://localhost:${target.port}`;
  const rig = await rigWith(t, [
    destination(origin, { pathPrefix: "/open", allowPrivate: true }),
    destination(origin, { pathPrefix: "/closed" }),
  ]);
  const call = (path: string): Promise<Answered> => rig.call({ to: origin + path, headers: ID });
  for (const _ of [1, 2]) {
    assert.equal((await call("/open")).status, 200);
    assert.deepEqual(verdictOf(await call("/closed")), DENIED);
  }
  assert.deepEqual([target.hosts.length, target.ports.length], [2, 1]);
});

test("21: a redirect to a closed address is relayed and not followed", async (t) => {
  const trap = await serving(t, (_message, answer) => answer.end());
  const closed = [`http://127.0.0.1:${trap.port}/`, "http://169.254.169.254/latest/meta-data/"];
  for (const location of closed) {
    for (const status of [301, 302, 303, 307, 308]) {
      const target = await serving(t, (_message, answer) => {
        answer.writeHead(status, { Location: location }).end();
      });
      const origin = `http://127.0.0.1:${target.port}`;
      const rig = await rigWith(t, [destination(origin, { allowPrivate: true })]);
      const answer = await rig.call({ to: `${origin}/`, headers: ID });
      assert.deepEqual([answer.status, answer.headers.location], [status, location]);
      assert.equal(target.hosts.length, 1);
    }
  }
  assert.deepEqual(trap.ports, []);
});

test("21: user info, plain HTTP, another origin and another TA are refused before anything is connected to", async (t) => {
  const target = await serving(t, (_message, answer) => answer.end());
  const { port } = target;
  const origin = `http://127.0.0.1:${port}`;
  const open = { allowPrivate: true };
  const rig = await rigWith(t, [
    destination(origin, open),
    destination(`http://localhost:${port}`, { ...open, allowHttp: false }),
  ]);
  const unusable = [400, "X-Access-Proxy-To is not a usable URI"];
  for (const [to, verdict] of [
    [`http://me@127.0.0.1:${port}/`, unusable],
    [`http://me:secret@127.0.0.1:${port}/`, unusable],
    [`http://to.example@127.0.0.1:${port}/`, unusable],
    [`http://@127.0.0.1:${port}/`, unusable],
    [`http://127.0.0.1:${port}\\@to.example/`, unusable],
    [`http://localhost:${port}/`, DENIED],
    [`https://127.0.0.1:${port}/`, DENIED],
    [`http://127.0.0.2:${port}/`, DENIED],
    [`http://127.0.0.1:${port + 1}/`, DENIED],
  ] as const) {
    assert.deepEqual(verdictOf(await rig.call({ to, headers: ID })), verdict, to);
  }
  const other = ["X-Access-Proxy-To-Id", "https://other.example"];
  assert.deepEqual(verdictOf(await rig.call({ to: `${origin}/`, headers: other })), DENIED);
  assert.deepEqual(target.ports, []);
  for (const idp of rig.idps.values()) assert.deepEqual(idp.asked, []);
});

test("21: the origin of a device is never connected to, with an edge and without one", async (t) => {
  const origin = await serving(t, (_message, answer) => answer.end("origin"));
  const edge = await serving(t, (_message, answer) => answer.end("edge"));
  const to = `http://127.0.0.1:${origin.port}`;
  const listed = [destination(to, { allowPrivate: true, device: "abcdefghijklmnop" })];
  const without = await rigWith(t, listed);
  const unreachable = [404, "destination is unreachable"];
  assert.deepEqual(verdictOf(await without.call({ to: `${to}/`, headers: ID })), unreachable);
  const url = new URL(`http://127.0.0.1:${edge.port}`);
  const rig = await rigWith(t, listed, { options: { edge: { url, key: "hwk_key" } } });
  const answer = await rig.call({ to: `${to}/`, headers: ID });
  assert.deepEqual([answer.status, answer.body.toString()], [200, "edge"]);
  assert.deepEqual([origin.ports, edge.hosts], [[], [`127.0.0.1:${origin.port}`]]);
});

test("21: proxies that the environment names are not asked", async (t) => {
  const trap = await serving(t, (_message, answer) => answer.end("trap"));
  const target = await serving(t, (_message, answer) => answer.end("there"));
  const proxyUrl = `http://127.0.0.1:${trap.port}`;
  const names = [
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
  ];
  const proxy = await startProxyProcess({
    folder: testFolder(t),
    origin: `http://127.0.0.1:${target.port}`,
    hasSession: true,
    environment: {
      ...Object.fromEntries(names.map((name) => [name, proxyUrl])),
      ...{ NODE_USE_ENV_PROXY: "1", NO_PROXY: "", no_proxy: "" },
    },
  });
  t.after(() => proxy.stop());
  const headers = {
    "X-Access-Proxy-To": `http://127.0.0.1:${target.port}/`,
    "X-Access-Proxy-Users": USERS,
  };
  const out = request({ port: proxy.port, host: "127.0.0.1", agent: false, headers }).end();
  const [answer] = (await once(out, "response")) as [IncomingMessage];
  assert.equal((await bodyOf(answer)).toString(), "there");
  assert.deepEqual([target.hosts.length, trap.ports], [1, []]);
});
