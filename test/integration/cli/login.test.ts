import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { chmod, mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import test, { type TestContext } from "node:test";
import { findApiKey, openDatabase, type Store, type User } from "../../../src/api/store/index.ts";
import { parseToken } from "../../../src/core/token.ts";
import { type CliLoginApi, COOKIE_NAME, startCliLoginApi } from "../../support/api/cli-login.ts";
import { person } from "../../support/api-store/people.ts";
import { CliProcess, type Finished, runCli } from "../../support/cli.ts";
import { rawRequest } from "../../support/forward/raw-request.ts";
import { startTestRelay } from "../../support/relay/start-relay.ts";
import { until } from "../../support/until.ts";

interface Place {
  readonly api: CliLoginApi;
  readonly url: string;
  readonly store: Store;
  readonly ann: User;
  /** Variables of somebody whose home is empty. */
  readonly home: Record<string, string>;
  readonly file: string;
}

async function place(t: TestContext): Promise<Place> {
  const folder = await mkdtemp(join(tmpdir(), "hawser-login-"));
  const store = await openDatabase(`sqlite:${join(folder, "hawser.db")}`);
  t.after(async () => {
    await store.close();
    await rm(folder, { recursive: true, force: true });
  });
  const api = await startCliLoginApi(t, store);
  const ann = await person(store, "ann");
  api.signIn("ann", ann);
  const home = {
    HOME: folder,
    XDG_CONFIG_HOME: join(folder, "config"),
    DISPLAY: "",
    WAYLAND_DISPLAY: "",
  };
  const file = join(folder, "config", "hawser", "credentials.json");
  return { api, url: `http://127.0.0.1:${api.port}`, store, ann, home, file };
}

/** The browser: opens the page, and answers it. Gives where it is sent then. */
async function answerPage(page: string, decision = "allow"): Promise<string> {
  const shown = await fetch(page, { headers: { cookie: `${COOKIE_NAME}=ann` } });
  assert.equal(shown.status, 200);
  const consent = /name="consent" value="([^"]+)"/.exec(await shown.text())?.[1] ?? "";
  const answer = await fetch(new URL("/cli-login", page), {
    method: "POST",
    redirect: "manual",
    headers: {
      cookie: `${COOKIE_NAME}=ann`,
      origin: "http://127.0.0.1:3721",
      "sec-fetch-site": "same-origin",
    },
    body: new URLSearchParams({ consent, decision }),
  });
  assert.equal(answer.status, 303);
  return answer.headers.get("location") ?? "";
}

async function pageOf(command: CliProcess): Promise<string> {
  const [, page = ""] = await command.told(/^ {2}(http:\S+\/cli-login\?\S+)$/m);
  await command.told(/Waiting/);
  return page;
}

/** Runs a command that asks in the browser, and allows it. */
async function allowed(
  t: TestContext,
  words: readonly string[],
  home: Record<string, string>,
): Promise<Finished & { redirect: string }> {
  const command = new CliProcess(t, words, home);
  const redirect = await answerPage(await pageOf(command));
  const back = await fetch(redirect);
  assert.equal(back.status, 200);
  assert.match(await back.text(), /You can close this page/);
  return { ...(await command.finished()), redirect };
}

test("hawser login: the page, the key in a file of its owner alone; whoami; logout revokes it", async (t) => {
  const { url, store, home, file, ann } = await place(t);
  const words = ["login", "--api", `${url}/`, "--name", "the press", "--days", "7"];
  const { code, stdout, stderr, redirect } = await allowed(t, words, home);
  assert.equal(code, 0, stderr);
  assert.match(stdout, new RegExp(`signed in to +${url}\n`));
  assert.match(stdout, /as +ann@example\.org\n/);
  const stored = JSON.parse(await readFile(file, "utf8"));
  assert.equal(stored.current, url);
  const { key, name, scopes } = stored.apis[url];
  assert.equal((await stat(file)).mode & 0o777, 0o600);
  assert.equal((await stat(join(file, ".."))).mode & 0o777, 0o700);
  const parsed = parseToken(key);
  assert.ok(parsed.ok);
  const row = await findApiKey(store, parsed);
  assert.deepEqual([row?.ownerId, row?.name, name], [ann.id, "the press", "the press"]);
  assert.deepEqual(row?.scopes, scopes);
  // The key is in the file and nowhere else, and neither verifier nor key is in an address.
  for (const text of [stdout, stderr, redirect]) assert.ok(!text.includes(key.slice(13)));

  const who = await runCli(t, ["whoami"], home);
  assert.equal(who.code, 0, who.stderr);
  assert.match(who.stdout, /person +ann@example\.org/);
  assert.match(who.stdout, /called +the press/);

  const out = await runCli(t, ["logout", "--json"], home);
  assert.deepEqual(JSON.parse(out.stdout), {
    api: url,
    ref: parsed.ref,
    signed_in: false,
    revoked: true,
  });
  assert.equal(await findApiKey(store, parsed), null);
  assert.deepEqual(JSON.parse(await readFile(file, "utf8")).apis, {});
  const after = await runCli(t, ["whoami", "--api", url], home);
  assert.equal(after.code, 1);
  assert.match(after.stderr, /^error: There is no key of http/);
  assert.match(after.stderr, /hawser login --api/);
});

