import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { pino } from "pino";
import { Client } from "undici";
import { type MintedToken, mintDeviceId, mintToken } from "../../../src/core/token.ts";
import {
  ApiGate,
  RELAY_DEFAULTS,
  type Relay,
  type RelayDeps,
  startRelay,
  TunnelReports,
} from "../../../src/relay/index.ts";
import { heapUsedBytes } from "../../support/mux/heap.ts";
import {
  answerFirstStream,
  cutRawTunnels,
  openRawTunnels,
} from "../../support/relay/raw-tunnels.ts";
import { SECRET } from "../../support/relay/start-relay.ts";
import { startScriptedApi } from "../../support/scripted-api.ts";
import { until } from "../../support/until.ts";

/** Fleets that come and go on one relay: what stays of each tunnel on its heap. */

/** Of each tunnel, at most; one that were kept would be 800 bytes and more. */
const KEPT_BYTES_MAX = 200;
/** Code is compiled and tables grow meanwhile, which ends: a leak does not, and shows in each of so many blocks. */
const BLOCKS_MAX = 5;

/** Whoever presents a token is a device that was never there before. */
const ANY_DEVICE = {
  authenticateDevice: (token: string) => {
    const tokenRef = token.slice(0, 12);
    return { ok: true, value: { deviceId: mintDeviceId(), tokenRef, userId: "u1" } } as const;
  },
  knowsDevice: () => false,
};

const KEY = mintToken("key");
const ANY_CALLER = {
  authenticateCaller: () => {
    const caller = { keyId: KEY.ref, userId: "u1", limit: null, allows: () => true };
    return { ok: true, value: caller } as const;
  },
};

/** A relay whose log goes nowhere but is written. */
async function startQuietRelay(t: TestContext, deps: Partial<RelayDeps> = {}): Promise<Relay> {
  const addresses = { listenHost: "127.0.0.1", listenPort: 0, internalPort: 0 };
  const relay = await startRelay(
    { ...RELAY_DEFAULTS, ...addresses, internalSecret: SECRET },
    {
      tunnelGate: ANY_DEVICE,
      callerGate: ANY_CALLER,
      logger: pino({ level: "info" }, { write: () => {} }),
      ...deps,
    },
  );
  t.after(() => relay.close());
  return relay;
}

function mintTokens(count: number): string[] {
  return Array.from({ length: count }, (): MintedToken => mintToken("device")).map(
    ({ text }) => text,
  );
}

/** Lets fleets come and go, and looks what is left of each tunnel on the heap: after the block that left least. */
async function assertNothingStays(
  devices: number,
  fleets: number,
  come: () => Promise<void>,
): Promise<void> {
  const kept: number[] = [];
  await come();
  for (let before = heapUsedBytes(); kept.length < BLOCKS_MAX; before = heapUsedBytes()) {
    for (let fleet = 0; fleet < fleets; fleet++) await come();
    kept.push((heapUsedBytes() - before) / (fleets * devices));
    if ((kept.at(-1) ?? 0) < KEPT_BYTES_MAX) return;
  }
  assert.fail(`bytes kept of each tunnel, in one block after the other: ${kept.join(", ")}`);
}

async function noneIsLeft(relay: Relay): Promise<void> {
  await until(() => relay.inspect().tunnels === 0, "the end of the last tunnel");
}

test("devices that were never there before come and go: nothing of them stays", async (t) => {
  const relay = await startQuietRelay(t);
  const devices = 500;
  await assertNothingStays(devices, 2, async () => {
    await cutRawTunnels(await openRawTunnels(relay.port, mintTokens(devices)));
    await noneIsLeft(relay);
  });
});

test("devices that displace their own tunnels leave nothing behind", async (t) => {
  const identities = new Map<string, string>();
  const relay = await startQuietRelay(t, {
    tunnelGate: {
      ...ANY_DEVICE,
      authenticateDevice: (token: string) => {
        const tokenRef = token.slice(0, 12);
        const deviceId = identities.get(tokenRef) ?? "";
        return { ok: true, value: { deviceId, tokenRef, userId: "u1" } };
      },
    },
  });
  const devices = 250;
  await assertNothingStays(4 * devices, 1, async () => {
    identities.clear();
    const tokens = mintTokens(devices);
    for (const token of tokens) identities.set(token.slice(0, 12), mintDeviceId());
    const sockets = [];
    for (let times = 0; times < 4; times++) sockets.push(await openRawTunnels(relay.port, tokens));
    await cutRawTunnels(sockets.flat());
    await noneIsLeft(relay);
  });
});

test("tunnels that have each carried a request leave nothing behind", async (t) => {
  const ids: string[] = [];
  const relay = await startQuietRelay(t, {
    tunnelGate: {
      ...ANY_DEVICE,
      authenticateDevice: (token: string) => {
        const verdict = ANY_DEVICE.authenticateDevice(token);
        ids.push(verdict.value.deviceId);
        return verdict;
      },
    },
  });
  const client = new Client(`http://127.0.0.1:${relay.port}`);
  t.after(() => client.destroy());
  const headers = { authorization: `Bearer ${KEY.text}` };
  const devices = 500;
  await assertNothingStays(devices, 2, async () => {
    ids.length = 0;
    const sockets = await openRawTunnels(relay.port, mintTokens(devices), answerFirstStream);
    for (const id of ids) {
      const answer = await client.request({ path: `/d/${id}/`, method: "GET", headers });
      assert.equal(await answer.body.text(), "x");
    }
    assert.equal(relay.inspect().streams, devices);
    await cutRawTunnels(sockets);
    await noneIsLeft(relay);
  });
});

test("a relay that asks an API server keeps what it may remember of devices, and no more", async (t) => {
  const api = await startScriptedApi(t, ({ target, body }) => {
    const asked = body as { tokens?: unknown[]; events?: unknown[] };
    if (target === "/internal/tunnels") return { body: { taken: asked.events?.length ?? 0 } };
    const tokens = (asked.tokens ?? []).map(() => {
      return { ok: true, device_id: mintDeviceId(), user_id: "u1", tenant_id: "t1" };
    });
    return { body: { tokens, keys: [], devices: [], revoked: [] } };
  });
  const options = { api: { origin: api.url, prefix: "" }, secret: SECRET };
  const logger = pino({ level: "silent" });
  const gate = new ApiGate({ ...options, knownTokensMax: 100, knownDevicesMax: 100 }, logger);
  const reports = new TunnelReports({ ...options, timeoutMs: 5_000, ca: null, logger, waitMs: 1 });
  const relay = await startQuietRelay(t, { tunnelGate: gate, tunnelListener: reports });
  t.after(() => gate.close());
  t.after(() => reports.close());
  gate.start(() => relay.liveTokens());
  // As many as one call has room for: it leaves at once.
  const devices = 500;
  await assertNothingStays(devices, 2, async () => {
    await cutRawTunnels(await openRawTunnels(relay.port, mintTokens(devices)));
    await noneIsLeft(relay);
    await until(() => reports.size === 0 && gate.inspect().waiting === 0, "the last report");
    api.asked.length = 0;
  });
  assert.deepEqual([gate.inspect().tokens, gate.inspect().devices], [100, 100]);
});
