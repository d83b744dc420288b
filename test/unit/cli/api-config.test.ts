import assert from "node:assert/strict";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { REQUEST_RATES } from "../../../src/api/bearer/index.ts";
import { AUTH_DEFAULTS, DEVICE_DEFAULTS } from "../../../src/api/index.ts";
import { type ApiCommand, apiProblems, apiSetup, dialable } from "../../../src/cli/api-config.ts";
import { loadSettings, newKeyRing } from "../../../src/config/index.ts";
import { ConfigError } from "../../../src/core/errors.ts";

const RING = `k1:${randomBytes(32).toString("base64")}`;

/** Everything that `hawser api` needs, and no more. */
const GOOD: Readonly<Record<string, string>> = {
  HAWSER_PUBLIC_BASE_URL: "https://hawser.example.org",
  HAWSER_OIDC_ISSUER: "https://idp.example.org",
  HAWSER_OIDC_CLIENT_ID: "hawser",
  HAWSER_OIDC_CLIENT_SECRET: "canary-9f2c1b7e55aa",
  HAWSER_SESSION_SECRETS: RING,
  HAWSER_TOKEN_ENC_KEYS: newKeyRing(),
  HAWSER_DATA_DIR: "/nonexistent/hawser",
};

/** Every problem of an environment, as `spelling: problem`; by the operator's own spelling. */
function problemsOf(over: Record<string, string>, command: ApiCommand = "api"): string[] {
  const environment = { ...GOOD, ...over };
  try {
    loadSettings(command, { flags: {}, environment }, ({ values }) =>
      apiProblems(values, command, environment),
    );
    return [];
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.problems.map(({ setting, problem }) => `${setting}: ${problem}`);
  }
}

function keysOf(problems: readonly string[]): string[] {
  return problems.map((line) => line.split(":")[0] ?? "");
}

test("API server's configuration: a good one has no problems", () => {
  assert.deepEqual(problemsOf({}), []);
  assert.deepEqual(problemsOf({}, "up"), []);
});

test("API server's configuration: each of the required settings is missed, and all of them at once", () => {
  const without: readonly (readonly [string, string])[] = [
    ["HAWSER_PUBLIC_BASE_URL", "--public-base-url"],
    ["HAWSER_OIDC_ISSUER", "--oidc-issuer"],
    ["HAWSER_OIDC_CLIENT_ID", "--oidc-client-id"],
    ["HAWSER_OIDC_CLIENT_SECRET", "--oidc-client-auth"],
    ["HAWSER_SESSION_SECRETS", "--session-secrets"],
    ["HAWSER_TOKEN_ENC_KEYS", "--token-enc-keys"],
  ];
  for (const [variable, flag] of without) {
    assert.deepEqual(keysOf(problemsOf({ [variable]: "" })), [flag], variable);
  }
  const nothing = Object.fromEntries(Object.keys(GOOD).map((name) => [name, ""]));
  const problems = problemsOf({ ...nothing, HAWSER_DATA_DIR: "/nonexistent/hawser" });
  assert.deepEqual(keysOf(problems).sort(), without.map(([, flag]) => flag).sort());
  for (const line of problems) assert.match(line, /required/);
});

