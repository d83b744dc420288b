import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { openTokenStore } from "../../../../src/access-proxy/stores/index.ts";
import { problemsOf, testFolder } from "../../../support/access-proxy/folder.ts";

const HOUR = 3_600_000;
const IDP = "https://idp.example";

function record(tag: string, expiresAt = Date.now() + HOUR, token = `token-of-${tag}`) {
  return { tag, token, issuer: IDP, expiresAt };
}

test("token store: a token is found by its tag, by its caller alone, also after the store was opened anew", async (t) => {
  const folder = testFolder(t);
  const first = await openTokenStore(folder);
  const expiresAt = Date.now() + HOUR;
  await first.putToken("shop", record("abc", expiresAt));
  first.close();
  const tokens = await openTokenStore(folder);
  t.after(() => tokens.close());
  assert.deepEqual(await tokens.getByTag("shop", "abc"), {
    token: "token-of-abc",
    tag: "abc",
    issuer: IDP,
    expiresAt,
  });
  assert.equal(await tokens.getByTag("", "abc"), undefined);
  assert.equal(await tokens.getByTag("desk", "abc"), undefined);
  assert.equal(await tokens.getByTag("shop", "ab"), undefined);
});

test("token store: what another one writes to the same folder is seen at once", async (t) => {
  const folder = testFolder(t);
  const [one, other] = [await openTokenStore(folder), await openTokenStore(folder)];
  t.after(() => [one, other].map((store) => store.close()));
  await other.putToken("", record("abc", undefined, "first"));
  assert.equal((await one.getByTag("", "abc"))?.token, "first");
  await other.putToken("", record("abc", undefined, "second"));
  assert.equal((await one.getByTag("", "abc"))?.token, "second");
  assert.equal(await other.removeToken("", "abc"), true);
  assert.equal(await other.removeToken("", "abc"), false);
  assert.equal(await one.getByTag("", "abc"), undefined);
});

test("token store: opening it once more in one process does not hide what other processes write", async (t) => {
  const folder = testFolder(t);
  const [one, other] = [await openTokenStore(folder), await openTokenStore(folder)];
  t.after(() => [one, other].map((store) => store.close()));
  const { pathname } = new URL("../../../../src/access-proxy/index.js", import.meta.url);
  const write = (work: string): void => {
    const lines = `const { openTokenStore } = await import(${JSON.stringify(pathname)});
      const store = await openTokenStore(${JSON.stringify(folder)}); ${work}; store.close();`;
    execFileSync(process.execPath, ["--input-type=module", "-e", lines]);
  };
  const token = async () => (await one.getByTag("", "a"))?.token;
  assert.equal(await token(), undefined);
  write(`await store.putToken("", ${JSON.stringify(record("a"))})`);
  assert.equal(await token(), "token-of-a");
  // The process that ends takes the log of the database away with it, unless it sees that others have it open.
  write('await store.removeToken("", "a")');
  assert.equal(await token(), undefined);
});

test("token store: no file shows a token, and files are their owner's alone", async (t) => {
  const folder = testFolder(t);
  const tokens = await openTokenStore(join(folder, "data"));
  t.after(() => tokens.close());
  await tokens.putToken("", record("abc", undefined, "canary-canary-canary"));
  for (const name of ["access-proxy.db", "access-proxy.db-wal", "access-proxy.key"]) {
    const path = join(folder, "data", name);
    assert.ok(!readFileSync(path, "latin1").includes("canary"), name);
    assert.equal(statSync(path).mode & 0o777, 0o600, name);
  }
  assert.equal(statSync(join(folder, "data")).mode & 0o777, 0o700);
});

test("token store: a token that was stored with another key is one that is not there", async (t) => {
  const folder = testFolder(t);
  const first = await openTokenStore(folder);
  await first.putToken("", record("abc"));
  first.close();
  writeFileSync(join(folder, "access-proxy.key"), `${"A".repeat(43)}\n`);
  const tokens = await openTokenStore(folder);
  t.after(() => tokens.close());
  assert.equal(await tokens.getByTag("", "abc"), undefined);
  assert.equal((await tokens.listTokens(null)).length, 1);
});

