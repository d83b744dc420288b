import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, statSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import test, { type TestContext } from "node:test";
import { type CommandRig, call, commandRig } from "../../support/access-proxy/command-rig.ts";
import { CliProcess, runCli } from "../../support/cli.ts";
import { until } from "../../support/until.ts";

/** A proxy that listens, its port for calls and that for those who watch it. */
async function start(t: TestContext, { words }: CommandRig, ...more: string[]) {
  const proxy = new CliProcess(t, [...words, ...more]);
  const [, listen = "", internal = ""] = await proxy.printed(
    /"listen":"([^"]+)","internal":"127\.0\.0\.1:(\d+)"/,
  );
  const port = Number(listen.split(":").at(-1));
  return { proxy, port, internalPort: Number(internal) };
}

const hello = (_: unknown, answer: { end(text: string): void }): void => answer.end("hello");

test("hawser access-proxy: forwards a call with a code token, keeps the session, and finds it after a restart", async (t) => {
  const seen: (string | undefined)[] = [];
  const rig = await commandRig(t, (request, answer) => {
    seen.push(request.headers.cookie ?? String(request.headers["x-edo-code-tokens"]).slice(0, 3));
    answer.setHeader("set-cookie", "Edo-Cooperation=canary-session; Max-Age=3600");
    answer.end("hello");
  });
  await rig.putToken("tag-1");
  const { proxy, port } = await start(t, rig);
  for (let index = 0; index < 2; index++) {
    const { status, text } = await call({ port }, rig.fields("tag-1"));
    assert.deepEqual([status, text], [200, "hello"]);
  }
  proxy.child.kill("SIGTERM");
  const { code, stdout } = await proxy.finished();
  assert.equal(code, 0);
  const again = await start(t, rig);
  assert.equal((await call({ port: again.port }, rig.fields("tag-1"))).status, 200);
  const cookie = "Edo-Cooperation=canary-session";
  assert.deepEqual(seen, ["eyJ", cookie, cookie]);
  assert.equal(rig.idpCalls(), 1);
  assert.match(stdout, /"path":"mediated".*\n.*"path":"session"/);
  for (const secret of ["canary-session", "token-of-tag-1"]) assert.ok(!stdout.includes(secret));
});

test("hawser access-proxy: a token that is put, replaced and removed counts for the next call", async (t) => {
  const rig = await commandRig(t, hello);
  const { port } = await start(t, rig);
  const error = async () =>
    (await call({ port }, rig.fields("tag-1"))).headers["x-access-proxy-error"];
  assert.equal(await error(), "no access token for this tag");
  await rig.putToken("tag-1", "--scope", "openid email");
  assert.equal(await error(), undefined);
  const listing = ["access-proxy", "token", "list", "--data-dir", rig.dataDir];
  const list = await runCli(t, [...listing, "--json"]);
  const [listed] = JSON.parse(list.stdout).tokens;
  assert.deepEqual(listed, {
    caller: "",
    tag: "tag-1",
    issuer: rig.issuer,
    scope: ["openid", "email"],
    expires_at: listed.expires_at,
  });
  assert.match((await runCli(t, listing)).stdout, /^CALLER +TAG +ISSUER.*\n- +tag-1 /);
  assert.ok(!list.stdout.includes("token-of-tag-1"));
  const remove = ["access-proxy", "token", "remove", "--tag", "tag-1", "--data-dir", rig.dataDir];
  assert.equal((await runCli(t, remove)).code, 0);
  assert.equal(await error(), "no access token for this tag");
  const gone = await runCli(t, [...remove, "--json"]);
  assert.equal(gone.code, 1);
  assert.equal(JSON.parse(gone.stderr).error.code, "ERR_CLI_NOT_FOUND");
});

