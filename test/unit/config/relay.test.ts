import assert from "node:assert/strict";
import test from "node:test";
import {
  isLoopback,
  loadSettings,
  relayOptions,
  relayProblems,
} from "../../../src/config/index.ts";
import { ConfigError } from "../../../src/core/errors.ts";
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

test("relay configuration: the defaults of the table are those of the mux", () => {
  const { mux } = relayOptions(USABLE, SECRET);
  assert.deepEqual(muxOptions(mux), muxOptions());
});

test("relay configuration: a hard limit of messages is passed on as one", () => {
  const { mux } = relayOptions({ ...USABLE, messageMax: 32_768 }, SECRET);
  assert.equal(mux.maxWsMessageOutBytes, 32_768);
  assert.equal(mux.hardWsMessageOut, true);
});

test("relay configuration: what does not go together is told all at once", () => {
  const values = {
    ...DEFAULTS,
    tlsCert: "cert.pem",
    internalHost: "0.0.0.0",
    internalPort: DEFAULTS.listenPort,
    windowInitial: 8_388_608,
    tunnelReceiveBufferMax: 262_144,
    tunnelSendQueueMax: 65_536,
  };
  const settings = relayProblems(values, "short").map(({ setting }) => setting);
  assert.deepEqual(settings, [
    "credentials",
    "tlsKey",
    "internalHost",
    "internalPort",
    "windowMax",
    "tunnelReceiveBufferMax",
    "tunnelSendQueueMax",
  ]);
  assert.throws(() => relayOptions(values, "short"), ConfigError);
});

test("relay configuration: a short internal secret serves on loopback alone", () => {
  assert.deepEqual(relayProblems(USABLE, "short"), []);
  for (const internalHost of ["0.0.0.0", "::", "192.0.2.1"]) {
    assert.equal(relayProblems({ ...USABLE, internalHost }, "s".repeat(31)).length, 1);
    assert.equal(relayProblems({ ...USABLE, internalHost }, SECRET).length, 0);
  }
});

test("relay configuration: two listeners may both let the system pick a port", () => {
  assert.deepEqual(relayProblems({ ...USABLE, listenPort: 0, internalPort: 0 }, SECRET), []);
});

test("relay configuration: loopback is 127.0.0.0/8, ::1 and localhost", () => {
  assert.deepEqual(["127.0.0.1", "127.9.9.9", "::1", "localhost"].filter(isLoopback).length, 4);
  assert.deepEqual(["0.0.0.0", "::", "10.0.0.1", "128.0.0.1"].filter(isLoopback), []);
});