test("token store: as many tokens as are allowed, and no more; one may be replaced", async (t) => {
  const tokens = await openTokenStore(testFolder(t), { tokensMax: 2 });
  t.after(() => tokens.close());
  await tokens.putToken("", record("a"));
  await tokens.putToken("", record("b"));
  await assert.rejects(tokens.putToken("", record("c")), { code: "ERR_ACCESS_PROXY_STORE_FULL" });
  await tokens.putToken("", record("b", undefined, "new"));
  assert.equal((await tokens.getByTag("", "b"))?.token, "new");
  await tokens.removeToken("", "a");
  await tokens.putToken("", record("c"));
});

test("token store: an expired token is told from one that never was for a day", async (t) => {
  let now = Date.now();
  const tokens = await openTokenStore(testFolder(t), { wallNow: () => now, tokensMax: 1 });
  t.after(() => tokens.close());
  const expiresAt = now + HOUR;
  await tokens.putToken("", record("a", expiresAt));
  now = expiresAt + 24 * HOUR - 1;
  await tokens.sweep();
  assert.equal((await tokens.getByTag("", "a"))?.expiresAt, expiresAt);
  now += 1;
  await tokens.putToken("", record("b", now + HOUR));
  assert.equal(await tokens.getByTag("", "a"), undefined);
});

test("token store: a listing has everything but the tokens, page by page", async (t) => {
  const tokens = await openTokenStore(testFolder(t));
  t.after(() => tokens.close());
  const expiresAt = Date.now() + HOUR;
  for (const tag of ["c", "a", "b"]) {
    await tokens.putToken("shop", { ...record(tag, expiresAt), scope: ["openid", "email"] });
  }
  await tokens.putToken("", record("z", expiresAt));
  const first = await tokens.listTokens(null, 2);
  assert.deepEqual(
    first.map(({ callerScope, tag }) => [callerScope, tag]),
    [
      ["", "z"],
      ["shop", "a"],
    ],
  );
  assert.deepEqual(first[1], {
    callerScope: "shop",
    tag: "a",
    issuer: IDP,
    scope: ["openid", "email"],
    expiresAt,
  });
  const rest = await tokens.listTokens(first[1] ?? null);
  assert.deepEqual(
    rest.map(({ tag }) => tag),
    ["b", "c"],
  );
});

test("token store: a record is refused beyond each limit, and taken at it", async (t) => {
  const tokens = await openTokenStore(testFolder(t));
  t.after(() => tokens.close());
  const good = record("a");
  await tokens.putToken("n".repeat(1_024), {
    tag: "t".repeat(1_024),
    token: "x".repeat(16_384),
    issuer: "i".repeat(1_024),
    expiresAt: Number.MAX_SAFE_INTEGER,
    scope: ["s".repeat(4_096)],
  });
  const bad = [
    { ...good, tag: "" },
    { ...good, tag: "t".repeat(1_025) },
    { ...good, tag: "a\nb" },
    { ...good, token: "" },
    { ...good, token: "x".repeat(16_385) },
    { ...good, token: "two words" },
    { ...good, token: "line\r\nbreak" },
    { ...good, issuer: "" },
    { ...good, issuer: "i".repeat(1_025) },
    { ...good, expiresAt: 0 },
    { ...good, expiresAt: Number.NaN },
    { ...good, expiresAt: 1.5 },
    { ...good, scope: ["two words"] },
    { ...good, scope: ["s".repeat(4_097)] },
  ];
  for (const each of bad) {
    await assert.rejects(tokens.putToken("", each), { code: "ERR_ACCESS_PROXY_STORE_RECORD" });
  }
  await assert.rejects(tokens.putToken("n".repeat(1_025), good), {
    code: "ERR_ACCESS_PROXY_STORE_RECORD",
  });
});

test("token store: a key that is not ours, and a folder that cannot be made, are told of", async (t) => {
  const folder = testFolder(t);
  writeFileSync(join(folder, "access-proxy.key"), "not a key\n");
  assert.deepEqual(await problemsOf(() => openTokenStore(folder)), [
    { setting: join(folder, "access-proxy.key"), problem: "is not a key that Hawser has made" },
  ]);
  const [problem] = await problemsOf(() => openTokenStore("/dev/null/folder"));
  assert.equal(problem?.setting, "dataDir");
  assert.match(problem?.problem ?? "", /cannot be used \(ENOTDIR\)/);
});

test("token store: a closed store says so and ends no process", async (t) => {
  const tokens = await openTokenStore(testFolder(t));
  tokens.close();
  tokens.close();
  const closed = { code: "ERR_ACCESS_PROXY_STORE_CLOSED" };
  await assert.rejects(tokens.getByTag("", "a"), closed);
  await assert.rejects(tokens.putToken("", record("a")), closed);
});
