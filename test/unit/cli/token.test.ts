import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { type Command, CommanderError } from "commander";
import { tokenCommand } from "../../../src/cli/commands/token.ts";
import { type Credentials, parseCredentials } from "../../../src/core/credentials.ts";
import { ConfigError } from "../../../src/core/errors.ts";
import { digestsEqual, isDeviceId, parseToken } from "../../../src/core/token.ts";

/** Runs `hawser token …`; a command that fails gives its message in `failure`. */
async function run(...args: string[]): Promise<{ out: string; failure: string }> {
  let out = "";
  let failure = "";
  const command = tokenCommand({ write: (text) => (out += text) });
  const quiet = (one: Command) =>
    one.exitOverride().configureOutput({
      writeErr: (text) => (failure += text),
      writeOut: (text) => (out += text),
    });
  quiet(command);
  command.commands.forEach(quiet);
  try {
    await command.parseAsync(args, { from: "user" });
  } catch (error) {
    if (error instanceof ConfigError) failure += error.message;
    else assert.ok(error instanceof CommanderError);
  }
  return { out, failure };
}

async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "hawser-token-"));
  t.after(() => rm(path, { recursive: true }));
  return path;
}

async function credentialsOf(path: string): Promise<Credentials> {
  return parseCredentials(await readFile(path, "utf8"), path);
}

async function modeOf(path: string): Promise<number> {
  return (await stat(path)).mode & 0o777;
}

test("a device token in a file of its own, its digest in the credentials file", async (t) => {
  const base = await folder(t);
  const file = join(base, "c.json");
  const tokenFile = join(base, "device.token");
  const { out, failure } = await run(
    ...["create", "--kind", "device", "--file", file, "--token-file", tokenFile],
  );
  assert.equal(failure, "");
  const text = await readFile(tokenFile, "utf8");
  const parsed = parseToken(text.trim());
  assert.ok(parsed.ok && parsed.kind === "device");
  const [entry] = (await credentialsOf(file)).tokens;
  assert.ok(entry !== undefined && isDeviceId(entry.device_id));
  assert.equal(entry.ref, parsed.ref);
  assert.ok(digestsEqual(entry.digest, parsed.secretDigest));
  assert.equal(entry.user_id, "local");
  assert.deepEqual([await modeOf(file), await modeOf(tokenFile)], [0o600, 0o600]);
  assert.ok(!out.includes(text.trim()), "the token is not printed as well");
  assert.ok(out.includes(entry.device_id));
  assert.deepEqual((await readdir(base)).sort(), ["c.json", "device.token"]);
});

test("a key is printed once, and the file keeps all else", async (t) => {
  const file = join(await folder(t), "c.json");
  await run("create", "--kind", "device", "--user", "alice", "--note", "the gate", "--file", file);
  const before = await credentialsOf(file);
  const device = before.tokens[0]?.device_id ?? "";
  const { out } = await run(
    ...["create", "--kind", "key", "--device-id", device, "--file", file],
    ...["--expires-at", "2027-01-01T00:00:00Z", "--json"],
  );
  const created = JSON.parse(out);
  const parsed = parseToken(created.token);
  assert.ok(parsed.ok && parsed.kind === "key");
  const after = await credentialsOf(file);
  assert.deepEqual(after.tokens, before.tokens);
  assert.deepEqual(after.keys, [created.entry]);
  assert.deepEqual(created.entry, {
    ref: parsed.ref,
    digest: parsed.secretDigest,
    user_id: "alice",
    devices: [device],
    expires_at: "2027-01-01T00:00:00Z",
  });
  assert.ok(!(await readFile(file, "utf8")).includes(created.token.slice(13, 56)));
});

test("without a file the entry is printed", async () => {
  const { out } = await run("create", "--kind", "key", "--user", "bob");
  const token = /hwk_\w{8}_\w{49}/.exec(out)?.[0] ?? "";
  const parsed = parseToken(token);
  assert.ok(parsed.ok);
  assert.ok(out.includes(`"digest": "${parsed.secretDigest}"`));
  assert.ok(out.includes('"user_id": "bob"'));
});

test("a second token of a device belongs to the device's user", async (t) => {
  const file = join(await folder(t), "c.json");
  const device = ["--kind", "device", "--device-id", "abcdefgh234567ab", "--file", file];
  await run("create", ...device, "--user", "alice");
  await run("create", ...device);
  const { tokens } = await credentialsOf(file);
  assert.deepEqual(
    tokens.map(({ user_id }) => user_id),
    ["alice", "alice"],
  );
  const { failure } = await run("create", ...device, "--user", "bob");
  assert.match(failure, /tokens\[2\]\.user_id: differs/);
  assert.equal((await credentialsOf(file)).tokens.length, 2);
});

