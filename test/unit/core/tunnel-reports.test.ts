import assert from "node:assert/strict";
import { test } from "node:test";
import { parseTunnelReportTaken } from "../../../src/core/tunnel-report-schema.ts";
import { reportReason } from "../../../src/core/tunnel-reports.ts";
import { agentUserAgent, agentVersionOf, hawserVersion } from "../../../src/core/version.ts";

test("tunnel reports: an answer says how many were taken, of those that were sent", () => {
  assert.deepEqual(parseTunnelReportTaken('{"taken":2}', 2), { taken: 2 });
  assert.deepEqual(parseTunnelReportTaken('{"taken":0,"more":1}', 2), { taken: 0 });
  for (const text of [
    "",
    "{",
    "[]",
    '{"taken":3}',
    '{"taken":-1}',
    '{"taken":1.5}',
    '{"taken":"1"}',
  ]) {
    assert.equal(parseTunnelReportTaken(text, 2), null, text);
  }
});

test("tunnel reports: a reason is short and visible, whatever it was", () => {
  assert.equal(reportReason("relay stops"), "relay stops");
  assert.equal(reportReason("a\r\nb\u00e9"), "a??b?");
  assert.equal(reportReason(""), "closed");
  assert.equal(reportReason("x".repeat(1_000)).length, 100);
});

test("agent version: read from what an agent of ours says, and from nothing else", () => {
  assert.equal(agentVersionOf(agentUserAgent(hawserVersion())), hawserVersion());
  for (const text of [
    "",
    "hawser-agent",
    "hawser-agent/",
    "hawser-agent/1 x",
    "Go-http-client/1.1",
  ]) {
    assert.equal(agentVersionOf(text), null, text);
  }
  assert.equal(agentVersionOf(`hawser-agent/${"1".repeat(33)}`), null);
});