test("API server's configuration: what is broken is told by the operator's spelling, and secrets are not shown", () => {
  const short = randomBytes(31).toString("base64");
  const table: readonly (readonly [Record<string, string>, string[]])[] = [
    [{ HAWSER_PUBLIC_BASE_URL: "hawser.example.org" }, ["HAWSER_PUBLIC_BASE_URL"]],
    [{ HAWSER_PUBLIC_BASE_URL: "https://hawser.example.org/app" }, ["HAWSER_PUBLIC_BASE_URL"]],
    [{ HAWSER_PUBLIC_BASE_URL: "http://hawser.example.org" }, ["HAWSER_PUBLIC_BASE_URL"]],
    [{ HAWSER_PUBLIC_BASE_URL: "http://10.0.0.1:3721" }, ["HAWSER_PUBLIC_BASE_URL"]],
    [{ HAWSER_PUBLIC_BASE_URL: "http://localhost:3721" }, []],
    [{ HAWSER_PUBLIC_BASE_URL: "http://[::1]:3721" }, []],
    [{ HAWSER_OIDC_ISSUER: "http://idp.example.org" }, ["HAWSER_OIDC_ISSUER"]],
    [{ HAWSER_OIDC_ISSUER: "http://127.0.0.1:9000" }, ["HAWSER_OIDC_ISSUER"]],
    [{ HAWSER_OIDC_ISSUER: "http://127.0.0.1:9000", HAWSER_OIDC_ALLOW_INSECURE: "1" }, []],
    [
      { HAWSER_OIDC_ISSUER: "http://idp.example.org", HAWSER_OIDC_ALLOW_INSECURE: "1" },
      ["HAWSER_OIDC_ISSUER"],
    ],
    [{ HAWSER_OIDC_CLIENT_AUTH: "none" }, ["HAWSER_OIDC_CLIENT_SECRET"]],
    [{ HAWSER_OIDC_CLIENT_AUTH: "mtls" }, ["HAWSER_OIDC_CLIENT_AUTH"]],
    [
      { HAWSER_OIDC_CLIENT_AUTH: "client_secret_post", HAWSER_OIDC_CLIENT_SECRET: "" },
      ["--oidc-client-secret"],
    ],
    [{ HAWSER_OIDC_CLIENT_AUTH: "none", HAWSER_OIDC_CLIENT_SECRET: "" }, []],
    [{ HAWSER_OIDC_CLIENT_SECRET: "changeme" }, ["HAWSER_OIDC_CLIENT_SECRET"]],
    [{ HAWSER_OIDC_CLOCK_TOLERANCE_SEC: "121" }, ["HAWSER_OIDC_CLOCK_TOLERANCE_SEC"]],
    [{ HAWSER_OIDC_ALGS: "RS256,HS256" }, ["HAWSER_OIDC_ALGS"]],
    [{ NODE_TLS_REJECT_UNAUTHORIZED: "0" }, ["NODE_TLS_REJECT_UNAUTHORIZED"]],
    [{ HAWSER_SESSION_SECRETS: "changeme" }, ["HAWSER_SESSION_SECRETS"]],
    [{ HAWSER_SESSION_SECRETS: `k1:${short}` }, ["HAWSER_SESSION_SECRETS"]],
    [
      { HAWSER_TOKEN_ENC_KEYS: `k1:${Buffer.alloc(32, 7).toString("base64")}` },
      ["HAWSER_TOKEN_ENC_KEYS"],
    ],
    [{ HAWSER_SESSION_IDLE: "13h" }, ["--session-absolute"]],
    [{ HAWSER_SESSION_ABSOLUTE: "31d" }, ["HAWSER_SESSION_ABSOLUTE"]],
    [{ HAWSER_CORS_ORIGINS: "https://app.example.org/" }, ["HAWSER_CORS_ORIGINS"]],
    [{ HAWSER_DATABASE_URL: "mysql://u:canary-db@h/d" }, ["HAWSER_DATABASE_URL"]],
    [{ HAWSER_API_INTERNAL_HOST: "0.0.0.0" }, []],
    [
      {
        HAWSER_API_INTERNAL_HOST: "0.0.0.0",
        HAWSER_INTERNAL_SECRET: "a-canary-of-31-characters-only",
      },
      ["HAWSER_API_INTERNAL_HOST"],
    ],
    [{ HAWSER_INTERNAL_SECRET: "short-canary" }, ["HAWSER_INTERNAL_SECRET"]],
    [{ HAWSER_INTERNAL_SECRET: "changeme-changeme-changeme" }, ["HAWSER_INTERNAL_SECRET"]],
    [{ HAWSER_DATABASE_URL: "postgres://db.example.org" }, ["HAWSER_DATABASE_URL"]],
    [{ HAWSER_DATABASE_URL: "sqlite:" }, ["HAWSER_DATABASE_URL"]],
    [{ HAWSER_DATABASE_URL: "sqlite:/srv/" }, ["HAWSER_DATABASE_URL"]],
    [{ HAWSER_DATABASE_URL: "sqlite::memory:" }, ["HAWSER_DATABASE_URL"]],
    [{ HAWSER_SERVICE_CLIENT_ID: "service" }, ["--service-client-secret"]],
    [{ HAWSER_SERVICE_CLIENT_SECRET: "canary-service" }, ["--service-client-id"]],
    [
      { HAWSER_SERVICE_CLIENT_ID: "hawser", HAWSER_SERVICE_CLIENT_SECRET: "canary-service" },
      ["HAWSER_SERVICE_CLIENT_ID"],
    ],
    [{ HAWSER_API_TLS_CERT: "/nonexistent/c.pem" }, ["HAWSER_API_TLS_CERT"]],
  ];
  for (const [over, expected] of table) {
    const problems = problemsOf(over);
    assert.deepEqual(keysOf(problems), expected, `${JSON.stringify(over)} ${problems.join()}`);
    assert.doesNotMatch(problems.join(), /canary|changeme/);
    for (const secret of [short, RING.slice(3)]) assert.ok(!problems.join().includes(secret));
  }
});

