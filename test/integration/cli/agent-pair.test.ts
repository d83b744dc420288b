import assert from "node:assert/strict";
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import { agentPairCommand } from "../../../src/cli/commands/agent-pair.ts";
import { mintToken } from "../../../src/core/token.ts";
import { bodyOf } from "../../support/agent/mini-relay.ts";
import { startRelay, startService } from "../../support/agent/path.ts";
import { CliProcess, runCli } from "../../support/cli.ts";
import { type ScriptedApi, startScriptedApi } from "../../support/scripted-api.ts";

const CODE = `hwp_${"0123456789ABCDEFGHJKMNPQRS"}`;
const ID = "abcdefgh234567ab";

async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "hawser-pair-"));
  t.after(() => rm(path, { recursive: true, force: true }));
  return path;
}

/** An API server that takes any code. */
async function pairing(
  t: TestContext,
  relay = "ws://127.0.0.1:9",
  expiresAt: string | null = null,
): Promise<ScriptedApi & { tokens: string[] }> {
  const tokens: string[] = [];
  const api = await startScriptedApi(t, ({ target }) => {
    const token = mintToken("device").text;
    tokens.push(token);
    const issued = { device_id: ID, token, tunnel_url: relay, expires_at: expiresAt };
    return { status: target === "/api/pairing/exchange" ? 201 : 200, body: issued };
  });
  return { ...api, tokens };
}

const modeOf = async (path: string): Promise<number> => (await stat(path)).mode & 0o777;

test("hawser agent pair: the token and where it goes are stored for their owner alone; the agent needs no more", async (t) => {
  const relay = await startRelay(t);
  const service = await startService(t);
  const data = join(await folder(t), "data");
  const api = await pairing(t, relay.url);
  const words = ["agent", "pair", "--api", api.url, "--data-dir", data, "--name", "press 7"];
  const more = ["--model", "m1", "--serial", "s1"];
  const paired = await runCli(t, [...words, ...more], { HAWSER_CODE: CODE });
  assert.equal(paired.code, 0, paired.stderr);
  assert.match(paired.stdout, /device id +abcdefgh234567ab/);
  const [asked] = api.asked;
  assert.deepEqual(
    [asked?.method, asked?.target, asked?.authorization, asked?.body],
    [
      "POST",
      "/api/pairing/exchange",
      "",
      { code: CODE, device: { name: "press 7", model: "m1", serial: "s1" } },
    ],
  );
  const [token = ""] = api.tokens;
  assert.equal(await readFile(join(data, "device.token"), "utf8"), `${token}\n`);
  assert.deepEqual((await readdir(data)).sort(), ["agent.json", "device.token"]);
  assert.equal(await modeOf(data), 0o700);
  assert.equal(await modeOf(join(data, "device.token")), 0o600);
  assert.equal(await modeOf(join(data, "agent.json")), 0o600);
  for (const text of [paired.stdout, paired.stderr]) {
    assert.ok(!text.includes(token) && !text.includes(CODE));
  }
  assert.ok(!(await readFile(join(data, "agent.json"), "utf8")).includes(token));

  const agent = new CliProcess(t, ["agent", "--data-dir", data, "--to", service.url]);
  const tunnel = await relay.nextTunnel();
  assert.equal((await bodyOf(await tunnel.request("/hello/cli"))).toString(), "hello cli");
  agent.child.kill("SIGTERM");
  tunnel.dropIdle();
  assert.equal((await agent.finished()).code, 0);
});

test("hawser agent pair: another device's token is kept, and its code is not used up", async (t) => {
  const data = await folder(t);
  const api = await pairing(t);
  const words = ["agent", "pair", "--api", api.url, "--data-dir", data, "--code", CODE];
  assert.equal((await runCli(t, words)).code, 0);
  const before = await readFile(join(data, "device.token"), "utf8");
  const refused = await runCli(t, [...words, "--json"]);
  assert.equal(refused.code, 2);
  assert.match(JSON.parse(refused.stderr).error.message, /has the device abcdefgh234567ab already/);
  assert.equal(api.asked.length, 1);
  assert.equal(await readFile(join(data, "device.token"), "utf8"), before);
  await rm(join(data, "agent.json"));
  assert.equal((await runCli(t, words)).code, 2);
  const forced = await runCli(t, [...words, "--force", "--json"]);
  assert.deepEqual(JSON.parse(forced.stdout), {
    device_id: ID,
    relay: "ws://127.0.0.1:9",
    expires_at: null,
    token_file: join(data, "device.token"),
  });
  assert.equal(await readFile(join(data, "device.token"), "utf8"), `${api.tokens[1]}\n`);
});

