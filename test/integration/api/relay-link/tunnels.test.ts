import assert from "node:assert/strict";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { test } from "node:test";
import { connect } from "../../../../src/agent/index.ts";
import {
  deleteDevice,
  getDevice,
  listDeviceTokens,
  noteTunnels,
  queryAuditEvents,
  revokeDeviceTokens,
  rotateDeviceToken,
  type Store,
  TUNNEL_NOTES_MAX,
  type TunnelNote,
} from "../../../../src/api/store/index.ts";
import { mintDeviceId, mintToken } from "../../../../src/core/token.ts";
import { TUNNEL_EVENTS_MAX, type TunnelEvent } from "../../../../src/core/tunnel-reports.ts";
import { hawserVersion } from "../../../../src/core/version.ts";
import { onEachDatabase } from "../../../support/api-store/each-database.ts";
import {
  activeDevice,
  MINUTE_MS,
  pairedDevice,
  person,
  START_MS,
  TENANT,
} from "../../../support/api-store/people.ts";
import { ask, SECRET, temporaryFolder } from "../../../support/relay/start-relay.ts";
import { type Rig, startRig } from "../../../support/relay-link/rig.ts";
import { until } from "../../../support/until.ts";

function opened(ref: string, at: number, more: Partial<TunnelNote> = {}): TunnelNote {
  const remoteAddr = "198.51.100.7:0";
  const note = { kind: "opened", ref, at, remoteAddr, agentVersion: "1.0.0", replaced: false };
  return { ...note, ...more } as TunnelNote;
}

function closed(ref: string, at: number, reason: string, displaced = false): TunnelNote {
  return { kind: "closed", ref, at, reason, displaced };
}

async function audited(store: Store): Promise<string[]> {
  const { events } = await queryAuditEvents(store, TENANT, { limit: 100 });
  return events.map(({ event }) => event).filter((event) => !event.startsWith("pairing"));
}

onEachDatabase(
  "tunnels: a device that comes up is active, from where and with which agent",
  async (on) => {
    const store = await on.open();
    const ann = await person(store, "ann");
    const [first, second] = [await pairedDevice(store, ann), await pairedDevice(store, ann)];
    on.clock.advance(5_000);
    const noted = await noteTunnels(store, [
      opened(first.token.ref, START_MS + 1_000),
      opened(second.token.ref, START_MS + 2_000, {
        remoteAddr: "[2001:db8::1]:0",
        agentVersion: null,
      }),
    ]);
    assert.deepEqual([noted.endedRefs, noted.refusedRefs], [[], []]);
    const device = await getDevice(store, TENANT, first.id);
    assert.equal(device?.state, "active");
    assert.equal(device?.activateBy, null);
    assert.equal(device?.firstConnectedAt, START_MS + 1_000);
    assert.equal(device?.lastSeenAt, START_MS + 1_000);
    assert.equal(device?.lastRemoteAddr, "198.51.100.7:0");
    assert.equal(device?.agentVersion, "1.0.0");
    assert.equal((await getDevice(store, TENANT, second.id))?.agentVersion, null);
    const [token] = (await listDeviceTokens(store, TENANT, first.id)) ?? [];
    assert.equal(token?.lastUsedAt, store.now());
    const { events } = await queryAuditEvents(store, TENANT, { limit: 2 });
    assert.deepEqual(
      events.map(({ event, actor, objectId, ip, detail }) => ({
        event,
        actor,
        objectId,
        ip,
        detail,
      })),
      [second, first].map(({ id, token }) => ({
        event: "tunnel_connected",
        actor: token.ref,
        objectId: id,
        ip: id === first.id ? "198.51.100.7" : "2001:db8::1",
        detail: { agent_version: id === first.id ? "1.0.0" : null },
      })),
    );
  },
);

