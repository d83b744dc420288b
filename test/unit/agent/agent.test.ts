import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { TunnelEnd } from "../../../src/agent/tunnel-end.ts";
import { agentBench, type Bench } from "../../support/agent/fake-tunnels.ts";

const CUT: TunnelEnd = { kind: "closed", closeCode: 1006, error: "ERR_TEST", protocol: false };
const DISPLACED: TunnelEnd = { ...CUT, closeCode: 4409 };
const REFUSED: TunnelEnd = { kind: "unreachable", code: "ECONNREFUSED", tls: false };

/** The agent dials in a microtask of its own. */
async function started(bench: Bench): Promise<Bench> {
  await Promise.resolve();
  return bench;
}

async function connected(): Promise<Bench> {
  const bench = await started(agentBench());
  bench.tunnel(1).open();
  return bench;
}

test("connects, tells, and stops after draining", async () => {
  const bench = await started(agentBench());
  assert.equal(bench.agent.state, "connecting");
  const ready = bench.agent.ready();
  bench.tunnel(1).open();
  await ready;
  assert.equal(bench.agent.state, "connected");
  const stopped = bench.agent.close({ drainMs: 5_000 });
  assert.equal(bench.agent.state, "stopping");
  assert.equal(bench.tunnel(1).drainedMs, 5_000);
  assert.equal(bench.tunnel(1).closed, false);
  bench.tunnel(1).end(CUT);
  await stopped;
  assert.deepEqual(bench.events, ["connecting", "connected", "stopped"]);
  assert.equal(bench.timers.pending, 0);
  await bench.agent.close();
  await assert.rejects(bench.agent.ready(), { code: "ERR_AGENT_STOPPED" });
});

test("a second close without time to drain cuts what the first one left", async () => {
  const bench = await connected();
  const first = bench.agent.close({ drainMs: 5_000 });
  const second = bench.agent.close({ drainMs: 0 });
  await Promise.all([first, second]);
  assert.equal(bench.tunnel(1).closed, true);
  assert.deepEqual(bench.events, ["connecting", "connected", "stopped"]);
});

test("closing while a dial is under way gives it up", async () => {
  const bench = await started(agentBench());
  const ready = assert.rejects(bench.agent.ready(), { code: "ERR_AGENT_STOPPED" });
  await bench.agent.close();
  await ready;
  assert.equal(bench.tunnel(1).closed, true);
  assert.equal(bench.agent.state, "stopped");
});

test("closing between two dials leaves no timer", async () => {
  const bench = await started(agentBench());
  bench.tunnel(1).end(REFUSED);
  assert.equal(bench.agent.state, "waiting");
  await bench.agent.close();
  assert.equal(bench.timers.pending, 0);
  assert.deepEqual(bench.events, ["connecting", "disconnected", "stopped"]);
});

test("closed before it began, it never dials", async () => {
  const bench = agentBench();
  await bench.agent.close();
  await Promise.resolve();
  assert.equal(bench.tunnels.length, 0);
});

test("an aborted signal stops it at once", async () => {
  const controller = new AbortController();
  const bench = await started(agentBench({ signal: controller.signal }));
  bench.tunnel(1).open();
  controller.abort();
  assert.equal(bench.tunnel(1).closed, true);
  assert.equal(bench.agent.state, "stopped");
  const late = await started(agentBench({ signal: controller.signal }));
  assert.equal(late.agent.state, "stopped");
  assert.equal(late.tunnels.length, 0);
});

test("a listener that closes the agent on its first event is obeyed", async () => {
  const bench = agentBench();
  bench.agent.on("connecting", () => void bench.agent.close());
  await started(bench);
  assert.equal(bench.tunnels.length, 0);
  assert.equal(bench.agent.state, "stopped");
});