test("hawser access-proxy token put: a token is never an argument, and what does not fit is told", async (t) => {
  const rig = await commandRig(t, hello);
  const put = ["access-proxy", "token", "put", "--tag", "a", "--issuer", "b", "--data-dir"];
  const refused = async (words: string[], input: string): Promise<string> => {
    const { code, stderr } = await runCli(t, [...put, rig.dataDir, ...words], {}, input);
    assert.equal(code, 2, stderr);
    assert.ok(!stderr.includes("canary"), stderr);
    return stderr;
  };
  const later = ["--expires-in", "60"];
  assert.match(await refused(later, ""), /standard input: wanted the token on one line/);
  assert.match(await refused(later, "canary canary"), /wanted the token on one line/);
  assert.match(await refused(later, "x".repeat(65_537)), /standard input: is over 64 KiB/);
  assert.match(await refused([], "canary"), /--expires-in: wanted this, or --expires-at/);
  assert.match(
    await refused([...later, "--expires-at", "2099-01-01T00:00:00Z"], "c"),
    /wanted this/,
  );
  assert.match(await refused(["--expires-in", "0"], "c"), /a number of seconds/);
  assert.match(await refused(["--expires-at", "tomorrow"], "c"), /RFC 3339/);
  assert.match(await refused(["--expires-at", "2020-01-01T00:00:00Z"], "c"), /is in the past/);
  assert.match(await refused([...later, "--token=canary"], ""), /unknown option/);
  const listed = await runCli(t, ["access-proxy", "token", "list", "--limit", "1001"]);
  assert.equal(listed.code, 2);
});

test("hawser access-proxy: a call that runs is over before the process is; new ones are not taken", async (t) => {
  let release = (): void => {};
  let isReached = false;
  const rig = await commandRig(t, (request, answer) => {
    // Half of it, so that the call surely runs.
    answer.writeHead(200, { "content-length": "10" });
    answer.write("hello");
    isReached = true;
    release = () => answer.end(request.url === "/slow" ? "world" : "-----");
  });
  await rig.putToken("tag-1");
  const { proxy, port, internalPort } = await start(t, rig);
  const running = call({ port }, rig.fields("tag-1", "/slow"));
  const idle = connect(port, "127.0.0.1");
  await once(idle, "connect");
  assert.equal((await call({ port: internalPort }, {}, { path: "/readyz" })).status, 200);
  await until(() => isReached, "the call at its target");
  proxy.child.kill("SIGTERM");
  await proxy.printed(/waiting for running calls/);
  assert.equal((await call({ port: internalPort }, {}, { path: "/readyz" })).status, 503);
  await assert.rejects(call({ port }, rig.fields("tag-1")), { code: "ECONNREFUSED" });
  release();
  assert.equal((await running).text, "helloworld");
  const { code, stdout } = await proxy.finished();
  assert.equal(code, 0);
  assert.match(stdout, /"msg":"stopped"/);
});

test("hawser access-proxy: a call that does not end in time is broken off", async (t) => {
  const rig = await commandRig(t, (_, answer) => void answer.write("half"));
  await rig.putToken("tag-1");
  const { proxy, port } = await start(t, rig, "--drain-time", "50ms");
  const running = assert.rejects(call({ port }, rig.fields("tag-1")));
  await proxy.printed(/listens/);
  const socket = connect(port, "127.0.0.1");
  t.after(() => socket.destroy());
  await once(socket, "connect");
  // The call came before this one, which is answered.
  assert.equal((await call({ port }, { host: `localhost:${port}` }, { path: "/ok" })).status, 200);
  proxy.child.kill("SIGTERM");
  await running;
  assert.equal((await proxy.finished()).code, 0);
});

test("hawser access-proxy: a Unix socket is its owner's alone, and one that was left behind is replaced", async (t) => {
  const rig = await commandRig(t, hello);
  await rig.putToken("tag-1");
  const socketPath = rig.file("proxy.sock");
  const first = await start(t, rig, "--listen-socket", socketPath);
  assert.equal(statSync(socketPath).mode & 0o777, 0o600);
  const fields = { ...rig.fields("tag-1"), host: "whatever.example" };
  assert.equal((await call({ socketPath }, fields)).text, "hello");
  const second = await runCli(t, [...rig.words, "--listen-socket", socketPath]);
  assert.equal(second.code, 2);
  assert.match(second.stderr, /--listen-socket: .* is there already/);
  first.proxy.child.kill("SIGKILL");
  await first.proxy.finished();
  assert.ok(existsSync(socketPath));
  const third = await start(t, rig, "--listen-socket", socketPath);
  assert.equal((await call({ socketPath }, fields)).text, "hello");
  third.proxy.child.kill("SIGTERM");
  assert.equal((await third.proxy.finished()).code, 0);
  assert.ok(!existsSync(socketPath));
  writeFileSync(socketPath, "");
  const fourth = await runCli(t, [...rig.words, "--listen-socket", socketPath]);
  assert.match(fourth.stderr, /--listen-socket: .* is there already/);
});