test("a bad credentials file is refused, untouched, and no token file is left", async (t) => {
  const base = await folder(t);
  const file = join(base, "c.json");
  const text = '{"version":1,"tokens":[{"ref":"vAc_1"}],"keys":[]}';
  await writeFile(file, text);
  const { out, failure } = await run(
    ...["create", "--kind", "key", "--file", file, "--token-file", join(base, "key")],
  );
  assert.equal(out, "");
  assert.match(failure, /^.*tokens\[0\]\.ref: .*\n.*tokens\[0\]\.digest: /);
  assert.equal(await readFile(file, "utf8"), text);
  assert.deepEqual(await readdir(base), ["c.json"]);
});

test("a token file that exists is replaced only by --force", async (t) => {
  const base = await folder(t);
  const tokenFile = join(base, "key");
  await writeFile(tokenFile, "precious");
  const args = ["create", "--kind", "key", "--file", join(base, "c"), "--token-file", tokenFile];
  const { failure } = await run(...args);
  assert.match(failure, /exists already/);
  assert.equal(await readFile(tokenFile, "utf8"), "precious");
  assert.deepEqual(await readdir(base), ["key"]);
  await run(...args, "--force");
  assert.equal(parseToken((await readFile(tokenFile, "utf8")).trim()).ok, true);
});

test("two that write the same token file at once: one token, its entry, and no other", async (t) => {
  const base = await folder(t);
  const [file, tokenFile] = [join(base, "c"), join(base, "token")];
  const args = ["create", "--kind", "device", "--file", file, "--token-file", tokenFile];
  const results = await Promise.all([run(...args), run(...args)]);
  assert.deepEqual(results.map(({ failure }) => /exists already/.test(failure)).sort(), [
    false,
    true,
  ]);
  const token = parseToken((await readFile(tokenFile, "utf8")).trim());
  const { tokens } = await credentialsOf(file);
  assert.deepEqual(
    [token.ok && token.ref],
    tokens.map(({ ref }) => ref),
  );
});

test("a token file that is the credentials file is refused, by whatever name", async (t) => {
  const base = await folder(t);
  const file = join(base, "c.json");
  await symlink(base, join(base, "again"));
  for (const name of [file, join(base, "again", "c.json")]) {
    const { out, failure } = await run(
      ...["create", "--kind", "device", "--file", file, "--token-file", name, "--force"],
    );
    assert.equal(out, "");
    assert.match(failure, /--token-file: the same as --file/);
  }
  assert.deepEqual(await readdir(base), ["again"]);

  await run("create", "--kind", "key", "--file", file);
  const text = await readFile(file, "utf8");
  await symlink(file, join(base, "link"));
  const args = ["--file", join(base, "link"), "--token-file", file, "--force"];
  const { failure } = await run("create", "--kind", "device", ...args);
  assert.match(failure, /--token-file: the same as --file/);
  assert.equal(await readFile(file, "utf8"), text);
});

for (const before of [null, "precious\n"]) {
  const kept =
    before === null ? "leaves no token file" : "leaves the token file that --force named";
  test(`an entry that cannot be stored ${kept}`, async (t) => {
    const base = await folder(t);
    const tokenFile = join(base, "token");
    if (before !== null) await writeFile(tokenFile, before);
    // There is room for the name of the lock beside it, but not for that of the new content.
    const file = join(base, "c".repeat(245));
    const { out, failure } = await run(
      ...["create", "--kind", "device", "--file", file, "--token-file", tokenFile, "--force"],
    );
    assert.equal(out, "");
    assert.match(failure, /cannot be written \(ENAMETOOLONG\)/);
    assert.equal(await readFile(tokenFile, "utf8").catch(() => null), before);
    assert.deepEqual(await readdir(base), before === null ? [] : ["token"]);
  });
}

for (const { name, args, failure } of [
  { name: "no kind", args: [], failure: /--kind/ },
  { name: "another kind", args: ["--kind", "enrolment"], failure: /Allowed choices/ },
  { name: "a bad device id", args: ["--kind", "device", "--device-id", "X"], failure: /device_id/ },
  {
    name: "a device token for two devices",
    args: ["--kind", "device", "--device-id", "abcdefgh234567ab", "abcdefgh234567ac"],
    failure: /belongs to one device/,
  },
  { name: "a bad time", args: ["--kind", "key", "--expires-at", "soon"], failure: /expires_at/ },
  { name: "a bad user", args: ["--kind", "key", "--user", ""], failure: /user_id/ },
]) {
  test(`refused: ${name}`, async () => {
    const result = await run("create", ...args);
    assert.equal(result.out, "");
    assert.match(result.failure, failure);
  });
}

test("--help has examples", async () => {
  const { out } = await run("create", "--help");
  assert.match(out, /^Examples:$/m);
  assert.match(out, /^ *\$ hawser token create --kind device --file/m);
});
