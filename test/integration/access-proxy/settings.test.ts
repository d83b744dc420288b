import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { commandRig } from "../../support/access-proxy/command-rig.ts";
import { testFolder } from "../../support/access-proxy/folder.ts";
import { CliProcess, runCli } from "../../support/cli.ts";

const hello = (_: unknown, answer: { end(text: string): void }): void => answer.end("hello");

test("hawser access-proxy: without settings it says what to make", async (t) => {
  const { code, stderr } = await runCli(t, ["access-proxy"]);
  assert.equal(code, 2);
  assert.match(stderr, /--self-id: required \(HAWSER_SELF_ID\): the id of the TA/);
  assert.match(stderr, /--signing-keys: required .*hawser access-proxy keys new/);
  assert.match(stderr, /--idps: required .*docs\/access-proxy\.md/);
  assert.match(stderr, /--destinations: required .*docs\/access-proxy\.md/);
  assert.match(stderr, /Every setting: hawser access-proxy --help/);
});

test("hawser access-proxy --check-config: tells of all files at once, starts and makes nothing", async (t) => {
  const rig = await commandRig(t, hello);
  const good = await runCli(t, [...rig.words, "--check-config", "--json"], {
    HAWSER_EDGE_KEY: "canary",
    HAWSER_EDGE_URL: "https://relay.example",
  });
  assert.equal(good.code, 0, good.stderr);
  const { settings } = JSON.parse(good.stdout);
  assert.deepEqual(settings.selfId, { value: "https://from.example", origin: "flag" });
  assert.deepEqual(settings.listenHost, { value: "127.0.0.1", origin: "default" });
  assert.deepEqual(settings.edgeKey, { value: null, origin: "variable" });
  assert.ok(!good.stdout.includes("canary"));
  assert.throws(() => statSync(rig.dataDir), { code: "ENOENT" });

  rig.write("idps.json", [{ issuer: "a" }]);
  rig.write("destinations.json", [{ origin: "https://a", device: "abcdefgh234567ab" }]);
  rig.write("callers.json", [{ name: "a" }]);
  rig.write("ca.pem", "nonsense");
  rig.write("keys/bad.pem", "nonsense");
  const bad = await runCli(
    t,
    [
      ...[...rig.words, "--check-config", "--sess-label", "a b", "--path-prox", "x"],
      ...["--callers", rig.file("callers.json"), "--access-proxy-ca", rig.file("ca.pem")],
      ...[
        "--temp-dir",
        rig.file("ca.pem/none"),
        "--listen-host",
        "0.0.0.0",
        "--internal-host",
        "0.0.0.0",
      ],
    ],
    { HAWSER_INTERNAL_SECRET: "of-16-and-not-32" },
  );
  assert.equal(bad.code, 2);
  for (const pattern of [
    /idps\.json: \[0\]\.cooperation_from_endpoint: must be a URL/,
    /destinations\.json: \[0\]\.device: needs edgeUrl and edgeKey/,
    /callers\.json: \[0\]\.digest: must be/,
    /--access-proxy-ca: .* holds no certificates in PEM/,
    /bad\.pem: holds no private key in PEM/,
    /--sess-label: wanted the name of a cookie/,
    /--path-prox: wanted a path/,
    /--temp-dir: .*none is no folder/,
    /--internal-host: .* 32 bytes or more/,
  ]) {
    assert.match(bad.stderr, pattern);
  }
});

test("hawser access-proxy: what does not go together is told", async (t) => {
  const rig = await commandRig(t, hello);
  const problem = async (words: string[], environment = {}): Promise<string> =>
    (await runCli(t, [...rig.words, "--check-config", ...words], environment)).stderr;
  assert.match(await problem(["--listen-host", "0.0.0.0"]), /--callers: required where listenHost/);
  assert.match(await problem(["--allow-any-destination"]), /not together with --destinations/);
  assert.match(await problem([], { HAWSER_EDGE_KEY: "k" }), /--edge-url: required where there is/);
  assert.match(await problem(["--edge-key", "canary"]), /--edge-key: a secret in the command line/);
  assert.match(
    await problem(["--edge-url", "https://relay.example/path"], { HAWSER_EDGE_KEY: "k" }),
    /--edge-url: wanted a URL without a path/,
  );
  assert.match(await problem(["--path-ok", "/"]), /--path-ok: the same as pathProx/);
  assert.match(await problem(["--hash-alg", "MD5"]), /--hash-alg: wanted one of SHA256/);
  assert.match(await problem(["--sig-alg", "RS256"]), /has no private key for RS256/);
  assert.match(
    await problem(["--listen-port", "7", "--internal-port", "7"]),
    /--internal-port: the same as listenPort/,
  );
});

test("hawser access-proxy: any destination may be allowed for tests, with a warning", async (t) => {
  const rig = await commandRig(t, hello);
  const at = rig.words.indexOf("--destinations");
  const words = [...rig.words.slice(0, at), ...rig.words.slice(at + 2)];
  const proxy = new CliProcess(t, [...words, "--allow-any-destination"]);
  await proxy.printed(/access proxy listens/);
  proxy.child.kill("SIGTERM");
  const { code, stdout } = await proxy.finished();
  assert.equal(code, 0);
  assert.match(stdout, /Any destination is allowed/);
});

test("hawser access-proxy: a port that is taken is told by its setting", async (t) => {
  const rig = await commandRig(t, hello);
  const port = new URL(rig.origin).port;
  const { code, stderr } = await runCli(t, [...rig.words, "--listen-port", port]);
  assert.equal(code, 2);
  assert.match(stderr, /--listen-port: port \d+ of 127\.0\.0\.1 is taken/);
});

test("hawser access-proxy keys new: leaves a private key of mode 0600, prints the public one, replaces none", async (t) => {
  const folder = join(testFolder(t), "keys");
  const words = [
    "access-proxy",
    "keys",
    "new",
    "--alg",
    "ES384",
    "--kid",
    "ta-1",
    "--folder",
    folder,
  ];
  const { code, stdout } = await runCli(t, words);
  assert.equal(code, 0);
  const key = JSON.parse(stdout);
  assert.deepEqual(Object.keys(key).sort(), ["alg", "crv", "kid", "kty", "use", "x", "y"]);
  assert.deepEqual([key.kid, key.alg, key.crv], ["ta-1", "ES384", "P-384"]);
  assert.equal(statSync(join(folder, "ta-1.json")).mode & 0o777, 0o600);
  assert.equal(statSync(folder).mode & 0o777, 0o700);
  const again = await runCli(t, words);
  assert.equal(again.code, 2);
  assert.match(again.stderr, /ta-1\.json: exists already; no key is replaced/);
  for (const kid of ["../x", ".x", "", "x".repeat(129)]) {
    const bad = await runCli(t, [
      "access-proxy",
      "keys",
      "new",
      `--kid=${kid}`,
      "--folder",
      folder,
    ]);
    assert.match(bad.stderr, /--kid: wanted 1 to 128/, kid);
  }
  const json = await runCli(t, ["access-proxy", "keys", "new", "--json", "--folder", folder]);
  assert.match(JSON.parse(json.stdout).file, /\.json$/);
});