test("hawser agent pair: a folder that cannot be written, or a code that is none, asks nobody", async (t) => {
  const data = await folder(t);
  const api = await pairing(t);
  await writeFile(join(data, "file"), "");
  const words = ["agent", "pair", "--api", api.url];
  for (const more of [
    ["--data-dir", join(data, "file", "below"), "--code", CODE],
    ["--data-dir", data, "--code", "hwk_something"],
    ["--data-dir", data, "--code", "hwp_with a space in it all along"],
    ["--data-dir", data],
  ]) {
    const { code, stderr } = await runCli(t, [...words, ...more]);
    assert.equal(code, 2, stderr);
  }
  assert.equal((await runCli(t, ["agent", "pair", "--code", CODE, "--data-dir", data])).code, 2);
  assert.equal(api.asked.length, 0);
  assert.deepEqual(await readdir(data), ["file"]);
});

test("hawser agent pair: what the server refuses leaves nothing", async (t) => {
  const data = await folder(t);
  const api = await startScriptedApi(t, () => ({
    status: 404,
    body: { code: "pairing_code_invalid", detail: "The code is not good.", request_id: "r" },
  }));
  const words = ["agent", "pair", "--api", api.url, "--data-dir", data, "--code", CODE, "--json"];
  const { code, stderr } = await runCli(t, words);
  assert.equal(code, 1);
  assert.equal(JSON.parse(stderr).error.code, "pairing_code_invalid");
  assert.deepEqual(await readdir(data), []);
});

test("hawser agent pair: the code may come by standard input", async (t) => {
  const data = await folder(t);
  const api = await pairing(t);
  let printed = "";
  async function* input(): AsyncGenerator<string> {
    yield `${CODE.slice(0, 9)}`;
    yield `${CODE.slice(9)}\n`;
  }
  const command = agentPairCommand({ write: (text) => (printed += text) }, input());
  const words = ["--api", api.url, "--data-dir", data, "--code", "-"];
  await command.parseAsync(words, { from: "user" });
  assert.equal(JSON.stringify(api.asked[0]?.body).includes(CODE), true);
  assert.match(printed, /token file/);
});

test("hawser agent: a stored token that others can read is refused", async (t) => {
  const data = await folder(t);
  const api = await pairing(t);
  await runCli(t, ["agent", "pair", "--api", api.url, "--data-dir", data, "--code", CODE]);
  await chmod(join(data, "device.token"), 0o644);
  const words = ["agent", "--data-dir", data, "--to", "http://127.0.0.1:9"];
  const { code, stderr } = await runCli(t, words);
  assert.equal(code, 2);
  assert.match(stderr, /other users can open the device's token: chmod 600/);
});

test("hawser agent: a stored token goes to its own relay alone", async (t) => {
  const data = await folder(t);
  const api = await pairing(t);
  await runCli(t, ["agent", "pair", "--api", api.url, "--data-dir", data, "--code", CODE]);
  const words = ["agent", "--data-dir", data, "--to", "http://127.0.0.1:9", "--check-config"];
  assert.equal((await runCli(t, words)).code, 0);
  const elsewhere = await runCli(t, [...words, "--relay", "ws://127.0.0.1:9"]);
  assert.equal(elsewhere.code, 2);
  assert.match(elsewhere.stderr, /is required, unless HAWSER_TOKEN holds the token/);
});

test("hawser agent: a token that is four fifths through is replaced, in its file before all else", async (t) => {
  const relay = await startRelay(t);
  const data = await folder(t);
  const soon = new Date(Date.now() + 365 * 86_400_000).toISOString();
  const api = await pairing(t, relay.url, soon);
  await runCli(t, ["agent", "pair", "--api", api.url, "--data-dir", data, "--code", CODE]);
  const file = join(data, "agent.json");
  const state = JSON.parse(await readFile(file, "utf8"));
  // Issued so long ago that four fifths are over.
  state.issued_at = "2000-01-01T00:00:00.000Z";
  await writeFile(file, JSON.stringify({ ...state, expires_at: soon }));
  const words = ["agent", "--data-dir", data, "--to", "http://127.0.0.1:9"];
  const agent = new CliProcess(t, words);
  await agent.told(/the device's token was replaced; the new one ends /);
  const [first, second] = api.tokens;
  assert.equal(api.asked[1]?.target, "/api/device/token:rotate");
  assert.equal(api.asked[1]?.authorization, `Bearer ${first}`);
  assert.equal(await readFile(join(data, "device.token"), "utf8"), `${second}\n`);
  assert.notEqual(JSON.parse(await readFile(file, "utf8")).issued_at, state.issued_at);
  agent.child.kill("SIGTERM");
  const { code, stderr } = await agent.finished();
  assert.equal(code, 0);
  for (const token of api.tokens) assert.ok(!stderr.includes(token.slice(13)));
});