test("failed dials are repeated with back-off, and say when", async () => {
  const bench = await started(agentBench());
  const delays: number[] = [];
  bench.agent.on("disconnected", ({ cause, code, retryInMs }) => {
    assert.equal(cause, "unreachable");
    assert.equal(code, "ECONNREFUSED");
    delays.push(retryInMs);
  });
  const attempts: number[] = [];
  bench.agent.on("connecting", ({ attempt }) => void attempts.push(attempt));
  for (let dial = 1; dial <= 4; dial += 1) {
    bench.tunnel(dial).end(REFUSED);
    bench.timers.advance(bench.timers.nextInMs - 1);
    assert.equal(bench.tunnels.length, dial, "not before its time");
    bench.timers.advance(1);
    assert.equal(bench.tunnels.length, dial + 1);
  }
  assert.deepEqual(delays, [500, 1_000, 2_000, 4_000]);
  assert.deepEqual(attempts, [2, 3, 4, 5]);
  assert.equal(bench.agent.state, "connecting");
});

test("a lost tunnel is dialled anew; short lives do not end the back-off, a stable while does", async () => {
  const bench = await connected();
  bench.tunnel(1).end(CUT);
  assert.equal(bench.agent.state, "waiting");
  assert.equal(bench.timers.nextInMs, 500);
  bench.timers.advance(500);
  bench.tunnel(2).open();
  bench.timers.advance(29_999);
  bench.tunnel(2).end(CUT);
  assert.equal(bench.timers.nextInMs, 1_000);
  bench.timers.advance(1_000);
  bench.tunnel(3).open();
  bench.timers.advance(30_000);
  bench.tunnel(3).end(CUT);
  assert.equal(bench.timers.nextInMs, 500);
});

test("Retry-After is obeyed", async () => {
  const bench = await started(agentBench());
  bench.tunnel(1).end({ kind: "rejected", status: 503, retryAfterMs: 20_000 });
  assert.equal(bench.timers.nextInMs, 20_500);
});

test("a displaced tunnel is not fought for", async () => {
  const bench = await connected();
  bench.tunnel(1).end(DISPLACED);
  assert.equal(bench.timers.nextInMs, 72_000);
  assert.ok(bench.lines.some((line) => line.includes("took its place")));
});

test("go away: the next tunnel is up before the old one is left", async () => {
  const bench = await connected();
  bench.timers.advance(30_000);
  bench.tunnel(1).goAway();
  assert.equal(bench.agent.state, "draining");
  assert.equal(bench.tunnels.length, 2, "dialled at once");
  assert.equal(bench.tunnel(1).drainedMs, null, "the old one still serves");
  bench.tunnel(1).goAway();
  assert.equal(bench.tunnels.length, 2, "a repeated go away changes nothing");
  bench.tunnel(2).open();
  assert.equal(bench.agent.state, "connected");
  assert.equal(bench.tunnel(1).drainedMs, 30_000);
  assert.equal(bench.tunnel(1).closed, false);
  bench.tunnel(1).end(DISPLACED);
  assert.equal(bench.agent.state, "connected");
  assert.equal(bench.timers.pending, 0, "its end starts nothing");
  assert.deepEqual(bench.events, [
    "connecting",
    "connected",
    "draining",
    "connecting",
    "connected",
  ]);
});

test("go away right after the handshake is answered with back-off", async () => {
  const bench = await connected();
  bench.tunnel(1).goAway();
  assert.equal(bench.tunnels.length, 1);
  assert.equal(bench.timers.nextInMs, 500);
  bench.timers.advance(500);
  bench.tunnel(2).open();
  bench.tunnel(2).goAway();
  assert.equal(bench.timers.nextInMs, 1_000);
});

test("a replacement that fails is tried again while the old tunnel serves", async () => {
  const bench = await connected();
  bench.timers.advance(30_000);
  bench.tunnel(1).goAway();
  bench.tunnel(2).end(REFUSED);
  assert.equal(bench.agent.state, "draining");
  bench.timers.advance(500);
  bench.tunnel(3).open();
  assert.equal(bench.agent.state, "connected");
  assert.equal(bench.tunnel(1).drainedMs, 30_000);
});

