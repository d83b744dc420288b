import assert from "node:assert/strict";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { TestContext } from "node:test";
import { parseToken } from "../../../../src/core/token.ts";
import { type ApiRelay, startApiRelay } from "../../../support/api/start-api-relay.ts";
import {
  exchange,
  type Issued,
  madeCode,
  madeDevice,
  type Rig,
  startRig,
} from "../../../support/api-devices/rig.ts";
import { type DatabaseCase, onEachDatabase } from "../../../support/api-store/each-database.ts";
import type { DeviceBehaviour, WsDevice } from "../../../support/relay/ws-device.ts";
import { until } from "../../../support/until.ts";

/** An API server and a relay that is told of changes, as it is by the real ones. */
interface Both {
  readonly rig: Rig;
  readonly relay: ApiRelay;
  /** Connects a device by the token that it was given. */
  connect(
    device: { device_id: string; token: string },
    behaviour?: DeviceBehaviour,
  ): Promise<WsDevice>;
  /** How often the relay was asked by the API server since the last time. */
  calls(): number;
}

interface DeviceJson {
  readonly id: string;
  readonly connected: boolean | null;
  readonly connected_at: string | null;
  readonly address: string | null;
}

async function startBoth(
  on: DatabaseCase,
  t: TestContext,
  devices: object = { liveKeptMs: 0 },
): Promise<Both> {
  const relay = await startApiRelay(t);
  const rig = await startRig(on, t, { relay: relay.client, devices });
  let seen = 0;
  return {
    rig,
    relay,
    async connect({ device_id, token: text }, behaviour = {}) {
      const token = parseToken(text);
      assert.ok(token.ok);
      const answer = { ok: true, device_id, user_id: rig.ann.id, tenant_id: "t1" } as const;
      relay.api.tokens.set(token.ref, { digest: token.secretDigest, answer });
      relay.api.devices.set(device_id, "t1");
      const device = { deviceId: device_id, token: { ...token, text } };
      return await relay.connect(device, behaviour);
    },
    calls() {
      const all = relay.logText().split('"msg":"relay call"').length - 1;
      const since = all - seen;
      seen = all;
      return since;
    },
  };
}

async function connectedOf({ rig }: Both, query = ""): Promise<Map<string, boolean | null>> {
  const { devices } = await rig.json<{ devices: DeviceJson[] }>(200, `GET /api/devices${query}`);
  return new Map(devices.map(({ id, connected }) => [id, connected]));
}

onEachDatabase(
  "live: a paired device that connects is shown with since when and from where",
  async (on, t) => {
    const both = await startBoth(on, t);
    const { rig } = both;
    const paired = JSON.parse((await exchange(rig, (await madeCode(rig)).code)).text);
    const other = await madeDevice(rig);
    const tunnel = await both.connect(paired);
    assert.deepEqual(
      await connectedOf(both),
      new Map(
        [
          [paired.device_id, true],
          [other.device_id, false],
        ].sort() as [string, boolean][],
      ),
    );
    const shown = await rig.json<DeviceJson>(200, `GET /api/devices/${paired.device_id}`);
    assert.equal(shown.connected, true);
    assert.equal(shown.address, "127.0.0.1");
    assert.ok(Math.abs(Date.parse(shown.connected_at ?? "") - Date.now()) < 60_000);
    assert.deepEqual([...(await connectedOf(both, "?connected=true")).keys()], [paired.device_id]);
    assert.deepEqual([...(await connectedOf(both, "?connected=false")).keys()], [other.device_id]);
    tunnel.close();
    await tunnel.closed;
    await until(() => both.relay.relay.liveTokens().length === 0, "the relay sees it gone");
    assert.deepEqual([...(await connectedOf(both)).values()], [false, false]);
  },
);

onEachDatabase("live: disconnecting closes the tunnel, and the token stays good", async (on, t) => {
  const both = await startBoth(on, t);
  const { rig } = both;
  const device = await madeDevice(rig);
  const path = `POST /api/devices/${device.device_id}/disconnect`;
  assert.deepEqual(await rig.json(200, path), { disconnected: false });
  const tunnel = await both.connect(device);
  assert.deepEqual(await rig.json(200, path), { disconnected: true });
  assert.equal(await tunnel.closed, 4410);
  assert.deepEqual(
    rig.events("device_disconnected").map(({ objectId }) => objectId),
    [device.device_id],
  );
  const again = await both.connect(device);
  assert.deepEqual(await rig.json(200, path, { body: { drain_s: 5 } }), { disconnected: true });
  await again.goneAway;
  const wrong = await rig.ask(path, { body: { drain_s: 301 } });
  assert.equal(wrong.status, 400);
});