test("API server's configuration: the key of private_key_jwt may stand in a file", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "hawser-api-config-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "client.pem");
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const pem = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  writeFileSync(path, pem, { mode: 0o600 });
  const jwt = { HAWSER_OIDC_CLIENT_AUTH: "private_key_jwt", HAWSER_OIDC_CLIENT_SECRET: "" };
  assert.deepEqual(problemsOf({ ...jwt, HAWSER_OIDC_CLIENT_PRIVATE_KEY_FILE: path }), []);
  assert.deepEqual(problemsOf({ ...jwt, HAWSER_OIDC_CLIENT_PRIVATE_KEY: pem }), []);
  assert.deepEqual(keysOf(problemsOf(jwt)), ["--oidc-client-private-key"]);
});

test("API server's configuration: all that is wrong is told in one go", () => {
  const problems = problemsOf({
    HAWSER_PUBLIC_BASE_URL: "http://hawser.example.org",
    HAWSER_OIDC_ISSUER: "ftp://idp",
    HAWSER_SESSION_SECRETS: "x",
    HAWSER_TOKEN_ENC_KEYS: "",
    HAWSER_API_PORT: "70000",
    HAWSER_TUNNEL_URL: "https://relay",
    NODE_TLS_REJECT_UNAUTHORIZED: "0",
  });
  assert.deepEqual(keysOf(problems).sort(), [
    "--token-enc-keys",
    "HAWSER_API_PORT",
    "HAWSER_OIDC_ISSUER",
    "HAWSER_PUBLIC_BASE_URL",
    "HAWSER_SESSION_SECRETS",
    "HAWSER_TUNNEL_URL",
    "NODE_TLS_REJECT_UNAUTHORIZED",
  ]);
});

test("API server's configuration: hawser up makes its key rings, hawser api does not; a check makes none", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "hawser-api-config-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const none = { HAWSER_SESSION_SECRETS: "", HAWSER_TOKEN_ENC_KEYS: "", HAWSER_DATA_DIR: folder };
  assert.deepEqual(problemsOf(none, "up"), []);
  const problems = problemsOf(none, "api");
  assert.deepEqual(keysOf(problems), ["--session-secrets", "--token-enc-keys"]);
  assert.match(problems.join(), /openssl rand -base64 32/);
  assert.deepEqual(readdirSync(folder), []);
});

test("API server's configuration: a listener's host is dialled by an address of this machine", () => {
  assert.deepEqual(["0.0.0.0", "::", "::1", "127.0.0.1", "localhost"].map(dialable), [
    "127.0.0.1",
    "[::1]",
    "[::1]",
    "127.0.0.1",
    "localhost",
  ]);
});