test("hawser login: a further sign-in replaces the key and revokes the one before", async (t) => {
  const { url, store, home, file } = await place(t);
  await allowed(t, ["login", "--api", url], home);
  const first = JSON.parse(await readFile(file, "utf8")).apis[url].key;
  const { code, stdout } = await allowed(t, ["login", "--json", "--scope", "devices:read"], home);
  assert.equal(code, 0);
  const shown = JSON.parse(stdout);
  assert.deepEqual([shown.api, shown.scopes, "key" in shown], [url, ["devices:read"], false]);
  const second = JSON.parse(await readFile(file, "utf8")).apis[url].key;
  const [one, two] = [parseToken(first), parseToken(second)];
  assert.ok(one.ok && two.ok);
  assert.equal(await findApiKey(store, one), null);
  assert.ok((await findApiKey(store, two)) !== null);
});

test("hawser login: what is denied in the browser ends with 1 and stores nothing", async (t) => {
  const { url, home, file } = await place(t);
  const command = new CliProcess(t, ["login", "--api", url, "--json"], home);
  const redirect = await answerPage(await pageOf(command), "deny");
  await fetch(redirect);
  const { code, stderr } = await command.finished();
  assert.equal(code, 1);
  assert.equal(JSON.parse(stderr.trim().split("\n").at(-1) ?? "").error.code, "ERR_CLI_LOGIN");
  await assert.rejects(stat(file), { code: "ENOENT" });
});

test("hawser login: an answer with another state, host or path is none; the command goes on waiting", async (t) => {
  const { url, home } = await place(t);
  const command = new CliProcess(t, ["login", "--api", url], home);
  const page = await pageOf(command);
  const own = new URL(new URL(page).searchParams.get("redirect_uri") ?? "");
  const forged = await fetch(`${own}?code=stolen&state=${"x".repeat(43)}`);
  assert.equal(forged.status, 400);
  const state = new URL(page).searchParams.get("state");
  assert.equal((await fetch(`${own.origin}/elsewhere?code=x&state=${state}`)).status, 404);
  const target = `${own.pathname}?code=x&state=${state}`;
  const lines = `GET ${target} HTTP/1.1\r\nHost: localhost:${own.port}\r\n\r\n`;
  assert.equal((await rawRequest(Number(own.port), lines)).status, 404);
  await fetch(await answerPage(page));
  assert.equal((await command.finished()).code, 0);
});

test("hawser login: nobody answers in time", async (t) => {
  const { url, home } = await place(t);
  const { code, stderr } = await runCli(t, ["login", "--api", url, "--wait", "1"], home);
  assert.equal(code, 1);
  assert.match(stderr, /Nobody answered in the browser in time/);
});

test("hawser login: it opens a browser where there is a desktop, and --no-browser does not", async (t) => {
  const { url, home } = await place(t);
  const bin = join(home["HOME"] ?? "", "bin");
  await mkdir(bin);
  const opened = join(bin, "opened");
  const script = `#!/bin/sh\nprintf %s "$1" > '${opened}.tmp' && mv '${opened}.tmp' '${opened}'\n`;
  await writeFile(join(bin, "xdg-open"), script, { mode: 0o700 });
  const desktop = { ...home, DISPLAY: ":77", PATH: `${bin}${delimiter}${process.env["PATH"]}` };
  if (process.platform !== "linux") return;
  const quiet = await runCli(t, ["login", "--api", url, "--no-browser", "--wait", "1"], desktop);
  assert.equal(quiet.code, 1);
  await assert.rejects(stat(opened), { code: "ENOENT" });
  const command = new CliProcess(t, ["login", "--api", url], desktop);
  await until(() => existsSync(opened), "the browser to be opened");
  command.child.kill();
  assert.match(await readFile(opened, "utf8"), new RegExp(`^${url}/cli-login\\?redirect_uri=http`));
});

test("hawser login: a file of keys that others can read is refused before anybody is asked", async (t) => {
  const { url, home, file } = await place(t);
  await mkdir(join(file, ".."), { recursive: true });
  const text = JSON.stringify({ version: 1, current: null, apis: {} });
  await writeFile(file, text);
  await chmod(file, 0o640);
  const { code, stderr } = await runCli(t, ["login", "--api", url], home);
  assert.equal(code, 2);
  assert.match(stderr, /other users can open it, and it holds keys: chmod 600/);
  assert.equal(await readFile(file, "utf8"), text);
});

