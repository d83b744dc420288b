import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { crc32 } from "node:zlib";
import { pino } from "pino";
import type { Credentials, KeyEntry, TokenEntry } from "../../../src/core/credentials.ts";
import { type MintedToken, mintDeviceId, mintToken } from "../../../src/core/token.ts";
import {
  CredentialsFile,
  type CredentialsFileOptions,
} from "../../../src/relay/credentials-file.ts";
import type { Caller } from "../../../src/relay/ports.ts";

const REFUSED = { ok: false, status: 401, code: "ERR_RELAY_UNAUTHORIZED", retryAfter: 0 };

const ALICE_DEVICE = mintDeviceId();
const ALICE_OTHER = mintDeviceId();
const BOB_DEVICE = mintDeviceId();

function tokenEntry(token: MintedToken, deviceId: string, userId: string): TokenEntry {
  return { ref: token.ref, digest: token.secretDigest, device_id: deviceId, user_id: userId };
}

function keyEntry(key: MintedToken, userId: string): KeyEntry {
  return { ref: key.ref, digest: key.secretDigest, user_id: userId };
}

const aliceToken = mintToken("device");
const aliceOther = mintToken("device");
const bobToken = mintToken("device");
const aliceKey = mintToken("key");
const bobKey = mintToken("key");
const ALL: Credentials = {
  version: 1,
  tokens: [
    tokenEntry(aliceToken, ALICE_DEVICE, "alice"),
    tokenEntry(aliceOther, ALICE_OTHER, "alice"),
    tokenEntry(bobToken, BOB_DEVICE, "bob"),
  ],
  keys: [keyEntry(aliceKey, "alice"), keyEntry(bobKey, "bob")],
};

interface Opened {
  readonly file: CredentialsFile;
  readonly path: string;
  /** What was logged, as text. */
  readonly log: string[];
  write(value: Credentials | string): Promise<void>;
}

/** Opens a file that is looked at only when the test asks for it, unless told otherwise. */
async function open(
  t: TestContext,
  value: Credentials = ALL,
  options: CredentialsFileOptions = {},
): Promise<Opened> {
  const folder = await mkdtemp(join(tmpdir(), "hawser-credentials-"));
  const path = join(folder, "credentials.json");
  const write = (next: Credentials | string) =>
    writeFile(path, typeof next === "string" ? next : JSON.stringify(next));
  await write(value);
  const log: string[] = [];
  const logger = pino({}, { write: (line: string) => void log.push(line) });
  const file = await CredentialsFile.open(path, logger, { pollIntervalMs: 0, ...options });
  // The watch does not keep a process alive; a test that waits for it has to.
  const alive = setInterval(() => {}, 60_000);
  t.after(async () => {
    clearInterval(alive);
    file.close();
    await rm(folder, { recursive: true });
  });
  return { file, path, log, write };
}

function callerOf(file: CredentialsFile, key: string): Caller {
  const verdict = file.authenticateCaller(key);
  assert.ok(verdict.ok);
  return verdict.value;
}

/** The same token with another secret: reference known, checksum right, secret wrong. */
function forged(token: MintedToken): string {
  const other = mintToken(token.kind);
  const body = token.text.slice(0, 13) + other.text.slice(13, 56);
  const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  let rest = crc32(body);
  let digits = "";
  for (let count = 0; count < 6; count++) {
    digits = alphabet[rest % 62] + digits;
    rest = Math.floor(rest / 62);
  }
  return body + digits;
}

test("a device is who its token says", async (t) => {
  const { file } = await open(t);
  assert.deepEqual(file.authenticateDevice(aliceToken.text), {
    ok: true,
    value: { deviceId: ALICE_DEVICE, tokenRef: aliceToken.ref, userId: "alice" },
  });
  assert.equal(file.knowsDevice(ALICE_DEVICE), true);
  assert.equal(file.knowsDevice(mintDeviceId()), false);
  assert.deepEqual(file.counts, { tokens: 3, keys: 2 });
});

