import assert from "node:assert/strict";
import test from "node:test";
import {
  inSettingNames,
  loadSettings,
  relayOptions,
  relaySettingsProblems,
} from "../../../src/config/index.ts";
import { muxOptions } from "../../../src/mux/index.ts";
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