test("hawser logout: a server that is away keeps the key, --local forgets it", async (t) => {
  const { url, api, store, home, file } = await place(t);
  await allowed(t, ["login", "--api", url], home);
  const { key } = JSON.parse(await readFile(file, "utf8")).apis[url];
  await api.server.close();
  const away = await runCli(t, ["logout"], home);
  assert.equal(away.code, 1);
  assert.match(away.stderr, /The key stays stored/);
  assert.equal(JSON.parse(await readFile(file, "utf8")).apis[url].key, key);
  const local = await runCli(t, ["logout", "--local"], home);
  assert.equal(local.code, 0);
  assert.match(local.stdout, /was not revoked/);
  assert.deepEqual(JSON.parse(await readFile(file, "utf8")).apis, {});
  const parsed = parseToken(key);
  assert.ok(parsed.ok && (await findApiKey(store, parsed)) !== null);
});

test("hawser keys: create prints a key that is stored nowhere, revoke wants the key itself", async (t) => {
  const { url, store, home, file } = await place(t);
  const words = [
    "keys",
    "create",
    "--api",
    url,
    "--name",
    "ci",
    "--scope",
    "devices:read",
    "--json",
  ];
  const { code, stdout } = await allowed(t, words, home);
  assert.equal(code, 0);
  const made = JSON.parse(stdout);
  const parsed = parseToken(made.key);
  assert.ok(parsed.ok);
  assert.equal((await findApiKey(store, parsed))?.name, "ci");
  await assert.rejects(stat(file), { code: "ENOENT" });
  const none = await runCli(t, ["keys", "revoke", parsed.ref, "--api", url, "--json"], home);
  assert.equal(none.code, 1);
  assert.equal(JSON.parse(none.stderr).error.code, "ERR_CLI_KEY_ELSEWHERE");
  const own = { ...home, HAWSER_API_KEY: made.key };
  const done = await runCli(t, ["keys", "revoke", parsed.ref, "--api", url], own);
  assert.equal(done.code, 0, done.stderr);
  assert.equal(await findApiKey(store, parsed), null);

  const keyFile = join(home["HOME"] ?? "", "ci.key");
  const kept = await allowed(t, ["keys", "create", "--api", url, "--key-file", keyFile], home);
  assert.equal((await stat(keyFile)).mode & 0o777, 0o600);
  const text = (await readFile(keyFile, "utf8")).trim();
  assert.ok(parseToken(text).ok && !kept.stdout.includes(text));
});

test("hawser keys create: a file that cannot take the key is told before anybody is asked, and none is replaced", async (t) => {
  const { url, home } = await place(t);
  const there = join(home["HOME"] ?? "", "other.key");
  await writeFile(there, "another key\n");
  const missing = join(home["HOME"] ?? "", "missing", "ci.key");
  for (const [keyFile, problem] of [
    [there, /exists already; --force replaces it/],
    [missing, /its folder cannot be written to/],
    [home["HOME"] ?? "", /is a folder/],
  ] as const) {
    const words = ["keys", "create", "--api", url, "--key-file", keyFile];
    const { code, stderr } = await runCli(t, words, home);
    assert.equal(code, 2);
    assert.match(stderr, problem);
    assert.doesNotMatch(stderr, /cli-login/);
  }
  assert.equal(await readFile(there, "utf8"), "another key\n");
  await allowed(t, ["keys", "create", "--api", url, "--key-file", there, "--force"], home);
  assert.ok(parseToken((await readFile(there, "utf8")).trim()).ok);
});

test("hawser login: a server that cannot be reached, or is none, is told before anybody is asked", async (t) => {
  const { home } = await place(t);
  const relay = await startTestRelay(t);
  for (const [api, code] of [
    ["http://127.0.0.1:1", "ERR_CLI_API_UNREACHABLE"],
    [`http://127.0.0.1:${relay.relay.port}`, "ERR_RELAY_"],
  ] as const) {
    const told = await runCli(t, ["login", "--api", api, "--timeout", "5", "--json"], home);
    assert.equal(told.code, 1);
    assert.ok(JSON.parse(told.stderr).error.code.startsWith(code), told.stderr);
  }
});

test("hawser keys create: a key that could not be kept is revoked", async (t) => {
  const { url, api, home } = await place(t);
  const folder = join(home["HOME"] ?? "", "keys");
  await mkdir(folder);
  const words = ["keys", "create", "--api", url, "--key-file", join(folder, "ci.key")];
  const command = new CliProcess(t, words, home);
  const redirect = await answerPage(await pageOf(command));
  await rm(folder, { recursive: true });
  await fetch(redirect);
  const { code, stderr } = await command.finished();
  assert.equal(code, 2);
  assert.match(stderr, /cannot be written/);
  const events = api.audited.map(({ event, objectId }) => [event, objectId]);
  const [made, revoked] = events;
  assert.deepEqual([made?.[0], revoked], ["key_created", ["key_revoked", made?.[1]]]);
});