test("hawser access-proxy: a caller says its secret, and uses its own tokens alone", async (t) => {
  let credential: unknown = "not seen";
  const rig = await commandRig(t, (request, answer) => {
    credential = request.headers["proxy-authorization"];
    answer.end("hello");
  });
  const { createHash } = await import("node:crypto");
  const digest = (text: string) => createHash("sha256").update(text).digest("hex");
  rig.write("callers.json", [
    { name: "shop", digest: digest("secret-of-shop") },
    { name: "desk", digest: digest("secret-of-desk") },
  ]);
  await rig.putToken("tag-1", "--caller", "shop");
  const { port } = await start(t, rig, "--callers", rig.file("callers.json"));
  const as = (secret: string) =>
    call({ port }, { ...rig.fields("tag-1"), "proxy-authorization": `Bearer ${secret}` });
  assert.equal((await as("secret-of-shop")).text, "hello");
  assert.equal(credential, undefined);
  assert.equal(
    (await as("secret-of-desk")).headers["x-access-proxy-error"],
    "no access token for this tag",
  );
  for (const answer of [await as("other"), await call({ port }, rig.fields("tag-1"))]) {
    assert.equal(answer.status, 401);
    assert.equal(answer.headers["x-access-proxy-error"], "caller is not authenticated");
    assert.equal(JSON.parse(answer.text).error, "invalid_client");
  }
});

test("hawser access-proxy: Host must be a name of the listener", async (t) => {
  const rig = await commandRig(t, hello);
  await rig.putToken("tag-1");
  const { port } = await start(t, rig, "--access-proxy-hosts", "Proxy.Internal:16050");
  const status = async (host: string) =>
    (await call({ port }, { ...rig.fields("tag-1"), host })).status;
  for (const host of [`localhost:${port}`, `127.0.0.1:${port}`, `[::1]:${port}`]) {
    assert.equal(await status(host), 200, host);
  }
  assert.equal(await status("proxy.internal:16050"), 200);
  for (const host of ["localhost", "rebound.example", `rebound.example:${port}`, "localhost:1"]) {
    assert.equal(await status(host), 401, host);
  }
});

test("hawser access-proxy: a destination that is added and taken out counts for the next call", async (t) => {
  const rig = await commandRig(t, hello, { pathPrefix: "/other" });
  await rig.putToken("tag-1");
  const { proxy, port } = await start(t, rig);
  assert.equal((await call({ port }, rig.fields("tag-1"))).status, 403);
  const entry = { origin: rig.origin, allowHttp: true, allowPrivate: true };
  rig.write("destinations.json", [entry]);
  await proxy.printed(/destinations read again/);
  assert.equal((await call({ port }, rig.fields("tag-1"))).status, 200);
  rig.write("destinations.json", "[");
  await proxy.printed(/destinations cannot be used/);
  assert.equal((await call({ port }, rig.fields("tag-1"))).status, 200);
});

test("hawser access-proxy: health is open, metrics want the internal secret and name no tag", async (t) => {
  const rig = await commandRig(t, hello);
  await rig.putToken("tag-1");
  const proxy = new CliProcess(t, rig.words, { HAWSER_INTERNAL_SECRET: "0123456789abcdef0123" });
  const [, port = "", internal = ""] = await proxy.printed(
    /"listen":"127\.0\.0\.1:(\d+)","internal":"127\.0\.0\.1:(\d+)"/,
  );
  await call({ port: Number(port) }, rig.fields("tag-1"));
  await call({ port: Number(port) }, rig.fields("tag-2"));
  const ask = (path: string, fields = {}) => call({ port: Number(internal) }, fields, { path });
  assert.deepEqual(JSON.parse((await ask("/healthz")).text), { status: "ok" });
  assert.equal((await ask("/metrics")).status, 401);
  assert.equal((await ask("/metrics", { authorization: "Bearer other" })).status, 401);
  assert.equal((await ask("/")).status, 404);
  const answer = await call({ port: Number(internal) }, {}, { path: "/healthz", body: "x" });
  assert.equal(answer.status, 405);
  const { text } = await ask("/metrics", { authorization: "Bearer 0123456789abcdef0123" });
  assert.match(text, /^hawser_access_proxy_calls_total\{path="mediated",result="relayed"\} 1$/m);
  assert.match(
    text,
    /^hawser_access_proxy_calls_total\{path="mediated",result="ERR_ACCESS_PROXY_NO_TOKEN"\} 1$/m,
  );
  assert.match(text, /^hawser_access_proxy_sessions 0$/m);
  assert.ok(!text.includes("tag-1"));
});