onEachDatabase(
  "tunnels: a first use ends the older tokens of the device, and of no other",
  async (on) => {
    const store = await on.open();
    const ann = await person(store, "ann");
    const [device, bystander] = [await activeDevice(store, ann), await activeDevice(store, ann)];
    const newer = mintToken("device");
    await rotateDeviceToken(store, TENANT, device.id, newer, { expiresAt: null });
    await rotateDeviceToken(store, TENANT, bystander.id, mintToken("device"), { expiresAt: null });
    assert.deepEqual(
      (await noteTunnels(store, [opened(bystander.token.ref, store.now())])).endedRefs,
      [],
    );
    const noted = await noteTunnels(store, [opened(newer.ref, store.now())]);
    assert.deepEqual(noted.endedRefs, [device.token.ref]);
    const late = await noteTunnels(store, [opened(device.token.ref, store.now())]);
    assert.deepEqual(late.refusedRefs, [device.token.ref]);
    assert.equal((await listDeviceTokens(store, TENANT, bystander.id))?.length, 2);
  },
);

onEachDatabase(
  "tunnels: why and when one closed is kept; a displaced one says nothing of its device",
  async (on) => {
    const store = await on.open();
    const { id, token } = await activeDevice(store, await person(store, "ann"));
    on.clock.advance(MINUTE_MS);
    await noteTunnels(store, [
      closed(token.ref, START_MS + 10_000, "ERR_MUX_KEEPALIVE"),
      closed(token.ref, START_MS + 20_000, "displaced", true),
    ]);
    const device = await getDevice(store, TENANT, id);
    assert.equal(device?.lastCloseReason, "ERR_MUX_KEEPALIVE");
    assert.equal(device?.lastSeenAt, START_MS + 10_000);
    // Reports that come late, and clocks that are ahead, move nothing the wrong way.
    await noteTunnels(store, [closed(token.ref, START_MS, "late")]);
    assert.equal((await getDevice(store, TENANT, id))?.lastSeenAt, START_MS + 10_000);
    await noteTunnels(store, [closed(token.ref, START_MS + 10 * MINUTE_MS, "ahead")]);
    assert.equal((await getDevice(store, TENANT, id))?.lastSeenAt, store.now());
  },
);

onEachDatabase(
  "tunnels: a device that came up in time is in time, however late the report",
  async (on) => {
    const store = await on.open();
    const ann = await person(store, "ann");
    const [inTime, late] = [await pairedDevice(store, ann), await pairedDevice(store, ann)];
    on.clock.advance(20 * MINUTE_MS);
    const noted = await noteTunnels(store, [
      opened(inTime.token.ref, START_MS + MINUTE_MS),
      opened(late.token.ref, store.now()),
    ]);
    assert.deepEqual(noted.refusedRefs, [late.token.ref]);
    assert.equal((await getDevice(store, TENANT, inTime.id))?.state, "active");
    assert.equal((await getDevice(store, TENANT, late.id))?.state, "pending");
  },
);

onEachDatabase(
  "tunnels: a device whose token was revoked before the report of its first tunnel has connected",
  async (on) => {
    const store = await on.open();
    const ann = await person(store, "ann");
    const [first, never] = [await pairedDevice(store, ann), await pairedDevice(store, ann)];
    on.clock.advance(1_000);
    for (const { id } of [first, never]) await revokeDeviceTokens(store, TENANT, id);
    on.clock.advance(1_000);
    const noted = await noteTunnels(store, [
      opened(first.token.ref, START_MS + 500),
      closed(first.token.ref, START_MS + 1_000, "revoked"),
      // Let in by a relay that did not know yet.
      opened(never.token.ref, START_MS + 1_500),
    ]);
    assert.deepEqual(noted.refusedRefs, [first.token.ref, never.token.ref]);
    const device = await getDevice(store, TENANT, first.id);
    assert.deepEqual([device?.state, device?.firstConnectedAt], ["active", START_MS + 500]);
    assert.deepEqual([device?.agentVersion, device?.lastCloseReason], ["1.0.0", "revoked"]);
    assert.equal((await getDevice(store, TENANT, never.id))?.state, "pending");
    const told = noted.events.map(({ event, objectId }) => [event, objectId]);
    assert.deepEqual(told, [
      ["tunnel_connected", first.id],
      ["tunnel_closed", first.id],
    ]);
  },
);

