import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { renameSync, rmSync, writeFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { join } from "node:path";
import test from "node:test";
import {
  CallersFile,
  DestinationsFile,
  IdpsFile,
  newSigningKey,
} from "../../../../src/access-proxy/index.ts";
import {
  parseCallers,
  parseDestinations,
  parseIdps,
} from "../../../../src/access-proxy/stores/index.ts";
import {
  problemsOf,
  recordingLogger,
  silent,
  testFolder,
  told,
} from "../../../support/access-proxy/folder.ts";

const IDP = { issuer: "https://idp.example", cooperation_from_endpoint: "https://idp.example/c" };

/** `place: problem` of each problem, the file's name left out. */
async function found(act: () => unknown): Promise<string[]> {
  const problems = await problemsOf(act);
  return problems.map(({ setting, problem }) => `${setting.replace(/^f:? ?/, "")}: ${problem}`);
}

function idps(...entries: object[]) {
  return parseIdps(JSON.stringify(entries), "f");
}

function destinations(entries: readonly object[], hasEdge = false) {
  return parseDestinations(JSON.stringify(entries), "f", { hasEdge });
}

test("ID providers: a whole record is taken, with keys as an array or as a key set", async () => {
  const { publicJwk } = await newSigningKey("ES256", "k");
  const records = idps(
    {
      ...IDP,
      cooperation_to_endpoint: "https://idp.example/to",
      jwks: [publicJwk],
      authorization_endpoint: "https://idp.example/a",
      token_endpoint: "https://idp.example/t",
      userinfo_endpoint: "https://idp.example/u",
      issuer_name: "Example",
      "issuer_name#ja": "例",
    },
    { ...IDP, issuer: "b", jwks: { keys: [publicJwk] } },
    { ...IDP, issuer: "c", jwks_uri: "https://idp.example/jwks" },
  );
  assert.deepEqual(records.get(IDP.issuer), {
    issuer: IDP.issuer,
    cooperationFromEndpoint: IDP.cooperation_from_endpoint,
    jwks: [publicJwk],
    jwksUri: null,
  });
  assert.deepEqual(records.get("b")?.jwks, [publicJwk]);
  assert.deepEqual(records.get("c")?.jwks, null);
  assert.equal(records.get("c")?.jwksUri, "https://idp.example/jwks");
});

test("ID providers: an endpoint is https, or http on loopback", async () => {
  for (const url of [
    "http://localhost:1/c",
    "http://127.0.0.1/c",
    "http://[::1]:80/c",
    "https://a/",
  ]) {
    assert.equal(idps({ ...IDP, cooperation_from_endpoint: url }).size, 1, url);
  }
  for (const url of [
    "http://idp.example/c",
    "http://127.0.0.1.example/c",
    "https://user@idp.example/c",
    "https://idp.example/c#x",
    "ftp://idp.example/c",
    "/c",
    "",
  ]) {
    const problems = await found(() => idps({ ...IDP, cooperation_from_endpoint: url }));
    assert.match(problems.join(), /^\[0\]\.cooperation_from_endpoint: must be an https/, url);
  }
});

test("ID providers: each problem is told by its entry and field, and nothing of the values", async () => {
  const { publicJwk, privateJwk } = await newSigningKey("ES256", "k");
  const problems = await found(() =>
    idps(
      { issuer: "", cooperation_from_endpoint: 7 },
      { ...IDP, jwks: [privateJwk] },
      { ...IDP, issuer: "b", jwks: [{ ...publicJwk, x: "secret" }] },
      { ...IDP, issuer: "c", cooperationFromEndpoint: "secret" },
      { issuer: "d" },
    ),
  );
  assert.deepEqual(problems, [
    "[0].issuer: must not be empty",
    "[0].cooperation_from_endpoint: must be a URL",
    "[1].jwks[0]: must be a public key as a JWK, without its private part",
    "[2].jwks[0]: must be a public key as a JWK, without its private part",
    "[3].cooperationFromEndpoint: is no field of an ID provider",
    "[4].cooperation_from_endpoint: must be a URL",
  ]);
  assert.deepEqual(await found(() => idps(IDP, IDP)), [
    "[1].issuer: is that of an earlier entry too",
  ]);
  assert.deepEqual(await found(() => parseIdps("{}", "f")), [": must be an array of ID providers"]);
  assert.match((await found(() => parseIdps("[", "f"))).join(), /^: is not JSON/);
});

test("ID providers: 1,000 are taken, and no more", async () => {
  const many = Array.from({ length: 1_001 }, (_, index) => ({ ...IDP, issuer: `i${index}` }));
  assert.equal(idps(...many.slice(1)).size, 1_000);
  assert.deepEqual(await found(() => idps(...many)), [": must have at most 1000 entries"]);
  assert.equal(idps({ ...IDP, issuer: "i".repeat(1_024) }).size, 1);
  assert.deepEqual(await found(() => idps({ ...IDP, issuer: "i".repeat(1_025) })), [
    "[0].issuer: is too long",
  ]);
});

test("destinations: an origin is normalised, and what is left out has its default", () => {
  assert.deepEqual(destinations([{ origin: "HTTPS://TO.Example:443/" }]), [
    {
      origin: "https://to.example",
      taId: "https://to.example",
      pathPrefix: "/",
      allowHttp: false,
      allowPrivate: false,
      device: null,
    },
  ]);
  const whole = {
    origin: "http://to.example:8080",
    taId: "https://ta.example",
    pathPrefix: "/api/v1",
    allowHttp: true,
    allowPrivate: true,
    device: "abcdefgh234567ab",
  };
  assert.deepEqual(destinations([whole], true), [whole]);
});

test("destinations: what is no origin, no prefix or no device is told", async () => {
  for (const origin of [
    "https://to.example/path",
    "https://user@to.example",
    "https://to.example?x",
    "https://to.example#x",
    "ws://to.example",
    "to.example",
    "https://",
    "https://a b",
  ]) {
    const problems = await found(() => destinations([{ origin }]));
    assert.match(problems.join(), /^\[0\]\.origin: must be a scheme/, origin);
  }
  for (const pathPrefix of [
    "api",
    "",
    "/a/../b",
    "/a/./b",
    "/a//b",
    "/a%2fb",
    "/a%252Fb",
    "/a%5cb",
    "/%2e%2e/b",
    "/a\\b",
    "/a?b",
    "/a#b",
    "/a b",
  ]) {
    const problems = await found(() =>
      destinations([{ origin: "https://to.example", pathPrefix }]),
    );
    assert.match(problems.join(), /^\[0\]\.pathPrefix: must begin with/, pathPrefix);
  }
  for (const pathPrefix of ["/", "/api", "/api/", "/a-b_c~d.e/%41"]) {
    assert.equal(
      destinations([{ origin: "https://to.example", pathPrefix }]).length,
      1,
      pathPrefix,
    );
  }
  assert.deepEqual(await found(() => destinations([{ origin: "http://to.example" }])), [
    "[0].origin: http:// needs allowHttp",
  ]);
  const device = { origin: "https://to.example", device: "abcdefgh234567ab" };
  assert.deepEqual(await found(() => destinations([device])), [
    "[0].device: needs edgeUrl and edgeKey",
  ]);
  assert.match(
    (await found(() => destinations([{ ...device, device: "x" }], true))).join(),
    /^\[0\]\.device: must be a device id/,
  );
  assert.deepEqual(
    await found(() => destinations([{ origin: "https://a", allowPrivate: "yes", taID: "b" }])),
    ["[0].allowPrivate: must be true or false", '[0]: Unrecognized key: "taID"'],
  );
});

test("destinations: an entry stands once, and 1,000 are taken", async () => {
  const entry = { origin: "https://to.example" };
  assert.deepEqual(await found(() => destinations([entry, { origin: "https://TO.example/" }])), [
    "[1].origin: is that of an earlier entry too",
  ]);
  assert.equal(destinations([entry, { ...entry, pathPrefix: "/a" }]).length, 2);
  const many = Array.from({ length: 1_001 }, (_, index) => ({ origin: `https://h${index}` }));
  assert.equal(destinations(many.slice(1)).length, 1_000);
  assert.deepEqual(await found(() => destinations(many)), [": must have at most 1000 entries"]);
});

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

function saying(value: string | undefined): IncomingMessage {
  return { headers: { "proxy-authorization": value } } as unknown as IncomingMessage;
}

test("callers: a caller is known by its secret alone, each of two while it is replaced", async (t) => {
  const path = join(testFolder(t), "callers.json");
  writeFileSync(
    path,
    JSON.stringify([
      { name: "shop", digest: sha256("old") },
      { name: "shop", digest: sha256("new") },
      { name: "desk", digest: sha256("d".repeat(1_024)) },
      { name: "long", digest: sha256("l".repeat(1_025)) },
    ]),
  );
  const callers = await CallersFile.open(path, silent);
  t.after(() => callers.file.close());
  assert.equal(callers.credentialField, "proxy-authorization");
  assert.equal(callers.scopeOf(saying("Bearer old")), "shop");
  assert.equal(callers.scopeOf(saying("bearer  new ")), "shop");
  assert.equal(callers.scopeOf(saying(`Bearer ${"d".repeat(1_024)}`)), "desk");
  for (const value of [
    undefined,
    "",
    "Bearer",
    "Bearer ",
    "Bearer other",
    "Basic old",
    "old",
    "Bearer old new",
    `Bearer ${sha256("old")}`,
    `Bearer ${"l".repeat(1_025)}`,
  ]) {
    assert.equal(callers.scopeOf(saying(value)), null, value);
  }
});

test("callers: names and digests are checked, and 256 are taken", async () => {
  const entry = (name: unknown, digest: unknown = sha256(String(name))) => ({ name, digest });
  const parse = (entries: unknown) => parseCallers(JSON.stringify(entries), "f");
  assert.equal(parse([entry("n".repeat(128))]).length, 1);
  for (const name of ["", "n".repeat(129), "two words", "é", 7]) {
    assert.match((await found(() => parse([entry(name)]))).join(), /^\[0\]\.name: must be/);
  }
  assert.deepEqual(await found(() => parse([entry("a", sha256("a").toUpperCase())])), [
    "[0].digest: must be 64 lower-case hex digits",
  ]);
  assert.deepEqual(await found(() => parse([entry("a"), entry("b", sha256("a"))])), [
    "[1].digest: is that of an earlier entry too",
  ]);
  const many = Array.from({ length: 257 }, (_, index) => entry(`n${index}`));
  assert.equal(parse(many.slice(1)).length, 256);
  assert.deepEqual(await found(() => parse(many)), [": must have at most 256 entries"]);
});

test("watched files: a change is in force, a bad one is told of and changes nothing", async (t) => {
  const path = join(testFolder(t), "destinations.json");
  const write = (text: string): void => {
    writeFileSync(`${path}.new`, text);
    renameSync(`${path}.new`, path);
  };
  write(JSON.stringify([{ origin: "https://a" }]));
  const { logger, lines } = recordingLogger();
  const policy = await DestinationsFile.open(path, logger, { hasEdge: false });
  t.after(() => policy.file.close());
  const origins = () => policy.destinations.map(({ origin }) => origin);
  assert.deepEqual(origins(), ["https://a"]);

  let isTold = told(policy.file, "reloaded");
  write(JSON.stringify([{ origin: "https://b" }]));
  await isTold;
  assert.deepEqual(origins(), ["https://b"]);

  isTold = told(policy.file, "rejected");
  write(JSON.stringify([{ origin: "https://c" }, { origin: "nonsense" }]));
  await isTold;
  assert.deepEqual(origins(), ["https://b"]);
  const line = JSON.parse(lines.at(-1) ?? "");
  assert.equal(line.count, 1);
  assert.equal(line.problems[0].setting, `${path}: [1].origin`);
  assert.match(line.msg, /destinations cannot be used; those from before stay in force/);

  isTold = told(policy.file, "rejected");
  rmSync(path);
  await isTold;
  assert.deepEqual(origins(), ["https://b"]);

  // In place, without a rename.
  isTold = told(policy.file, "reloaded");
  writeFileSync(path, JSON.stringify([{ origin: "https://d" }]));
  await isTold;
  assert.deepEqual(origins(), ["https://d"]);

  policy.file.close();
  write(JSON.stringify([{ origin: "https://e" }]));
  await policy.file.refresh();
  assert.deepEqual(origins(), ["https://d"]);
});

test("watched files: one that is missing or over 1 MiB is told of at the start", async (t) => {
  const folder = testFolder(t);
  const path = join(folder, "idps.json");
  assert.deepEqual(await problemsOf(() => IdpsFile.open(path, silent)), [
    { setting: path, problem: "cannot be read (ENOENT)" },
  ]);
  const text = JSON.stringify([IDP]);
  writeFileSync(path, text.padEnd(1_048_576));
  (await IdpsFile.open(path, silent)).file.close();
  writeFileSync(path, text.padEnd(1_048_577));
  assert.deepEqual(await problemsOf(() => IdpsFile.open(path, silent)), [
    { setting: path, problem: "cannot be read (over 1 MiB)" },
  ]);
});

test("ID providers: those whose signatures cannot be checked are known", async (t) => {
  const path = join(testFolder(t), "idps.json");
  const checked = { ...IDP, issuer: "a", jwks_uri: "https://idp.example/jwks" };
  writeFileSync(path, JSON.stringify([IDP, checked]));
  const store = await IdpsFile.open(path, silent);
  t.after(() => store.file.close());
  assert.deepEqual(store.unchecked, [IDP.issuer]);
  assert.equal(store.get("a")?.issuer, "a");
  assert.equal(store.get("b"), undefined);
});
