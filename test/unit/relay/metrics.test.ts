import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { RelayMetrics } from "../../../src/relay/metrics.ts";
import { root } from "../../support/root.ts";

/** The value of one sample line; undefined where it is missing. */
async function sample(metrics: RelayMetrics, name: string): Promise<number | undefined> {
  const line = (await metrics.render()).text
    .split("\n")
    .find((text) => text.startsWith(`${name} `));
  return line === undefined ? undefined : Number(line.slice(name.length + 1));
}

describe("RelayMetrics", () => {
  it("counts requests by front and status, bytes and failures", async () => {
    const metrics = new RelayMetrics();
    metrics.observeRequest(0, 200, null, 10, 100, 1, 2);
    metrics.observeRequest(0, 200, null, 1, 1, 1, 2);
    metrics.observeRequest(0, 503, "offline", 0, 0, -1, 2_000);
    metrics.observeRequest(1, 404, "request", 0, 7, 1, 1);
    const name = "hawser_relay_requests_total";
    assert.equal(await sample(metrics, `${name}{front="edge",status="200"}`), 2);
    assert.equal(await sample(metrics, `${name}{front="edge",status="503"}`), 1);
    assert.equal(await sample(metrics, `${name}{front="internal",status="404"}`), 1);
    const failures = "hawser_relay_request_failures_total";
    assert.equal(await sample(metrics, `${failures}{stage="offline"}`), 1);
    assert.equal(await sample(metrics, `${failures}{stage="open"}`), 0);
    assert.equal(await sample(metrics, 'hawser_relay_request_bytes_total{front="edge"}'), 11);
    assert.equal(await sample(metrics, 'hawser_relay_response_bytes_total{front="internal"}'), 7);
  });

  it("counts a device's strange status without harm", async () => {
    const metrics = new RelayMetrics();
    for (const status of [0, -1, 99, 600, 1_000]) {
      metrics.observeRequest(1, status, null, 0, 0, 0, 0);
    }
    const name = 'hawser_relay_requests_total{front="internal",status="0"}';
    assert.equal(await sample(metrics, name), 5);
  });

  it("puts a duration in the bucket whose bound it does not exceed", async () => {
    const metrics = new RelayMetrics();
    for (const ms of [0, 0.5, 0.6, 1, 60_000, 60_001]) {
      metrics.observeRequest(0, 200, null, 0, 0, -1, ms);
    }
    const name = "hawser_relay_request_seconds";
    const bucket = (le: string): Promise<number | undefined> =>
      sample(metrics, `${name}_bucket{le="${le}",front="edge"}`);
    assert.equal(await bucket("0.0005"), 2);
    assert.equal(await bucket("0.001"), 4);
    assert.equal(await bucket("30"), 4);
    assert.equal(await bucket("60"), 5);
    assert.equal(await bucket("+Inf"), 6);
    assert.equal(await sample(metrics, `${name}_count{front="edge"}`), 6);
    assert.equal(await sample(metrics, `${name}_count{front="internal"}`), 0);
    const sum = await sample(metrics, `${name}_sum{front="edge"}`);
    assert.ok(Math.abs((sum ?? 0) - 120.0031) < 1e-9, `${sum}`);
    // None of these had a first byte.
    assert.equal(await sample(metrics, 'hawser_relay_first_byte_seconds_count{front="edge"}'), 0);
  });

  it("counts tunnels and why they ended", async () => {
    const metrics = new RelayMetrics();
    metrics.tunnelOpened();
    metrics.tunnelOpened();
    metrics.tunnelClosed(1006);
    metrics.displaced();
    metrics.handshakeRefused(401);
    assert.equal(await sample(metrics, "hawser_relay_tunnels"), 1);
    assert.equal(await sample(metrics, "hawser_relay_tunnels_opened_total"), 2);
    assert.equal(await sample(metrics, 'hawser_relay_tunnels_closed_total{code="1006"}'), 1);
    assert.equal(await sample(metrics, "hawser_relay_tunnels_displaced_total"), 1);
    assert.equal(await sample(metrics, 'hawser_relay_handshakes_refused_total{status="401"}'), 1);
  });

  it("makes no label without end from close codes that devices choose", async () => {
    const metrics = new RelayMetrics();
    for (let code = 3_000; code < 5_000; code++) metrics.tunnelClosed(code);
    const lines = (await metrics.render()).text
      .split("\n")
      .filter((line) => line.startsWith("hawser_relay_tunnels_closed_total{"));
    assert.equal(lines.length, 33);
    const other = await sample(metrics, 'hawser_relay_tunnels_closed_total{code="0"}');
    assert.equal(other, 2_000 - 32);
  });

  it("renders what others keep", async () => {
    const metrics = new RelayMetrics();
    let value = 3;
    metrics.addGauge("hawser_relay_example", "An example.", () => value);
    assert.equal(await sample(metrics, "hawser_relay_example"), 3);
    value = 4;
    assert.equal(await sample(metrics, "hawser_relay_example"), 4);
  });

  it("is text that a Prometheus server can read", async () => {
    const metrics = new RelayMetrics();
    metrics.observeRequest(0, 200, null, 1, 1, 1, 1);
    for (const line of (await metrics.render()).text.split("\n")) {
      assert.match(
        line,
        /^$|^# (HELP|TYPE) [a-z_]+ .+$|^[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? [0-9.e+-]+$/,
      );
    }
    assert.match((await metrics.render()).contentType, /^text\/plain; version=0\.0\.4/);
  });
});

describe("docs/operations.md", () => {
  it("lists exactly the metrics that the relay has", async () => {
    const metrics = new RelayMetrics();
    const { text } = await metrics.render();
    const ours = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, type]) => [name, type]);
    const page = readFileSync(join(root, "docs/operations.md"), "utf8");
    const listed = [...page.matchAll(/^\| `([a-z_]+)` \| (counter|gauge|histogram) \|/gm)]
      .map(([, name = "", type]) => [name, type])
      // The API server's have a test of their own.
      .filter(([name = ""]) => !name.startsWith("hawser_api_"));
    // These are added by whoever keeps their values.
    const added = [
      "hawser_relay_requests_in_flight",
      "hawser_relay_requests_holding",
      "hawser_relay_sessions",
      "hawser_relay_received_bytes_held",
      "hawser_relay_window_grown_bytes",
    ].map((name) => [name, "gauge"]);
    added.push(
      ["hawser_relay_window_stalls_total", "counter"],
      ["hawser_relay_protocol_errors_total", "counter"],
    );
    assert.deepEqual(listed.sort(), [...ours, ...added].sort());
  });
});
