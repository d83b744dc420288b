import assert from "node:assert/strict";
import { once } from "node:events";
import { request } from "node:http";
import { test } from "node:test";
import {
  disableMachineClient,
  disableTenant,
  disableUser,
  endLoginSessionByKey,
  findEndedPrincipals,
  registerMachineClient,
  revokeApiKey,
} from "../../../../src/api/store/index.ts";
import { ManualTimers } from "../../../support/api/manual-timers.ts";
import { onEachDatabase } from "../../../support/api-store/each-database.ts";
import {
  ABSOLUTE_MS,
  digestOf,
  MINUTE_MS,
  person,
  session,
  TENANT,
} from "../../../support/api-store/people.ts";
import {
  COOKIE,
  type ForwardRig,
  principalOf,
  startForwardRig,
} from "../../../support/forward/api-rig.ts";
import { apiKey } from "../../../support/relay-link/people.ts";

onEachDatabase(
  "running principals: those that ended, expired or are disabled are found",
  async (on) => {
    const store = await on.open();
    const [ann, bob] = [await person(store, "ann"), await person(store, "bob")];
    await session(store, ann, "one");
    await session(store, ann, "two");
    await session(store, bob, "three");
    const sessions = ["one", "two", "three", "unknown"].map(digestOf);
    const [first, second, third] = [
      await apiKey(store, ann, { expiresAt: store.now() + 2 * ABSOLUTE_MS }),
      await apiKey(store, ann, { expiresAt: store.now() + MINUTE_MS }),
      await apiKey(store, bob),
    ];
    const keys = [first.ref, second.ref, third.ref, "hwk_00000000"];
    const ended = async () => [...(await findEndedPrincipals(store, { sessions, keys }))].sort();
    const unknown = [digestOf("unknown"), "hwk_00000000"];
    assert.deepEqual(await ended(), [...unknown].sort());
    await endLoginSessionByKey(store, digestOf("two"));
    on.clock.advance(MINUTE_MS);
    const later = [...unknown, digestOf("two"), second.ref];
    assert.deepEqual(await ended(), [...later].sort());
    await disableUser(store, TENANT, bob.id);
    const disabled = [...later, digestOf("three"), third.ref];
    assert.deepEqual(await ended(), [...disabled].sort());
    on.clock.advance(ABSOLUTE_MS);
    assert.deepEqual(await ended(), [...disabled, digestOf("one")].sort());
    assert.equal((await findEndedPrincipals(store, { sessions: [], keys: [] })).size, 0);
  },
);

/** A request that goes on until it is cut. */
async function begun({ api, root }: ForwardRig, headers: Record<string, string>) {
  const options = { host: "127.0.0.1", port: api.port, path: `${root}/`, headers };
  const call = request({ ...options, agent: false }).end();
  call.on("error", () => {});
  const [response] = await once(call, "response");
  response.on("error", () => {}).resume();
  const isOver = new Promise<void>((resolve) => response.on("close", resolve));
  return { response, isOver };
}

test("streams: what another process ended is cut by the check once a minute, and what is good goes on", async (t) => {
  const timers = new ManualTimers();
  const rig = await startForwardRig(t, (_request, response) => void response.write("begun"), {
    timers,
  });
  const { store } = rig.rig;
  await session(store, rig.ann, "cookie-of-ann");
  const key = digestOf("cookie-of-ann");
  const facts = { publicId: "p", authTimeMs: 0, createdAtMs: 0, idleExpiresAtMs: 0 };
  const own = { session: { key, ...facts, absoluteExpiresAtMs: 0 } };
  rig.callers.set("cookie-of-ann", principalOf(rig.ann, "session", own));
  const real = await apiKey(store, rig.ann);
  rig.callers.set("real", principalOf(rig.ann, "key", { ref: real.ref }));
  const begin = (headers: Record<string, string>) => begun(rig, headers);
  const byCookie = await begin({ cookie: COOKIE });
  const byKey = await begin({ authorization: "Bearer real" });
  await endLoginSessionByKey(store, key);
  timers.fire(60_000);
  await byCookie.isOver;
  assert.equal(byCookie.response.complete, false);
  assert.equal(rig.rig.endings.size, 1);
  await revokeApiKey(store, TENANT, real.ref);
  await timers.set(60_000);
  timers.fire(60_000);
  await byKey.isOver;
  assert.equal(rig.rig.endings.size, 0);
});

test("streams: a machine client that is registered no longer is cut, and one of that id at another issuer is not", async (t) => {
  const timers = new ManualTimers();
  const rig = await startForwardRig(t, (_request, response) => void response.write("begun"), {
    timers,
  });
  const { store } = rig.rig;
  for (const [token, issuer] of [
    ["first", "https://one.test/"],
    ["second", "https://two.test"],
  ] as const) {
    // Of an issuer that is a bare origin both spellings are one.
    const registered = { iss: issuer.replace(/\/$/, ""), clientId: "c", name: "c", scopes: [] };
    await registerMachineClient(store, TENANT, registered);
    const client = { issuer, clientId: "c" };
    rig.callers.set(token, {
      ...principalOf(rig.ann, "key", { ref: "client:c", userId: "", client }),
      kind: "service",
    });
  }
  const first = await begun(rig, { authorization: "Bearer first" });
  const second = await begun(rig, { authorization: "Bearer second" });
  await disableMachineClient(store, TENANT, "https://one.test", "c");
  timers.fire(60_000);
  await first.isOver;
  assert.equal(first.response.complete, false);
  assert.equal(rig.rig.endings.size, 1);
  await disableTenant(store, TENANT);
  await timers.set(60_000);
  timers.fire(60_000);
  await second.isOver;
  assert.equal(rig.rig.endings.size, 0);
});