for (const [name, cut] of [
  ["deleting a device", (id: string) => `DELETE /api/devices/${id}`],
  ["revoking its tokens", (id: string) => `POST /api/devices/${id}/token:revoke`],
  ["revoking and rotating", (id: string) => `POST /api/devices/${id}/token:revoke-and-rotate`],
  [
    "revoking the one token",
    (id: string, ref: string) => `DELETE /api/devices/${id}/tokens/${ref}`,
  ],
] as const) {
  onEachDatabase(
    `live: ${name} closes the tunnel within two seconds, and what runs through it`,
    async (on, t) => {
      const both = await startBoth(on, t);
      const { rig, relay } = both;
      const device = await madeDevice(rig);
      const http = (_request: IncomingMessage, response: ServerResponse): void => {
        // An answer that never ends.
        response.writeHead(200).write("begun");
      };
      const tunnel = await both.connect(device, { http });
      const key = relay.api.addKey();
      const running = relay.edge(device.device_id, key.text);
      const broken = assert.rejects(running);
      await tunnel.opened();
      const start = performance.now();
      const answer = await rig.ask(cut(device.device_id, device.token_ref));
      assert.ok(answer.status === 200 || answer.status === 204, answer.text);
      assert.equal(await tunnel.closed, 4403);
      await broken;
      assert.ok(performance.now() - start < 2_000);
    },
  );
}

onEachDatabase("live: rotating leaves the tunnel as it is", async (on, t) => {
  const both = await startBoth(on, t);
  const { rig } = both;
  const device = await madeDevice(rig);
  const tunnel = await both.connect(device);
  const path = `/api/devices/${device.device_id}`;
  await rig.json<Issued>(200, `POST ${path}/token:rotate`);
  await rig.json<Issued>(200, "POST /api/device/token:rotate", { as: device.token });
  assert.deepEqual(rig.announced, []);
  assert.equal((await rig.json<DeviceJson>(200, `GET ${path}`)).connected, true);
  tunnel.close();
});

onEachDatabase(
  "live: a page of devices costs one call of the relay, and none while it is fresh",
  async (on, t) => {
    const both = await startBoth(on, t, { liveKeptMs: 1_000 });
    const { rig } = both;
    const devices: Issued[] = [];
    for (let count = 0; count < 40; count++) devices.push(await madeDevice(rig));
    const [first] = devices;
    assert.ok(first !== undefined);
    await both.connect(first);
    both.calls();
    const listed = await connectedOf(both);
    assert.equal(listed.size, 40);
    assert.equal(listed.get(first.device_id), true);
    assert.equal(both.calls(), 1);
    await connectedOf(both);
    assert.equal(both.calls(), 0);
    on.clock.advance(1_000);
    await Promise.all([1, 2, 3, 4].map(() => connectedOf(both)));
    assert.equal(both.calls(), 1);
    // What was cut by us is shown at once.
    await rig.json(200, `POST /api/devices/${first.device_id}/disconnect`);
    assert.equal((await connectedOf(both)).get(first.device_id), false);
  },
);

onEachDatabase(
  "live: a filter by connection reads on where few devices fit, and ends",
  async (on, t) => {
    const both = await startBoth(on, t);
    const { rig } = both;
    const devices: Issued[] = [];
    for (let count = 0; count < 12; count++) devices.push(await madeDevice(rig));
    const live = devices.filter((_, index) => index % 4 === 0);
    for (const device of live) await both.connect(device);
    const walk = async (connected: boolean): Promise<string[]> => {
      const ids: string[] = [];
      for (let cursor = ""; ; ) {
        const page = await rig.json<{ devices: DeviceJson[]; next?: string }>(
          200,
          `GET /api/devices?limit=2&connected=${connected}${cursor}`,
        );
        assert.ok(page.devices.length <= 2);
        ids.push(...page.devices.map(({ id }) => id));
        if (page.next === undefined) return ids;
        cursor = `&cursor=${page.next}`;
      }
    };
    const liveIds = live.map(({ device_id }) => device_id);
    assert.deepEqual(await walk(true), [...liveIds].sort());
    const rest = devices.map(({ device_id }) => device_id).filter((id) => !liveIds.includes(id));
    assert.deepEqual(await walk(false), rest.sort());
  },
);
