import assert from "node:assert/strict";
import { test } from "node:test";
import { pino } from "pino";
import { type Agent, connect } from "../../../src/agent/index.ts";
import { mintDeviceId, mintToken } from "../../../src/core/token.ts";
import { RELAY_DEFAULTS, startRelay } from "../../../src/relay/index.ts";
import { CutProxy } from "../../support/cuts/cut-proxy.ts";
import { CutService } from "../../support/cuts/cut-service.ts";
import { type Cut, digest, HEAD_BYTES, makePlans, type Plan } from "../../support/cuts/plan.ts";
import { type Outcome, RawClient } from "../../support/cuts/raw-client.ts";

const REQUESTS = 1_000;
const CONNECTIONS = 50;
const DEVICES = 25;
const OUTCOME_MIN = 20;

interface Device {
  readonly id: string;
  readonly proxy: CutProxy;
  readonly service: CutService;
  readonly agent: Agent;
}

test("1,000 requests with cuts of client, device and tunnel", { timeout: 300_000 }, async (t) => {
  const seed = Number(process.env["HAWSER_SEED"] ?? Date.now() % 2 ** 31);
  t.diagnostic(`seed ${seed}`);
  const plans = makePlans(seed, REQUESTS, DEVICES);
  assertSpread(plans);

  const tokens = Array.from({ length: DEVICES }, () => ({
    id: mintDeviceId(),
    token: mintToken("device"),
  }));
  const byToken = new Map(tokens.map(({ id, token }) => [token.text, { id, ref: token.ref }]));
  const key = mintToken("key");
  const relay = await startRelay(
    {
      ...RELAY_DEFAULTS,
      listenHost: "127.0.0.1",
      listenPort: 0,
      internalPort: 0,
      internalSecret: "a-secret-of-the-cuts-test-only-0123456789",
      handshakesPerSecondMax: 10_000,
    },
    {
      logger: pino(
        { level: process.env["CUTS_LOG"] ?? "silent" },
        pino.destination("/tmp/cuts-relay.log"),
      ),
      tunnelGate: {
        authenticateDevice: (token) => {
          const known = byToken.get(token);
          return known === undefined
            ? { ok: false, status: 401, code: "ERR_RELAY_UNAUTHORIZED", retryAfter: 0 }
            : { ok: true, value: { deviceId: known.id, tokenRef: known.ref, userId: "u" } };
        },
        knowsDevice: (id) => tokens.some((entry) => entry.id === id),
      },
      callerGate: {
        authenticateCaller: (text) =>
          text === key.text
            ? { ok: true, value: { keyId: key.ref, userId: "u", limit: null, allows: () => true } }
            : { ok: false, status: 401, code: "ERR_RELAY_UNAUTHORIZED", retryAfter: 0 },
      },
    },
  );
  const devices: Device[] = [];
  for (const { id, token } of tokens) {
    const service = await CutService.start(plans);
    const proxy = await CutProxy.start(relay.port);
    const agent = connect({
      relay: `ws://127.0.0.1:${proxy.port}`,
      token: token.text,
      to: `http://127.0.0.1:${service.port}`,
      backoffBaseMs: 10,
      backoffCapMs: 50,
      stableMs: 0,
    });
    devices.push({ id, proxy, service, agent });
  }
  t.after(async () => {
    for (const { agent, proxy, service } of devices) {
      await agent.close({ drainMs: 0 });
      await proxy.close();
      await service.close();
    }
    await relay.close();
  });
  await Promise.all(devices.map(({ agent }) => agent.ready()));

  const outcomes = await runAll(plans, devices, relay.port, key.text);
  const seen = tally(plans, outcomes);
  t.diagnostic(JSON.stringify(Object.fromEntries(seen)));
  for (const kind of ["complete", "failed", "broken", "left"]) {
    const count = seen.get(kind) ?? 0;
    assert.ok(count >= OUTCOME_MIN, `${kind} seen ${count} times, seed ${seed}`);
  }
  const tunnelCuts = devices.reduce((sum, { proxy }) => sum + proxy.cuts, 0);
  assert.ok(tunnelCuts >= OUTCOME_MIN, `tunnels cut: ${tunnelCuts}`);

  await relay.whenIdle();
  await Promise.all(devices.map(({ agent }) => agent.ready()));
  // One more exchange over each device: nothing is stuck.
  const client = new RawClient(relay.port);
  for (const [device, { id }] of devices.entries()) {
    const base = plans[0];
    assert.ok(base !== undefined);
    const plan: Plan = { ...base, device, cut: { kind: "none" } };
    const outcome = await client.exchange(plan, `/d/${id}/last`, key.text);
    assert.notEqual(outcome.kind, "left");
  }
  client.close();
  await relay.whenIdle();
  const left = relay.inspect();
  assert.equal(left.running, 0);
  assert.equal(left.holding, 0);
  assert.equal(left.tunnels, DEVICES);
  assert.equal(left.receivedBytes, 0, "received bytes are still accounted for");
  assert.equal(left.batchBuffersOut, 0, "batch buffers are still out");
  assert.ok(left.streams <= DEVICES * 16, `streams left: ${left.streams}`);
});