test("the old tunnel may end before its replacement is up", async () => {
  const bench = await connected();
  bench.timers.advance(30_000);
  bench.tunnel(1).goAway();
  bench.tunnel(1).end(CUT);
  assert.equal(bench.agent.state, "connecting");
  assert.equal(bench.tunnels.length, 2, "no second dial beside the one under way");
  bench.tunnel(2).end(REFUSED);
  assert.equal(bench.agent.state, "waiting");
  assert.equal(bench.timers.pending, 1);
  bench.timers.advance(500);
  bench.tunnel(3).open();
  assert.equal(bench.agent.state, "connected");
});

test("the old tunnel may end while the replacement waits for its turn", async () => {
  const bench = await connected();
  bench.tunnel(1).goAway();
  bench.tunnel(1).end(CUT);
  assert.equal(bench.agent.state, "waiting");
  assert.equal(bench.timers.pending, 1);
  bench.timers.advance(500);
  assert.equal(bench.tunnels.length, 2);
});

test("two tunnels may drain; a third one cuts the oldest", async () => {
  const bench = await connected();
  for (let generation = 1; generation <= 3; generation += 1) {
    bench.timers.advance(30_000);
    bench.tunnel(generation).goAway();
    bench.tunnel(generation + 1).open();
  }
  assert.deepEqual(
    bench.tunnels.map((tunnel) => tunnel.closed),
    [true, false, false, false],
  );
  const stopped = bench.agent.close({ drainMs: 0 });
  await stopped;
  assert.ok(bench.tunnels.every((tunnel) => tunnel.closed));
});

test("streams are counted over all tunnels", async () => {
  const bench = await connected();
  bench.tunnel(1).streamCount = 3;
  bench.timers.advance(30_000);
  bench.tunnel(1).goAway();
  bench.tunnel(2).open();
  bench.tunnel(2).streamCount = 4;
  assert.equal(bench.agent.streamCount, 7);
});

test("the token file is read again before every dial, and its absence only delays", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "hawser-agent-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const tokenFile = join(folder, "token");
  writeFileSync(tokenFile, "vAc_first\n");
  const bench = await started(agentBench({ token: undefined, tokenFile }));
  assert.equal(bench.tunnel(1).token, "vAc_first");
  writeFileSync(tokenFile, "vAc_second\n");
  bench.tunnel(1).end({ kind: "rejected", status: 401, retryAfterMs: null });
  bench.timers.advance(72_000);
  assert.equal(bench.tunnel(2).token, "vAc_second");
  for (const bad of ["", "two words", "line\nline", "\u00e4"]) {
    writeFileSync(tokenFile, bad);
    bench.tunnel(bench.tunnels.length).end(REFUSED);
    const dialled = bench.tunnels.length;
    bench.timers.advance(bench.timers.nextInMs);
    assert.equal(bench.tunnels.length, dialled, "nothing is dialled without a token");
    assert.equal(bench.agent.state, "waiting");
    writeFileSync(tokenFile, "vAc_third");
    bench.timers.advance(bench.timers.nextInMs);
    assert.equal(bench.tunnel(bench.tunnels.length).token, "vAc_third");
  }
  assert.ok(!bench.lines.join("\n").includes("vAc_"), "no token in any log line");
});

test("a token file that cannot be used is named with the reason, and the relay is not blamed", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "hawser-agent-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const empty = join(folder, "empty");
  writeFileSync(empty, "");
  for (const [tokenFile, reason] of [
    [empty, "it holds no usable token"],
    [folder, "EISDIR"],
    [join(folder, "missing"), "ENOENT"],
  ] as const) {
    const { lines } = await started(agentBench({ token: undefined, tokenFile }));
    assert.equal(lines.at(-2), `token file ${tokenFile} cannot be used: ${reason}`);
    assert.match(
      lines.at(-1) ?? "",
      /^no token to dial with \(ERR_AGENT_TOKEN_FILE\); next attempt/,
    );
  }
});
