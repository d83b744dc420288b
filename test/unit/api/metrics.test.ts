import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { ApiMetrics } from "../../../src/api/metrics.ts";
import { root } from "../../support/root.ts";

test("api metrics: requests are counted by class and status, and timed in seconds", async () => {
  const metrics = new ApiMetrics({ withProcess: false });
  metrics.requestOver("key", 200, 4);
  metrics.requestOver("key", 200, 40_000);
  metrics.requestOver("", 404, 1);
  await metrics.render();
  const text = await metrics.render();
  assert.match(text, /^hawser_api_requests_total\{class="key",status="200"\} 2$/m);
  assert.match(text, /^hawser_api_requests_total\{class="none",status="404"\} 1$/m);
  assert.match(text, /^hawser_api_request_seconds_bucket\{le="0\.005",class="key"\} 1$/m);
  assert.match(text, /^hawser_api_request_seconds_bucket\{le="30",class="key"\} 1$/m);
  assert.match(text, /^hawser_api_request_seconds_count\{class="key"\} 2$/m);
});

test("api metrics: an event whose name is none of ours does not become a label", async () => {
  const metrics = new ApiMetrics({ withProcess: false });
  for (let at = 0; at < 1_000; at++) metrics.eventRecorded({ event: `made up ${at}` });
  metrics.eventRecorded({ event: "key_created" });
  const lines = (await metrics.render()).split("\n");
  const events = lines.filter((line) => line.startsWith("hawser_api_audit_events_total{"));
  assert.deepEqual(events, [
    'hawser_api_audit_events_total{event="other"} 1000',
    'hawser_api_audit_events_total{event="key_created"} 1',
  ]);
});

test("api metrics: docs/operations.md lists exactly those that there are", async () => {
  const liveSessions = (): Promise<number> => Promise.resolve(0);
  const text = await new ApiMetrics({ withProcess: false, liveSessions }).render();
  const ours = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, type]) => [name, type]);
  const page = readFileSync(join(root, "docs/operations.md"), "utf8");
  const listed = [...page.matchAll(/^\| `(hawser_api_[a-z_]+)` \| ([a-z]+) \|/gm)];
  assert.deepEqual(listed.map(([, name, type]) => [name, type]).sort(), ours.sort());
});

test("api metrics: sign-ins are counted by result, and of made-up results no more than there is room for", async () => {
  const metrics = new ApiMetrics({ withProcess: false });
  const fail = (reason: string): void =>
    metrics.eventRecorded({ event: "authn_login_fail", detail: { reason } });
  metrics.eventRecorded({ event: "authn_login_success" });
  fail("ERR_OIDC_SIGN_IN_EXPIRED");
  fail("account_disabled");
  fail("a person's name");
  for (let at = 0; at < 1_000; at++) fail(`x${"y".repeat(at % 60)}${"z".repeat(at / 60)}`);
  const lines = (await metrics.render()).split("\n");
  const results = lines.filter((line) => line.startsWith("hawser_api_sign_ins_total{"));
  assert.deepEqual(results.slice(0, 4), [
    'hawser_api_sign_ins_total{result="ok"} 1',
    'hawser_api_sign_ins_total{result="err_oidc_sign_in_expired"} 1',
    'hawser_api_sign_ins_total{result="account_disabled"} 1',
    `hawser_api_sign_ins_total{result="other"} ${1_000 + 1 - 61}`,
  ]);
  assert.equal(results.length, 65);
});

test("api metrics: sessions that cannot be counted do not keep the rest from being read", async () => {
  let live = (): Promise<number> => Promise.resolve(3);
  const metrics = new ApiMetrics({ withProcess: false, liveSessions: () => live() });
  assert.match(await metrics.render(), /^hawser_api_login_sessions 3$/m);
  live = () => Promise.reject(new Error("away"));
  assert.match(await metrics.render(), /^hawser_api_login_sessions NaN$/im);
});