test("every refusal is the same", async (t) => {
  const { file } = await open(t);
  for (const text of [
    "",
    "x",
    mintToken("device").text,
    forged(aliceToken),
    aliceKey.text,
    bobKey.text,
    `${aliceToken.text} `,
    aliceToken.text.toLowerCase(),
    aliceToken.ref,
  ]) {
    assert.deepEqual(file.authenticateDevice(text), REFUSED);
  }
  for (const text of ["", mintToken("key").text, forged(aliceKey), aliceToken.text, aliceKey.ref]) {
    assert.deepEqual(file.authenticateCaller(text), REFUSED);
    assert.deepEqual(file.authenticateCaller(text), REFUSED);
  }
});

test("a key reaches the devices of its own user only", async (t) => {
  const { file } = await open(t);
  const caller = callerOf(file, aliceKey.text);
  assert.deepEqual([caller.keyId, caller.userId], [aliceKey.ref, "alice"]);
  assert.equal(caller.allows(ALICE_DEVICE), true);
  assert.equal(caller.allows(ALICE_OTHER), true);
  assert.equal(caller.allows(BOB_DEVICE), false);
  assert.equal(caller.allows(mintDeviceId()), false);
});

test("a key held to some devices reaches these, and never a foreign one", async (t) => {
  const some = { ...keyEntry(aliceKey, "alice"), devices: [ALICE_OTHER, BOB_DEVICE] };
  const all = { ...keyEntry(bobKey, "bob"), devices: ["*"] };
  const { file } = await open(t, { ...ALL, keys: [some, all] });
  const caller = callerOf(file, aliceKey.text);
  assert.deepEqual(
    [ALICE_DEVICE, ALICE_OTHER, BOB_DEVICE].map((id) => caller.allows(id)),
    [false, true, false],
  );
  assert.deepEqual(
    [ALICE_DEVICE, ALICE_OTHER, BOB_DEVICE].map((id) => callerOf(file, bobKey.text).allows(id)),
    [false, false, true],
  );
});

test("a known key answers with the very same verdict; the memory of keys is bounded", async (t) => {
  const { file } = await open(t, ALL, { cachedCallersMax: 1 });
  const first = file.authenticateCaller(aliceKey.text);
  assert.equal(file.authenticateCaller(aliceKey.text), first);
  assert.deepEqual(file.authenticateCaller(forged(bobKey)), REFUSED);
  assert.equal(file.authenticateCaller(aliceKey.text), first, "a refusal takes nobody's place");
  callerOf(file, bobKey.text);
  assert.notEqual(file.authenticateCaller(aliceKey.text), first);
});

test("entries expire, from the cache too, and are told of once", async (t) => {
  let now = Date.parse("2026-06-01T00:00:00Z");
  const at = "2026-06-01T00:01:00Z";
  const value: Credentials = {
    ...ALL,
    tokens: [{ ...tokenEntry(aliceToken, ALICE_DEVICE, "alice"), expires_at: at }],
    keys: [{ ...keyEntry(aliceKey, "alice"), expires_at: at }],
  };
  const { file } = await open(t, value, { wallNow: () => now });
  const revoked: unknown[] = [];
  file.on("revoked", (refs) => revoked.push(refs));
  assert.equal(file.authenticateDevice(aliceToken.text).ok, true);
  assert.equal(file.authenticateCaller(aliceKey.text).ok, true);
  assert.equal(file.isGood(aliceToken.ref), true);
  now += 59_999;
  await file.refresh();
  assert.equal(file.authenticateCaller(aliceKey.text).ok, true);
  assert.deepEqual(revoked, []);
  now += 1;
  assert.deepEqual(file.authenticateDevice(aliceToken.text), REFUSED);
  assert.deepEqual(file.authenticateCaller(aliceKey.text), REFUSED);
  assert.deepEqual(file.authenticateCaller(aliceKey.text), REFUSED);
  assert.equal(file.isGood(aliceToken.ref), false);
  await file.refresh();
  await file.refresh();
  assert.deepEqual(revoked, [[aliceToken.ref, aliceKey.ref]]);
});

