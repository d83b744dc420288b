import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { API_DEFAULTS } from "../../../src/api/index.ts";
import {
  apiListenerOptions,
  apiSettingsProblems,
  apiWarnings,
  databaseUrl,
  effectiveSettings,
  loadSettings,
  oidcOptions,
  relayUrls,
  type Values,
} from "../../../src/config/index.ts";
import { ConfigError } from "../../../src/core/errors.ts";

const DEFAULTS = loadSettings("api", { flags: {}, environment: {} }).values;
const USABLE: Values = {
  ...DEFAULTS,
  publicBaseUrl: "https://hawser.example.org",
  oidcIssuer: "https://idp.example.org",
  oidcClientId: "hawser",
  oidcClientAuth: "none",
};

function problemsWith(over: Partial<Values>, command: "api" | "up" = "api"): string[] {
  return apiSettingsProblems({ ...USABLE, ...over }, command).map(({ setting }) => setting);
}

test("API configuration: the defaults of the table are those of the listener", () => {
  const options = apiListenerOptions(USABLE);
  assert.deepEqual(
    { ...API_DEFAULTS, ...options },
    { ...API_DEFAULTS, publicBaseUrl: USABLE.publicBaseUrl },
  );
});

test("API configuration: everything that is required is told at once, by its variable", () => {
  const problems = apiSettingsProblems(DEFAULTS, "api");
  assert.deepEqual(
    problems.map(({ setting }) => setting),
    ["publicBaseUrl", "oidcIssuer", "oidcClientId", "oidcClientAuth"],
  );
  for (const { problem } of problems) assert.match(problem, /required \(HAWSER_[A-Z_]+\)/);
  assert.deepEqual(problemsWith({}), []);
});

test("API configuration: no way to prove itself is chosen by an omission", () => {
  assert.deepEqual(problemsWith({ oidcClientAuth: null }), ["oidcClientAuth"]);
  assert.deepEqual(problemsWith({ oidcClientAuth: null, oidcClientSecret: "s" }), []);
  assert.deepEqual(problemsWith({ oidcClientAuth: null, oidcClientSecretFile: "/f" }), []);
});

test("API configuration: what does not go together or is no URL", () => {
  const table: readonly (readonly [Partial<Values>, string[]])[] = [
    [{ relayInternalUrl: "ftp://relay" }, ["relayInternalUrl"]],
    [{ relayInternalUrl: "http://user:canary@relay" }, ["relayInternalUrl"]],
    [{ tunnelUrl: "https://relay" }, ["tunnelUrl"]],
    [{ tunnelUrl: "wss://relay/base" }, []],
    [{ tunnelUrl: "wss://relay?token=1" }, ["tunnelUrl"]],
    [{ edgeUrl: "wss://relay" }, ["edgeUrl"]],
    [{ edgeUrl: "https://a:b@relay" }, ["edgeUrl"]],
    [{ apiInternalPort: 3_721 }, ["apiInternalPort"]],
    [{ apiPort: 0, apiInternalPort: 0 }, []],
  ];
  for (const [over, expected] of table) {
    assert.deepEqual(problemsWith(over), expected, JSON.stringify(over));
  }
  assert.deepEqual(problemsWith({ listenPort: 3_721 }, "up"), ["listenPort"]);
  assert.deepEqual(problemsWith({ internalPort: 3_722 }, "up"), ["internalPort"]);
  assert.deepEqual(problemsWith({ internalPort: 3_722 }, "api"), []);
});

test("API configuration: secrets of the sign-in come from their variable or their file", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "hawser-config-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "secret");
  writeFileSync(path, "from-file\n", { mode: 0o600 });
  const values = { ...USABLE, oidcClientSecretFile: path };
  const secretOf = (over: Values): string | undefined => oidcOptions(over, {}).oidcClientSecret;
  assert.equal(secretOf(values), "from-file");
  assert.equal(secretOf({ ...values, oidcClientSecret: "from-variable" }), "from-variable");
  assert.equal(secretOf(USABLE), undefined);
  const environment = { NODE_TLS_REJECT_UNAUTHORIZED: "0" };
  assert.equal(oidcOptions(USABLE, environment).tlsRejectUnauthorized, "0");
});

test("API configuration: every setting of the sign-in reaches the relying party", () => {
  const names = Object.keys(DEFAULTS).filter((name) => /^(oidc|apiJwt)(?!.*File$)/.test(name));
  const reached = Object.keys(oidcOptions(USABLE, {}));
  assert.deepEqual(
    reached.filter((name) => name !== "publicBaseUrl" && name !== "tlsRejectUnauthorized").sort(),
    names.sort(),
  );
});

