import assert from "node:assert/strict";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import test, { type TestContext } from "node:test";
import {
  editProfiles,
  type Profile,
  profilesPath,
  readProfiles,
} from "../../../src/cli/profiles.ts";
import { ConfigError } from "../../../src/core/errors.ts";
import { mintToken } from "../../../src/core/token.ts";

async function pathFor(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "hawser-profiles-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return profilesPath({ XDG_CONFIG_HOME: folder });
}

function profile(): Profile {
  const { text, ref } = mintToken("key");
  return {
    key: text,
    ref,
    name: "press",
    scopes: ["devices:read"],
    expires_at: "2027-01-01T00:00:00Z",
    user: { email: null, name: null },
    ca: null,
  };
}

function withApi(api: string, added: Profile) {
  return (present: Awaited<ReturnType<typeof readProfiles>>) => ({
    ...present,
    current: api,
    apis: { ...present.apis, [api]: added },
  });
}

async function problemOf(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => null,
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof ConfigError, String(error));
  return error.message;
}

test("profiles: where XDG says, else in .config of the home", () => {
  assert.equal(profilesPath({ XDG_CONFIG_HOME: "/x" }), "/x/hawser/credentials.json");
  assert.match(profilesPath({ XDG_CONFIG_HOME: "" }), /\/\.config\/hawser\/credentials\.json$/);
});

test("profiles: several servers in one file, for its owner alone, made with its folder", async (t) => {
  const path = await pathFor(t);
  assert.deepEqual((await readProfiles(path)).apis, {});
  const [one, two] = [profile(), profile()];
  await editProfiles(path, withApi("https://one.test", one));
  await editProfiles(path, withApi("https://two.test", two));
  const { current, apis } = await readProfiles(path);
  assert.deepEqual(
    [current, apis],
    ["https://two.test", { "https://one.test": one, "https://two.test": two }],
  );
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  assert.equal((await stat(dirname(path))).mode & 0o777, 0o700);
  assert.deepEqual(await readdir(dirname(path)), ["credentials.json"]);
});

test("profiles: two that write at once both stay", async (t) => {
  const path = await pathFor(t);
  const names = Array.from({ length: 8 }, (_, index) => `https://api-${index}.test`);
  await Promise.all(names.map((name) => editProfiles(path, withApi(name, profile()))));
  assert.deepEqual(Object.keys((await readProfiles(path)).apis).sort(), names);
});

test("profiles: what this version does not know is kept", async (t) => {
  const path = await pathFor(t);
  await mkdir(dirname(path), { recursive: true });
  const later = {
    version: 1,
    current: null,
    apis: { "https://one.test": { ...profile(), hue: 7 } },
    theme: "x",
  };
  await writeFile(path, JSON.stringify(later), { mode: 0o600 });
  await editProfiles(path, withApi("https://two.test", profile()));
  const stored = JSON.parse(await readFile(path, "utf8"));
  assert.deepEqual([stored.theme, stored.apis["https://one.test"].hue], ["x", 7]);
});

test("profiles: a file that cannot be understood is refused and left alone, its content not told", async (t) => {
  const path = await pathFor(t);
  await mkdir(dirname(path), { recursive: true });
  const key = profile().key;
  for (const text of [
    `{"version":1,"apis":{"x":{"key":"${key}"`,
    JSON.stringify({ version: 2, current: null, apis: {} }),
    JSON.stringify({
      version: 1,
      current: null,
      apis: { "https://one.test": { ...profile(), key: `${key}x` } },
    }),
    "",
    "[]",
  ]) {
    await writeFile(path, text, { mode: 0o600 });
    const told = await problemOf(editProfiles(path, withApi("https://two.test", profile())));
    assert.match(told, /left as it is/);
    assert.ok(!told.includes(key));
    assert.equal(await readFile(path, "utf8"), text);
  }
});

test("profiles: a file that others can open is refused", async (t) => {
  const path = await pathFor(t);
  await editProfiles(path, withApi("https://one.test", profile()));
  for (const mode of [0o604, 0o640, 0o620]) {
    await chmod(path, mode);
    assert.match(await problemOf(readProfiles(path)), /other users can open it/);
  }
  await chmod(path, 0o400);
  assert.equal(Object.keys((await readProfiles(path)).apis).length, 1);
});
