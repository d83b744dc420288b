import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";
import { type AgentOptions, agentSettings } from "../../../src/agent/options.ts";
import { ConfigError } from "../../../src/core/errors.ts";

const GOOD: AgentOptions = {
  relay: "ws://relay.test:3800",
  token: "vAc_x",
  to: "http://127.0.0.1:8080",
};

/** The settings that are complained about, in order. */
function problemsOf(options: Partial<AgentOptions>): string[] {
  try {
    agentSettings({ ...GOOD, ...options });
    return [];
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.problems.map(({ setting }) => setting);
  }
}

const RELAYS: readonly [string, string | null][] = [
  ["ws://relay.test:3800", "ws://relay.test:3800/tunnel/connect"],
  ["ws://relay.test:3800/", "ws://relay.test:3800/tunnel/connect"],
  ["wss://relay.test", "wss://relay.test/tunnel/connect"],
  ["http://relay.test:3800", "ws://relay.test:3800/tunnel/connect"],
  ["https://relay.test", "wss://relay.test/tunnel/connect"],
  ["wss://relay.test/hawser/tunnel/connect", "wss://relay.test/hawser/tunnel/connect"],
  ["ws://[::1]:3800", "ws://[::1]:3800/tunnel/connect"],
  ["ftp://relay.test", null],
  ["relay.test:3800", null],
  ["", null],
  ["ws://", null],
  ["ws://user:secret@relay.test", null],
  ["ws://relay.test/?token=vAc_x", null],
  ["ws://relay.test/#part", null],
];

for (const [relay, expected] of RELAYS) {
  test(`relay ${relay || "(empty)"} ${expected === null ? "is refused" : `dials ${expected}`}`, () => {
    if (expected === null) assert.deepEqual(problemsOf({ relay }), ["relay"]);
    else assert.equal(agentSettings({ ...GOOD, relay }).relayUrl, expected);
  });
}

const TARGETS: readonly [string, { host: string; port: number; tls: boolean } | null][] = [
  ["http://127.0.0.1:8080", { host: "127.0.0.1", port: 8080, tls: false }],
  ["http://localhost", { host: "localhost", port: 80, tls: false }],
  ["https://localhost/", { host: "localhost", port: 443, tls: true }],
  ["tcp://127.0.0.1:22", { host: "127.0.0.1", port: 22, tls: false }],
  ["http://[::1]:8080", { host: "::1", port: 8080, tls: false }],
  ["tcp://127.0.0.1", null],
  ["http://127.0.0.1:0", null],
  ["http://127.0.0.1:8080/base", null],
  ["http://127.0.0.1:8080/?a=b", null],
  ["http://user@127.0.0.1:8080", null],
  ["http://:secret@127.0.0.1:8080", null],
  ["ws://127.0.0.1:8080", null],
  ["127.0.0.1:8080", null],
  ["", null],
];

for (const [to, expected] of TARGETS) {
  test(`target ${to || "(empty)"} is ${expected === null ? "refused" : "taken"}`, () => {
    if (expected === null) {
      assert.deepEqual(problemsOf({ to }), ["to"]);
      return;
    }
    const { target } = agentSettings({ ...GOOD, to });
    assert.ok(target.kind === "address");
    const { host, port, tls } = target;
    assert.deepEqual({ host, port, tls }, expected);
  });
}

test("exactly one token and exactly one target", () => {
  const server = createServer();
  assert.deepEqual(problemsOf({ token: undefined }), ["token"]);
  assert.deepEqual(problemsOf({ tokenFile: "file" }), ["token"]);
  assert.deepEqual(problemsOf({ token: undefined, tokenFile: "" }), ["tokenFile"]);
  assert.deepEqual(problemsOf({ to: undefined }), ["to"]);
  assert.deepEqual(problemsOf({ server }), ["to"]);
  assert.deepEqual(problemsOf({ to: undefined, server, onStream: () => {} }), ["to"]);
  assert.deepEqual(problemsOf({ to: undefined, server }), []);
  assert.deepEqual(problemsOf({ to: undefined, onStream: () => {} }), []);
});

for (const token of ["", "two words", "new\nline", "tab\t", "\u00e4", "x".repeat(4_097)]) {
  test(`a token of ${JSON.stringify(token.slice(0, 10))} is refused, unsaid`, () => {
    assert.throws(
      () => agentSettings({ ...GOOD, token }),
      (error: unknown) => {
        assert.ok(error instanceof ConfigError);
        return token === "" || !error.message.includes(token);
      },
    );
  });
}

test("every number has bounds", () => {
  assert.deepEqual(problemsOf({ maxStreams: 0 }), ["maxStreams"]);
  assert.deepEqual(problemsOf({ maxStreams: 1.5 }), ["maxStreams"]);
  assert.deepEqual(problemsOf({ maxStreams: Number.NaN }), ["maxStreams"]);
  assert.deepEqual(problemsOf({ maxStreams: 65_537 }), ["maxStreams"]);
  assert.deepEqual(problemsOf({ localTimeoutMs: 10_000 }), ["localTimeoutMs"]);
  assert.deepEqual(problemsOf({ backoffCapMs: 10 }), ["backoffCapMs"]);
  assert.deepEqual(problemsOf({ maxStreams: 1, drainMs: 0, stableMs: 0 }), []);
});

test("all problems are told at once", () => {
  assert.deepEqual(
    problemsOf({
      relay: "nonsense",
      token: "",
      to: "nonsense",
      maxStreams: -1,
      drainMs: -1,
      yamuxRole: "both" as "server",
    }),
    ["maxStreams", "drainMs", "relay", "token", "to", "yamuxRole"],
  );
});

test("problems of mux limits carry their name", () => {
  assert.deepEqual(problemsOf({ mux: { initialWindowBytes: 1 } }), ["mux.initialWindowBytes"]);
});

test("a list of certificates without one is refused, and its text is not repeated", () => {
  for (const pem of [
    "",
    "garbage",
    Buffer.from([48, 130, 1, 2]),
    "-----BEGIN CERTIFICATE-----\nAAAA\n",
  ]) {
    assert.deepEqual(problemsOf({ ca: pem, localCa: pem }), ["ca", "localCa"]);
  }
});