test("API configuration: the database is a file in the data folder unless one is set", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "hawser-config-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const inFolder = { ...USABLE, dataDir: "/srv/hawser" };
  assert.equal(databaseUrl(inFolder, {}), "sqlite:/srv/hawser/hawser.db");
  assert.equal(databaseUrl(USABLE, { XDG_STATE_HOME: "/s" }), "sqlite:/s/hawser/hawser.db");
  const databaseUrlFile = join(folder, "url");
  writeFileSync(databaseUrlFile, "postgres://u:canary@db/hawser\n", { mode: 0o600 });
  assert.equal(databaseUrl({ ...USABLE, databaseUrlFile }, {}), "postgres://u:canary@db/hawser");
  writeFileSync(databaseUrlFile, "mysql://u:canary@db/hawser");
  assert.throws(
    () => databaseUrl({ ...USABLE, databaseUrlFile }, {}),
    (error) => error instanceof ConfigError && !error.message.includes("canary"),
  );
});

test("API configuration: a database's password is no flag, and is never shown", () => {
  const url = "postgres://hawser:canary@db.example.org/hawser";
  assert.throws(
    () => loadSettings("api", { flags: { databaseUrl: url }, environment: {} }),
    (error) =>
      error instanceof ConfigError &&
      error.message.includes("--database-url: a secret in the command line") &&
      !error.message.includes("canary"),
  );
  const loaded = loadSettings("api", { flags: {}, environment: { HAWSER_DATABASE_URL: url } });
  assert.equal(loaded.values.databaseUrl, url);
  const [row] = effectiveSettings(loaded, ["databaseUrl"]);
  assert.deepEqual([row?.value, row?.shown], [null, "postgres://hawser:***@db.example.org/hawser"]);
  for (const start of ["mysql://", "", "postgres//", "postgresql:/", "postgres://x:y@a/b "]) {
    const bad = { HAWSER_DATABASE_URL: `${start}hawser:canary@db/hawser\n` };
    assert.throws(
      () => loadSettings("api", { flags: {}, environment: bad }),
      (error) => error instanceof ConfigError && !error.message.includes("canary"),
      start,
    );
  }
  for (const plain of ["postgres://hawser@db/hawser", "postgres://h@[::1]:5432/h", "sqlite:/a@b"]) {
    const given = { flags: { databaseUrl: plain }, environment: {} };
    assert.equal(loadSettings("api", given).values.databaseUrl, plain);
  }
});

test("API configuration: the relay's addresses follow from the base URL, unless they are set", () => {
  assert.deepEqual(relayUrls(USABLE, null), {
    tunnelUrl: "wss://hawser.example.org:3800",
    edgeUrl: "https://hawser.example.org:3800",
  });
  assert.deepEqual(relayUrls(USABLE, { port: 3_801, tls: false }), {
    tunnelUrl: "ws://hawser.example.org:3801",
    edgeUrl: "http://hawser.example.org:3801",
  });
  const set = { ...USABLE, tunnelUrl: "wss://tunnels.example.org/", edgeUrl: null };
  assert.deepEqual(relayUrls(set, null), {
    tunnelUrl: "wss://tunnels.example.org",
    edgeUrl: "https://tunnels.example.org",
  });
  const loopback = { ...USABLE, publicBaseUrl: "http://127.0.0.1:3721" };
  assert.equal(relayUrls(loopback, null).tunnelUrl, "ws://127.0.0.1:3800");
});

test("API configuration: tunnels without TLS are warned of where the base URL is not loopback", () => {
  const warned = (values: Values, tls: boolean): number =>
    apiWarnings(values, relayUrls(values, { port: 3_800, tls }), values.relayInternalUrl).length;
  assert.equal(warned(USABLE, false), 1);
  assert.equal(warned(USABLE, true), 0);
  assert.equal(warned({ ...USABLE, publicBaseUrl: "http://127.0.0.1:3721" }, false), 0);
});

test("API configuration: the internal secret over plain HTTP to another machine is warned of", () => {
  const urls = relayUrls(USABLE, null);
  for (const relayUrl of ["http://127.0.0.1:3801", "http://[::1]:3801", "https://relay.test"]) {
    assert.deepEqual(apiWarnings(USABLE, urls, relayUrl), [], relayUrl);
  }
  assert.match(apiWarnings(USABLE, urls, "http://10.0.0.1:3801").join(), /plain HTTP/);
});