onEachDatabase(
  "tunnels: a relay whose clock is ahead makes no device late, and no time stands in the future",
  async (on) => {
    const store = await on.open();
    const { id, token } = await pairedDevice(store, await person(store, "ann"));
    const hourAhead = store.now() + 60 * MINUTE_MS;
    const noted = await noteTunnels(store, [opened(token.ref, hourAhead)]);
    assert.deepEqual(noted.refusedRefs, []);
    assert.equal((await getDevice(store, TENANT, id))?.firstConnectedAt, START_MS);
    // Our own clock was a year ahead, and is right again.
    await store.query
      .updateTable("devices")
      .set({ lastSeenAt: START_MS * 2 })
      .execute();
    on.clock.advance(1_000);
    await noteTunnels(store, [closed(token.ref, START_MS + 500, "gone")]);
    assert.equal((await getDevice(store, TENANT, id))?.lastSeenAt, START_MS + 1_000);
  },
);

onEachDatabase(
  "tunnels: while a device is up nothing closed it; the last word of a batch counts",
  async (on) => {
    const store = await on.open();
    const { id, token } = await activeDevice(store, await person(store, "ann"));
    const { ref } = token;
    const at = store.now();
    const reasonAfter = async (...notes: TunnelNote[]) => {
      await noteTunnels(store, notes);
      return (await getDevice(store, TENANT, id))?.lastCloseReason;
    };
    assert.equal(await reasonAfter(closed(ref, at, "one")), "one");
    assert.equal(await reasonAfter({ kind: "seen", ref, at }), "one");
    // Should its relay be killed now, nobody knows why it is gone.
    assert.equal(await reasonAfter(opened(ref, at)), null);
    assert.equal(await reasonAfter(opened(ref, at), closed(ref, at, "two")), "two");
    assert.equal(await reasonAfter(closed(ref, at, "three"), opened(ref, at)), null);
    const back = [closed(ref, at, "four"), opened(ref, at), closed(ref, at, "old", true)];
    assert.equal(await reasonAfter(...back), null);
    assert.equal(await reasonAfter(opened(ref, at), closed(ref, at, "five")), "five");
  },
);

onEachDatabase(
  "tunnels: replaced, fights, and devices that are gone are told apart in the log",
  async (on) => {
    const store = await on.open();
    const { id, token } = await activeDevice(store, await person(store, "ann"));
    const at = store.now();
    const noted = await noteTunnels(store, [
      opened(token.ref, at, { replaced: true }),
      { kind: "fight", ref: token.ref, at, replacements: 6 },
      closed(token.ref, at, "displaced", true),
      closed("vAc_00000000", at, "gone"),
      opened("vAc_00000000", at),
      { kind: "seen", ref: token.ref, at },
    ]);
    assert.deepEqual(await audited(store), [
      "tunnel_closed",
      "authn_token_reuse",
      "tunnel_replaced",
      // By which the device is active.
      "tunnel_connected",
    ]);
    assert.deepEqual(noted.refusedRefs, ["vAc_00000000"]);
    assert.deepEqual(
      noted.events.map(({ event, objectId }) => [event, objectId]),
      [
        ["tunnel_replaced", id],
        ["authn_token_reuse", id],
        ["tunnel_closed", id],
        ["tunnel_closed", null],
      ],
    );
  },
);

onEachDatabase(
  "tunnels: batches of the same devices from two processes do not stop each other",
  async (on) => {
    const [one, two] = [await on.open(), await on.open()];
    const ann = await person(one, "ann");
    const refs: string[] = [];
    for (let count = 0; count < 20; count++) refs.push((await activeDevice(one, ann)).token.ref);
    const notes = refs.map((ref) => opened(ref, one.now()));
    await Promise.all(
      Array.from({ length: 8 }, (_, round) =>
        noteTunnels(round % 2 === 0 ? one : two, round % 4 < 2 ? notes : [...notes].reverse()),
      ),
    );
    assert.equal((await audited(one)).length, 100);
  },
);

test("tunnels: a batch has its limit", async (t) => {
  const { store } = await startRig(t);
  const notes = Array.from({ length: TUNNEL_NOTES_MAX + 1 }, () => opened("vAc_00000000", 0));
  await assert.rejects(async () => noteTunnels(store, notes), { code: "ERR_ASSERTION" });
  await noteTunnels(store, notes.slice(1));
});