test("what vanishes, changes or expires by an edit is revoked, and cached callers stop at once", async (t) => {
  const { file, write } = await open(t);
  const revoked: string[] = [];
  file.on("revoked", (refs) => revoked.push(...refs));
  const alice = callerOf(file, aliceKey.text);
  callerOf(file, bobKey.text);
  const rotated = mintToken("device");
  await write({
    version: 1,
    tokens: [
      { ...tokenEntry(aliceToken, ALICE_DEVICE, "alice"), note: "only a note is new" },
      { ...tokenEntry(aliceOther, ALICE_OTHER, "alice"), expires_at: "2020-01-01T00:00:00Z" },
      { ...tokenEntry(bobToken, BOB_DEVICE, "bob"), digest: rotated.secretDigest },
    ],
    keys: [{ ...keyEntry(aliceKey, "alice"), devices: [ALICE_DEVICE] }],
  });
  await file.refresh();
  assert.deepEqual(revoked.sort(), [aliceOther.ref, bobToken.ref, bobKey.ref].sort());
  assert.deepEqual(file.authenticateCaller(bobKey.text), REFUSED);
  assert.equal(callerOf(file, aliceKey.text).allows(ALICE_OTHER), false);
  assert.equal(file.authenticateDevice(aliceToken.text).ok, true);
  await write({ version: 1, tokens: [], keys: [] });
  await file.refresh();
  assert.equal(alice.allows(ALICE_DEVICE), false, "a caller held on to sees the devices of now");
  assert.deepEqual(revoked.slice(3).sort(), [aliceToken.ref, bobToken.ref, aliceKey.ref].sort());
});

test("a bad file keeps the entries from before and logs all its problems", async (t) => {
  const { file, write, log } = await open(t);
  const rejected: unknown[] = [];
  file.on("rejected", (error) => rejected.push(error));
  file.on("revoked", () => assert.fail("nothing is revoked"));
  for (const text of ["", "{", '{"version":1,"tokens":[{}],"keys":[{}]}']) {
    await write(text);
    await file.refresh();
    await file.refresh();
  }
  assert.equal(rejected.length, 3, "each bad file is told of once");
  assert.equal(file.authenticateDevice(aliceToken.text).ok, true);
  assert.match(log.at(-1) ?? "", /tokens\[0\]\.ref.*tokens\[0\]\.digest.*keys\[0\]\.user_id/);
});

test("a file taken away keeps its entries, and is read when it is back", async (t) => {
  const { file, path, write } = await open(t);
  await rm(path);
  await file.refresh();
  assert.equal(file.authenticateDevice(aliceToken.text).ok, true);
  await write({ ...ALL, tokens: [] });
  await file.refresh();
  assert.deepEqual(file.authenticateDevice(aliceToken.text), REFUSED);
});

test("a change by rename is noticed without being asked for", async (t) => {
  const { file, path } = await open(t);
  const reloaded = once(file, "reloaded");
  const next = join(path, "..", "next.json");
  await writeFile(next, JSON.stringify({ ...ALL, keys: [] }));
  await rename(next, path);
  await reloaded;
  assert.deepEqual(file.counts, { tokens: 3, keys: 0 });
});

test("a change in place is noticed by polling alone", async (t) => {
  const { file, write } = await open(t, ALL, { pollIntervalMs: 20 });
  const reloaded = once(file, "reloaded");
  await write({ ...ALL, tokens: [] });
  // A look may meet the file while it is being written; the next one meets the whole.
  await reloaded;
  assert.deepEqual(file.counts, { tokens: 0, keys: 2 });
});

test("a file that cannot be used at the start ends the start, with every problem", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "hawser-credentials-"));
  t.after(() => rm(folder, { recursive: true }));
  const path = join(folder, "c.json");
  const logger = pino({ level: "silent" });
  await assert.rejects(CredentialsFile.open(path, logger), {
    code: "ERR_CONFIG_INVALID",
    message: `${path}: cannot be read (ENOENT)`,
  });
  await writeFile(path, '{"version":1}');
  await assert.rejects(CredentialsFile.open(path, logger), {
    code: "ERR_CONFIG_INVALID",
    message: /tokens: .*\n.*keys: /,
  });
});

test("no log line carries a secret or a digest", async (t) => {
  const { file, write, log } = await open(t);
  file.authenticateDevice(aliceToken.text);
  file.authenticateDevice(forged(aliceToken));
  file.authenticateCaller(aliceKey.text);
  await write(`${JSON.stringify(ALL)}x`);
  await file.refresh();
  await write({ ...ALL, keys: [] });
  await file.refresh();
  assert.equal(log.length, 2);
  for (const line of log) {
    for (const token of [aliceToken, aliceKey, bobToken]) {
      assert.ok(!line.includes(token.text.slice(13, 56)) && !line.includes(token.secretDigest));
    }
  }
});
