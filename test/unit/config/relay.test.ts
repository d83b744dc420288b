import assert from "node:assert/strict";
import test from "node:test";
import {
  apiGateOptions,
  inSettingNames,
  loadSettings,
  relayOptions,
  relaySettingsProblems,
} from "../../../src/config/index.ts";
import { muxOptions } from "../../../src/mux/index.ts";
import { API_GATE_DEFAULTS } from "../../../src/relay/index.ts";
import { RELAY_DEFAULTS } from "../../../src/relay/options.ts";

const SECRET = "s".repeat(32);
const DEFAULTS = loadSettings("relay", { flags: {}, environment: {} }).values;
const USABLE = { ...DEFAULTS, credentials: "credentials.json" };

test("relay configuration: the defaults of the table are those of the relay", () => {
  const { mux, internalSecret, ...options } = relayOptions(USABLE, SECRET);
  const { mux: _, ...defaults } = RELAY_DEFAULTS;
  assert.deepEqual(options, defaults);
  assert.equal(internalSecret, SECRET);
});

test("relay configuration: the defaults of the table are those of the mux, as the relay wants them", () => {
  const { mux } = relayOptions(USABLE, SECRET);
  assert.deepEqual(muxOptions(mux), muxOptions(RELAY_DEFAULTS.mux));
});

test("relay configuration: a hard limit of messages is passed on as one", () => {
  const { mux } = relayOptions({ ...USABLE, messageMax: 32_768 }, SECRET);
  assert.equal(mux.maxWsMessageOutBytes, 32_768);
  assert.equal(mux.hardWsMessageOut, true);
});

test("relay configuration: what does not go together is told all at once", () => {
  const settings = relaySettingsProblems({ ...DEFAULTS, internalPort: DEFAULTS.listenPort });
  assert.deepEqual(
    settings.map(({ setting }) => setting),
    ["credentials", "internalPort"],
  );
  assert.deepEqual(relaySettingsProblems(USABLE), []);
});

test("relay configuration: two listeners may both let the system pick a port", () => {
  assert.deepEqual(relaySettingsProblems({ ...USABLE, listenPort: 0, internalPort: 0 }), []);
});

test("relay configuration: problems of options are told by the names of settings", () => {
  const problems = ["maxWindowBytes", "tlsKeyFile", "internalSecret"].map((setting) => ({
    setting,
    problem: "bad",
  }));
  assert.deepEqual(
    inSettingNames(problems).map(({ setting }) => setting),
    ["windowMax", "tlsKey", "internalSecret"],
  );
});

test("relay configuration: a credentials file or an API server, and not both", () => {
  const api = "http://127.0.0.1:3722/";
  const settingsOf = (values: Partial<typeof DEFAULTS>): string[] =>
    relaySettingsProblems({ ...DEFAULTS, ...values }).map(({ setting }) => setting);
  assert.deepEqual(settingsOf({ api }), []);
  assert.deepEqual(settingsOf({ api, failClosedAfter: 60_000 }), []);
  assert.deepEqual(settingsOf({ api, credentials: "credentials.json" }), ["api"]);
  assert.deepEqual(settingsOf({ credentials: "c.json", failClosedAfter: 1 }), ["failClosedAfter"]);
  assert.deepEqual(settingsOf({ credentials: "c.json", apiCa: "ca.pem" }), ["apiCa"]);
  assert.deepEqual(settingsOf({ api, apiCa: "ca.pem" }), ["apiCa"]);
  assert.deepEqual(settingsOf({ api: "https://api", apiCa: "ca.pem" }), []);
  for (const bad of ["127.0.0.1", "ftp://api", "http://a:b@api", "http://api?x"]) {
    assert.deepEqual(settingsOf({ api: bad }), ["api"], bad);
  }
});

test("relay configuration: the gate gets what was set, and remembers more than may be connected", () => {
  assert.equal(apiGateOptions(USABLE, SECRET), null);
  const values = { ...DEFAULTS, api: "https://api.example/base/", failClosedAfter: 5_000 };
  assert.deepEqual(apiGateOptions(values, SECRET), {
    api: { origin: "https://api.example", prefix: "/base" },
    secret: SECRET,
    ca: null,
    failClosedAfterMs: 5_000,
    knownTokensMax: 200_000,
    knownDevicesMax: 200_000,
  });
  assert.equal(apiGateOptions({ ...values, tunnelsMax: 1 }, SECRET)?.knownTokensMax, 10_000);
  assert.equal(DEFAULTS.failClosedAfter, API_GATE_DEFAULTS.failClosedAfterMs);
  assert.equal(2 * DEFAULTS.tunnelsMax, API_GATE_DEFAULTS.knownTokensMax);
});