async function post(rig: Rig, events: readonly unknown[]) {
  return await ask(rig.apiPort, "/internal/tunnels", {
    method: "POST",
    headers: { authorization: `Bearer ${SECRET}`, "content-type": "application/json" },
    body: JSON.stringify({ events }),
  });
}

const EVENT: TunnelEvent = {
  kind: "closed",
  token: "vAc_00000000",
  device_id: mintDeviceId(),
  reason: "gone",
  displaced: false,
  at: "2026-11-22T04:10:49.432Z",
};

test("POST /internal/tunnels: a report over the limit, or with another member, is 400", async (t) => {
  const rig = await startRig(t);
  const full = new Array(TUNNEL_EVENTS_MAX).fill(EVENT);
  assert.equal((await post(rig, [...full, EVENT])).status, 400);
  for (const odd of [
    { token: "hwk_00000000" },
    { reason: "a\nb" },
    { reason: "" },
    { tenant: "t" },
  ]) {
    assert.equal((await post(rig, [{ ...EVENT, ...odd }])).status, 400);
  }
  const answer = await post(rig, full);
  assert.deepEqual([answer.status, answer.text], [200, `{"taken":${TUNNEL_EVENTS_MAX}}`]);
  await rig.store.close();
  assert.equal((await post(rig, [EVENT])).status, 503);
});

test("POST /internal/tunnels: where noting takes long, the answer is in time and says how far it came", async (t) => {
  let now = 0;
  const reportClock = {
    now: () => {
      now += 1_000;
      return now;
    },
  };
  const rig = await startRig(t, { reportClock });
  const { status, text } = await post(rig, new Array(TUNNEL_EVENTS_MAX).fill(EVENT));
  assert.deepEqual([status, text], [200, `{"taken":${TUNNEL_NOTES_MAX}}`]);
});

test("reports: the relay tells of a device that comes up, is replaced, and goes", async (t) => {
  const rig = await startRig(t);
  const { id, token } = await pairedDevice(rig.store, await person(rig.store, "ann"));
  const device = () => getDevice(rig.store, TENANT, id);
  const first = await rig.connect(t, token.text);
  const [connected] = await rig.events("tunnel_connected");
  assert.equal(connected?.actor, token.ref);
  assert.equal((await device())?.state, "active");
  assert.equal((await device())?.lastRemoteAddr, "127.0.0.1:0");
  const second = await rig.connect(t, token.text);
  await rig.events("tunnel_replaced");
  assert.equal(await first.closed, 4409);
  await rig.events("tunnel_closed");
  assert.equal((await device())?.lastCloseReason, null);
  second.close();
  await rig.events("tunnel_closed", 2);
  assert.match((await device())?.lastCloseReason ?? "", /./);
  assert.ok(!JSON.stringify(rig.audit).includes(token.text.slice(13)));
});

test("reports: our agent says its version, and a paired device is active once it has dialled in", async (t) => {
  const rig = await startRig(t);
  const { id, token } = await pairedDevice(rig.store, await person(rig.store, "ann"));
  const service = createServer((_request, response) => response.end("hello")).listen(
    0,
    "127.0.0.1",
  );
  t.after(() => service.close());
  await once(service, "listening");
  const folder = await temporaryFolder(t);
  const tokenFile = join(folder, "device.token");
  writeFileSync(tokenFile, token.text, { mode: 0o600 });
  const relay = `ws://127.0.0.1:${rig.edgePort}`;
  const agent = connect({ relay, tokenFile, server: service });
  t.after(() => agent.close({ drainMs: 0 }));
  await agent.ready();
  const [entry] = await rig.events("tunnel_connected");
  assert.deepEqual(entry?.detail, { agent_version: hawserVersion() });
  const device = await getDevice(rig.store, TENANT, id);
  assert.deepEqual([device?.state, device?.agentVersion], ["active", hawserVersion()]);
});

test("reports: a token that ended while the relay remembered it is closed by its report", async (t) => {
  const rig = await startRig(t, { reportWaitMs: 10 });
  const { id, token } = await activeDevice(rig.store, await person(rig.store, "ann"));
  const first = await rig.connect(t, token.text);
  await rig.events("tunnel_connected");
  // Nobody tells the relay of it.
  await revokeDeviceTokens(rig.store, TENANT, id);
  const second = await rig.connect(t, token.text);
  assert.equal(await second.closed, 4403);
  await first.closed;
});