test("API server's configuration: what is set reaches the part that it is for", () => {
  const environment = {
    ...GOOD,
    HAWSER_API_HOST: "127.0.0.2",
    HAWSER_API_PORT: "4721",
    HAWSER_API_INTERNAL_HOST: "127.0.0.3",
    HAWSER_API_INTERNAL_PORT: "4722",
    HAWSER_TRUSTED_PROXY_CIDRS: "10.0.0.0/8",
    HAWSER_CORS_ORIGINS: "https://app.example.org",
    HAWSER_DATABASE_URL: "postgres://hawser@db.example.org/hawser",
    HAWSER_TUNNEL_URL: "wss://tunnels.example.org",
    HAWSER_EDGE_URL: "https://edge.example.org",
    HAWSER_EDGE_DOMAIN: "devices.example.org",
    HAWSER_AUDIT_LOG: "-",
    HAWSER_SESSION_IDLE: "10m",
    HAWSER_SESSION_ABSOLUTE: "1h",
    HAWSER_SESSION_PERSISTENT: "true",
    HAWSER_SESSION_ENDS_WITH_ID_TOKEN: "true",
    HAWSER_SESSIONS_PER_USER_MAX: "3",
    HAWSER_CONFIRM_CROSS_SITE_START: "false",
    HAWSER_ADMIN_ROLE: "boss",
    HAWSER_LOGINS_PER_MINUTE_MAX: "7",
    HAWSER_CALLBACKS_PER_MINUTE_MAX: "71",
    HAWSER_BACKCHANNEL_FAILURES_PER_MINUTE_MAX: "72",
    HAWSER_SESSION_REQUESTS_PER_MINUTE_MAX: "73",
    HAWSER_KEY_REQUESTS_PER_MINUTE_MAX: "74",
    HAWSER_MACHINE_REQUESTS_PER_MINUTE_MAX: "75",
    HAWSER_DEVICE_REQUESTS_PER_MINUTE_MAX: "76",
    HAWSER_PENDING_SIGN_INS_MAX: "70",
    HAWSER_AUTH_FAILURES_MAX: "8",
    HAWSER_API_CONNECTIONS_MAX: "80",
    HAWSER_PAIRING_FAILURES_MAX: "4",
    HAWSER_PAIRING_CODE_LIFETIME: "5m",
    HAWSER_PAIRING_CODES_PER_USER_MAX: "2",
    HAWSER_PAIRING_CODES_PER_TENANT_MAX: "20",
    HAWSER_DEVICE_TOKEN_LIFETIME: "30d",
    HAWSER_FORWARDS_MAX: "90",
    HAWSER_FORWARDS_PER_TENANT_MAX: "9",
    HAWSER_DRAIN_TIME: "11s",
  };
  const { values } = loadSettings("api", { flags: {}, environment }, (loaded) =>
    apiProblems(loaded.values, "api", environment),
  );
  const { options, warnings } = apiSetup(values, {
    internalSecret: "s".repeat(32),
    relayUrl: "http://127.0.0.1:3801",
    relay: null,
    makeRings: false,
    environment,
  });
  const { http, internal, auth, devices } = options;
  assert.deepEqual(warnings, []);
  assert.deepEqual(
    [http.listenHost, http.listenPort, http.publicBaseUrl, http.drainMs],
    ["127.0.0.2", 4_721, "https://hawser.example.org", 11_000],
  );
  assert.deepEqual(
    [http.trustedProxyCidrs, http.corsOrigins, http.authFailuresMax, http.connectionsMax],
    [["10.0.0.0/8"], ["https://app.example.org"], 8, 80],
  );
  assert.deepEqual(
    [internal.listenHost, internal.listenPort, internal.secret],
    ["127.0.0.3", 4_722, "s".repeat(32)],
  );
  assert.deepEqual(
    [options.databaseUrl, options.auditLog, options.relayUrl, options.forward],
    [
      environment.HAWSER_DATABASE_URL,
      "-",
      "http://127.0.0.1:3801",
      { inFlightMax: 90, inFlightPerTenantMax: 9 },
    ],
  );
  const { sessionSecrets, tokenEncKeys, ...others } = auth;
  assert.deepEqual([sessionSecrets, tokenEncKeys], [RING, GOOD["HAWSER_TOKEN_ENC_KEYS"]]);
  assert.deepEqual(
    { ...AUTH_DEFAULTS, ...others },
    {
      ...AUTH_DEFAULTS,
      sessionIdleMs: 600_000,
      sessionAbsoluteMs: 3_600_000,
      sessionPersistent: true,
      sessionEndsWithIdToken: true,
      sessionsPerUserMax: 3,
      confirmCrossSiteStart: false,
      adminRole: "boss",
      loginsPerMinute: 7,
      callbacksPerMinute: 71,
      backchannelFailuresPerMinute: 72,
      pendingMax: 70,
      corsOrigins: ["https://app.example.org"],
    },
  );
  assert.deepEqual(
    [devices.tunnelUrl, devices.edgeUrl, devices.edgeDomain, devices.deviceTokenTtlMs],
    [
      "wss://tunnels.example.org",
      "https://edge.example.org",
      "devices.example.org",
      30 * 86_400_000,
    ],
  );
  assert.deepEqual(options.rates, { session: 73, key: 74, service: 75, device: 76 });
  assert.deepEqual(
    [devices.pairing, devices.exchange?.failuresMax],
    [{ ttlMs: 300_000, perUserMax: 2, perTenantMax: 20 }, 4],
  );
});

test("API server's configuration: the defaults of the table are those of its parts", () => {
  const { values } = loadSettings("api", { flags: {}, environment: GOOD });
  const { options } = apiSetup(values, {
    internalSecret: "s".repeat(32),
    relayUrl: "http://127.0.0.1:3801",
    relay: null,
    makeRings: false,
    environment: GOOD,
  });
  const { sessionSecrets, tokenEncKeys } = options.auth;
  assert.deepEqual(options.auth, { ...AUTH_DEFAULTS, sessionSecrets, tokenEncKeys });
  assert.deepEqual(options.rates, REQUEST_RATES);
  const { tunnelUrl, edgeUrl } = options.devices;
  assert.deepEqual(options.devices, { ...DEVICE_DEFAULTS, tunnelUrl, edgeUrl });
});
