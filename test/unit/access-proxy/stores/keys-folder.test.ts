import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { chmodSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { KeysFolder, newSigningKey } from "../../../../src/access-proxy/index.ts";
import { type KeysContext, readKeysFolder } from "../../../../src/access-proxy/stores/index.ts";
import { newPrivateKey } from "../../../../src/core/new-private-key.ts";
import { problemsOf, silent, testFolder, told } from "../../../support/access-proxy/folder.ts";

const ES256: KeysContext = { sigAlg: "ES256", sigKid: "" };

function pem(namedCurve = "P-256"): string {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve });
  return privateKey.export({ type: "pkcs8", format: "pem" }) as string;
}

function rsaPem(modulusLength: number): string {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength });
  return privateKey.export({ type: "pkcs8", format: "pem" }) as string;
}

/** Writes files into a new folder, JSON for what is no text. */
function folderOf(t: test.TestContext, files: Readonly<Record<string, unknown>>): string {
  const folder = testFolder(t);
  for (const [name, content] of Object.entries(files)) {
    const text = typeof content === "string" ? content : JSON.stringify(content);
    writeFileSync(join(folder, name), text, { mode: 0o600 });
  }
  return folder;
}

/** `file: problem` of each problem. */
async function found(folder: string, context = ES256): Promise<string[]> {
  const problems = await problemsOf(() => readKeysFolder(folder, context));
  return problems.map(({ setting, problem }) =>
    `${setting}: ${problem}`.replaceAll(folder, "").replace(/^\//, ""),
  );
}

test("private keys: JWKs one by one, in an array and in a key set, and PEM by the name of its file", async (t) => {
  const keys = await Promise.all(["a", "b", "c", "d"].map((kid) => newSigningKey("ES256", kid)));
  const [a, b, c, d] = keys.map(({ privateJwk }) => privateJwk);
  const folder = folderOf(t, {
    "one.json": a,
    "two.json": [b, c],
    "three.json": { keys: [d] },
    "e.pem": pem(),
    "f.key": pem("P-384"),
    ".hidden.json": "nonsense",
    "notes.txt": "nonsense",
    "g.pub": "nonsense",
  });
  mkdirSync(join(folder, "more"));
  const kids = readKeysFolder(folder, ES256).map(({ kid }) => kid);
  assert.deepEqual(kids.sort(), ["a", "b", "c", "d", "e", "f"]);
});

test("private keys: each bad file is told of with what is wrong with it", async (t) => {
  const { privateJwk, publicJwk } = await newSigningKey("ES256", "good");
  const okp = newPrivateKey({ type: "ed25519" }).export({ format: "jwk" });
  const folder = folderOf(t, {
    "a.json": privateJwk,
    "b.json": publicJwk,
    "c.json": "not JSON",
    "d.json": "7",
    "e.json": [{ ...privateJwk, kid: "e", d: "AA" }, 7],
    "f.json": { kty: "oct", k: "c2VjcmV0", kid: "f" },
    "g.json": { ...okp, kid: "g" },
    "h.pem": "not PEM",
    "i.key": rsaPem(1_024),
    "j.json": { ...privateJwk, kid: 7 },
    "k.json": privateJwk,
  });
  assert.deepEqual(await found(folder), [
    "b.json: is a public key: its private part (d) is missing",
    "c.json: is neither a JWK, nor an array of them, nor a key set",
    "d.json: is neither a JWK, nor an array of them, nor a key set",
    "e.json: [0]: has a private part that is not its own",
    "e.json: [1]: is no JWK",
    "f.json: is a shared secret, no private key",
    "g.json: is neither an RSA key nor one of P-256, P-384 or P-521",
    "h.pem: holds no private key in PEM that is not encrypted",
    "i.key: is an RSA key of less than 2048 bits",
    "j.json: has a kid that is no text",
    "k.json: has the kid of a key in a.json",
  ]);
});

test("private keys: one of them must do what is wanted", async (t) => {
  const { privateJwk } = await newSigningKey("ES256", "a");
  const folder = folderOf(t, { "a.json": privateJwk });
  assert.equal(readKeysFolder(folder, { sigAlg: "ES256", sigKid: "a" }).length, 1);
  assert.match((await found(folder, { sigAlg: "ES256", sigKid: "b" })).join(), /no private key/);
  assert.match((await found(folder, { sigAlg: "RS256", sigKid: "" })).join(), /key for RS256/);
  assert.match((await found(join(folder, "none"))).join(), /does not exist/);
});

test("private keys: an RSA key of 2,048 bits does; 100 keys are taken, and no more", async (t) => {
  const folder = folderOf(t, { "r.pem": rsaPem(2_048) });
  assert.equal(readKeysFolder(folder, { sigAlg: "PS256", sigKid: "r" }).length, 1);
  const { privateJwk } = await newSigningKey("ES256", "a");
  const keys = Array.from({ length: 100 }, (_, index) => ({ ...privateJwk, kid: `k${index}` }));
  rmSync(join(folder, "r.pem"));
  writeFileSync(join(folder, "a.json"), JSON.stringify(keys));
  assert.equal(readKeysFolder(folder, ES256).length, 100);
  writeFileSync(join(folder, "b.json"), JSON.stringify(privateJwk));
  assert.match((await found(folder)).join(), /has more than 100 keys/);
});

test("private keys: a change is in force; with a bad file, or without a key that does, the old ones stay", async (t) => {
  const [a, b] = await Promise.all([newSigningKey("ES256", "a"), newSigningKey("ES256", "b")]);
  const folder = folderOf(t, { "a.json": a.privateJwk });
  const keys = await KeysFolder.open(folder, silent, ES256);
  t.after(() => keys.folder.close());
  const kids = () => keys.get().map(({ kid }) => kid);
  const after = async (event: "reloaded" | "rejected", change: () => void) => {
    const isTold = told(keys.folder, event);
    change();
    await isTold;
  };
  const path = join(folder, "b.json");
  await after("reloaded", () => writeFileSync(path, JSON.stringify(b.privateJwk)));
  assert.deepEqual(kids(), ["a", "b"]);
  await after("rejected", () => writeFileSync(path, "{"));
  assert.deepEqual(kids(), ["a", "b"]);
  await after("reloaded", () => rmSync(path));
  assert.deepEqual(kids(), ["a"]);
  await after("rejected", () => rmSync(join(folder, "a.json")));
  assert.deepEqual(kids(), ["a"]);
});

test("private keys: files that others can open are known", async (t) => {
  const { privateJwk } = await newSigningKey("ES256", "a");
  const folder = folderOf(t, { "a.json": privateJwk });
  const keys = await KeysFolder.open(folder, silent, ES256);
  t.after(() => keys.folder.close());
  assert.deepEqual(keys.openFiles, []);
  chmodSync(join(folder, "a.json"), 0o644);
  assert.deepEqual(keys.openFiles, [join(folder, "a.json")]);
});

test("private keys: a new one is what it says, for each algorithm", async (t) => {
  for (const alg of ["ES256", "ES384", "ES512", "RS256", "PS512"] as const) {
    const { kid, privateJwk, publicJwk } = await newSigningKey(alg, null);
    assert.equal(publicJwk.d, undefined, alg);
    assert.match(kid, /^[\w-]{43}$/, alg);
    const folder = folderOf(t, { "new.json": privateJwk });
    assert.equal(readKeysFolder(folder, { sigAlg: alg, sigKid: kid })[0]?.kid, kid, alg);
  }
});