test("reports: a rotated token's tunnel ends when the new token is used", async (t) => {
  const rig = await startRig(t);
  const { id, token } = await activeDevice(rig.store, await person(rig.store, "ann"));
  await rig.connect(t, token.text);
  const newer = mintToken("device");
  await rotateDeviceToken(rig.store, TENANT, id, newer, { expiresAt: null });
  await rig.connect(t, newer.text);
  await rig.events("tunnel_replaced");
  await until(() => rig.changes.size === 0, "the change to be sent");
  await assert.rejects(rig.connect(t, token.text), /refused with 401/);
});

test("reports: wait while the API server is away, and come in their order when it is back", async (t) => {
  const rig = await startRig(t);
  const ann = await person(rig.store, "ann");
  const { id, token } = await activeDevice(rig.store, ann);
  const tunnel = await rig.connect(t, token.text);
  await rig.events("tunnel_connected");
  // A report whose answer is lost is told twice.
  await until(() => rig.reports.size === 0, "the report to be taken");
  await rig.stopApi();
  tunnel.close();
  await tunnel.closed;
  await until(() => rig.reports.size > 0, "the report to wait");
  const again = await rig.connect(t, token.text);
  await rig.startApi();
  await rig.events("tunnel_connected", 2);
  const order = rig.audit.map(({ event }) => event);
  assert.deepEqual(order, ["tunnel_connected", "tunnel_closed", "tunnel_connected"]);
  assert.equal((await getDevice(rig.store, TENANT, id))?.state, "active");
  again.close();
});

test("reports: an agent that is killed, and a relay that is, leave what is known and no more", async (t) => {
  const rig = await startRig(t);
  const { id, token } = await activeDevice(rig.store, await person(rig.store, "ann"));
  const device = () => getDevice(rig.store, TENANT, id);
  const killed = await rig.connect(t, token.text);
  await rig.events("tunnel_connected");
  killed.webSocket.terminate();
  const [closing] = await rig.events("tunnel_closed");
  assert.match(String(closing?.detail?.["reason"]), /^\S/);
  const known = await device();
  assert.equal(known?.lastCloseReason, closing?.detail?.["reason"]);
  assert.equal(known?.lastRemoteAddr, "127.0.0.1:0");
  await rig.connect(t, token.text);
  await rig.events("tunnel_connected", 2);
  await rig.killRelay();
  assert.equal((await device())?.lastCloseReason, null);
});

test("reports: a relay that stops tells of all its tunnels before it is gone", async (t) => {
  const rig = await startRig(t, { reportWaitMs: 60_000 });
  const ann = await person(rig.store, "ann");
  const devices = [await activeDevice(rig.store, ann), await activeDevice(rig.store, ann)];
  for (const { token } of devices) await rig.connect(t, token.text);
  await rig.stopRelay();
  assert.equal((await rig.events("tunnel_closed", 2)).length, 2);
  const device = await getDevice(rig.store, TENANT, devices[0]?.id ?? "");
  assert.equal(device?.lastCloseReason, "relay stops");
});

test("reports: connections that fight over one token show in the audit log", async (t) => {
  const rig = await startRig(t);
  const { id, token } = await activeDevice(rig.store, await person(rig.store, "ann"));
  for (let count = 0; count < 7; count++) await rig.connect(t, token.text);
  const [fight] = await rig.events("authn_token_reuse");
  assert.deepEqual([fight?.objectId, fight?.detail], [id, { replacements: 6 }]);
});

test("reports: of a device that was deleted meanwhile are taken", async (t) => {
  const rig = await startRig(t);
  const { id, token } = await activeDevice(rig.store, await person(rig.store, "ann"));
  const tunnel = await rig.connect(t, token.text);
  await rig.events("tunnel_connected");
  const removed = await deleteDevice(rig.store, TENANT, id);
  await rig.changes.announce({ revoked: removed?.tokenRefs ?? [], devices: [id] });
  assert.equal(await tunnel.closed, 4403);
  const [entry] = await rig.events("tunnel_closed");
  assert.deepEqual([entry?.tenant, entry?.objectId], [null, null]);
});