/** At least 30 % of the cuts are in mid-body, in each direction. */
function assertSpread(plans: readonly Plan[]): void {
  const cuts = plans
    .map(({ cut }) => cut)
    .filter((cut): cut is Exclude<Cut, { kind: "none" }> => cut.kind !== "none");
  const inBody = cuts.filter(({ at }) => at > HEAD_BYTES);
  const up = inBody.filter(({ kind }) => kind.endsWith("-request")).length / cuts.length;
  const down = inBody.filter(({ kind }) => kind.endsWith("-response")).length / cuts.length;
  assert.ok(up >= 0.3, `mid-body of requests: ${up}`);
  assert.ok(down >= 0.3, `mid-body of responses: ${down}`);
}

async function runAll(
  plans: readonly Plan[],
  devices: readonly Device[],
  port: number,
  key: string,
): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    const client = new RawClient(port);
    for (let plan = plans[next++]; plan !== undefined; plan = plans[next++]) {
      const device = devices[plan.device];
      assert.ok(device !== undefined);
      // The proxy's target is the relay: bytes towards the device come from it.
      if (plan.cut.kind === "tunnel-request") device.proxy.cutFromTarget(plan.cut.at);
      if (plan.cut.kind === "tunnel-response") device.proxy.cutToTarget(plan.cut.at);
      outcomes[plan.id] = await client.exchange(plan, `/d/${device.id}/cut`, key);
    }
    client.close();
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, worker));
  return outcomes;
}

/** Counts the outcomes; a complete answer must be the right one, a failed one must say so in problem JSON. */
function tally(plans: readonly Plan[], outcomes: readonly Outcome[]): Map<string, number> {
  const seen = new Map<string, number>();
  for (const plan of plans) {
    const outcome = outcomes[plan.id];
    assert.ok(outcome !== undefined, `exchange ${plan.id} has no outcome`);
    seen.set(outcome.kind, (seen.get(outcome.kind) ?? 0) + 1);
    if (outcome.kind === "complete") {
      assert.equal(outcome.digest, digest(plan.request), `request ${plan.id} arrived altered`);
      assert.ok(outcome.body.equals(plan.response), `response ${plan.id} arrived altered`);
    }
    if (outcome.kind === "failed") {
      const shown = outcome.body.toString("latin1", 0, 200);
      assert.ok([502, 503, 504].includes(outcome.status), `status ${outcome.status}: ${shown}`);
      const problem: { code?: string; stage?: string } = JSON.parse(outcome.body.toString());
      assert.match(problem.code ?? "", /^ERR_/);
      seen.set(problem.code ?? "", (seen.get(problem.code ?? "") ?? 0) + 1);
      assert.ok(problem.stage !== undefined);
    }
  }
  return seen;
}
