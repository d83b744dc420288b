import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import {
  type AgentFlags,
  agentCommandSettings,
  plainLine,
} from "../../../src/cli/actions/agent.ts";
import { ConfigError } from "../../../src/core/errors.ts";

const FLAGS: AgentFlags = { relay: "ws://relay.test", to: "http://127.0.0.1:1" };
const TOKEN = { HAWSER_TOKEN: "vAc_x" };

function problemsOf(flags: AgentFlags, environment: Record<string, string> = {}): string[] {
  try {
    agentCommandSettings(flags, environment);
    return [];
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.problems.map(({ setting }) => setting);
  }
}

test("flags win over variables, a token file over HAWSER_TOKEN", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "hawser-agent-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const tokenFile = join(folder, "token");
  writeFileSync(tokenFile, "vAc_y");
  const fromVariables = agentCommandSettings(
    {},
    {
      ...TOKEN,
      HAWSER_RELAY: "ws://one.test",
      HAWSER_TO: "http://127.0.0.1:1",
      HAWSER_MAX_STREAMS: "7",
      HAWSER_DRAIN_TIME: "2m",
      HAWSER_YAMUX_ROLE: "client",
      HAWSER_LOG_LEVEL: "debug",
    },
  );
  assert.equal(fromVariables.options.relay, "ws://one.test");
  assert.equal(fromVariables.options.token, "vAc_x");
  assert.equal(fromVariables.options.maxStreams, 7);
  assert.equal(fromVariables.options.drainMs, 120_000);
  assert.equal(fromVariables.options.yamuxRole, "client");
  assert.equal(fromVariables.logLevel, "debug");
  const fromFlags = agentCommandSettings(
    { ...FLAGS, tokenFile, maxStreams: "9", json: true },
    { ...TOKEN, HAWSER_RELAY: "ws://one.test", HAWSER_MAX_STREAMS: "7" },
  );
  assert.equal(fromFlags.options.relay, "ws://relay.test");
  assert.equal(fromFlags.options.tokenFile, tokenFile);
  assert.equal(fromFlags.options.token, undefined);
  assert.equal(fromFlags.options.maxStreams, 9);
  assert.equal(fromFlags.json, true);
});

test("a token in the command line is refused, unsaid", () => {
  assert.throws(
    () => agentCommandSettings({ ...FLAGS, token: "vAc_secret" }, TOKEN),
    (error: unknown) => {
      assert.ok(error instanceof ConfigError);
      assert.ok(error.problems.some(({ setting }) => setting === "--token"));
      assert.ok(error.message.includes("HAWSER_TOKEN"));
      return !error.message.includes("vAc_secret");
    },
  );
});

test("without anything, everything that is missing is told", () => {
  assert.deepEqual(problemsOf({}), ["--relay", "--token-file", "--to"]);
});

test("all problems are told at once, by the names that were used", () => {
  const flags = {
    to: "nonsense",
    token: "vAc_x",
    tokenFile: "/nonexistent/token",
    ca: "/nonexistent/ca",
    toCa: "/nonexistent/ca",
    maxStreams: "many",
    yamuxRole: "both",
  };
  const variables = {
    HAWSER_RELAY: "nonsense",
    HAWSER_DRAIN_TIME: "soon",
    HAWSER_LOG_LEVEL: "loud",
  };
  assert.deepEqual(problemsOf(flags, variables).sort(), [
    "--ca",
    "--max-streams",
    "--to",
    "--to-ca",
    "--token",
    "--token-file",
    "--yamux-role",
    "HAWSER_DRAIN_TIME",
    "HAWSER_LOG_LEVEL",
    "HAWSER_RELAY",
  ]);
});

test("a plain line holds time, level and sentence, and nothing that steers a terminal", () => {
  const line = { level: 40, time: "2026-01-01T00:00:00.000Z", msg: "a\u001b[31mb\nc", code: "X" };
  assert.equal(plainLine(JSON.stringify(line)), "2026-01-01T00:00:00.000Z warn  a [31mb c\n");
  assert.equal(
    plainLine(JSON.stringify({ ...line, level: 30, msg: "hm", suppressed: 3 })),
    "2026-01-01T00:00:00.000Z info  hm (and 3 more like it)\n",
  );
});
