import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import type { Store, User } from "../../../src/api/store/index.ts";
import type { ManualClock } from "../../../src/core/clock.ts";
import type { DatabaseCase } from "../api-store/each-database.ts";
import { OTHER_TENANT, person, TENANT } from "../api-store/people.ts";
import {
  type Answered,
  type Asked,
  ask,
  type DevicesServer,
  type DevicesServerOptions,
  startDevicesServer,
} from "./server.ts";

/** A server, and people of two tenants: `ann` (administrator) and `bob` (member) of one, `eve` of the other. */
export interface Rig extends DevicesServer {
  readonly store: Store;
  readonly clock: ManualClock;
  readonly ann: User;
  readonly bob: User;
  readonly eve: User;
  /** One request; by `ann` unless it says otherwise. */
  ask(request: string, asked?: Asked): Promise<Answered>;
  /** The JSON of a request that must be answered with this status. */
  json<T = Record<string, never>>(status: number, request: string, asked?: Asked): Promise<T>;
  /** The events of this name. */
  events(name: string): DevicesServer["audit"];
}

/** What an answer that issues a token has. */
export interface Issued {
  readonly device_id: string;
  readonly token: string;
  readonly token_ref: string;
}

/** Starts a server over the database of a case; both end with the case. */
export async function startRig(
  on: DatabaseCase,
  t: TestContext,
  options: DevicesServerOptions = {},
): Promise<Rig> {
  const store = await on.open();
  const server = await startDevicesServer(store, options);
  t.after(() => server.server.close());
  if (options.relay === undefined) t.after(() => server.context.relay.destroy());
  const ann = await person(store, "ann", TENANT, { role: "admin" });
  const bob = await person(store, "bob", TENANT);
  const eve = await person(store, "eve", OTHER_TENANT, { role: "admin" });
  server.people.add("ann", ann);
  server.people.add("bob", bob, { role: "member" });
  server.people.add("eve", eve);
  const rig: Rig = {
    ...server,
    store,
    clock: on.clock,
    ann,
    bob,
    eve,
    ask: (request, asked = {}) => ask(server.url, request, { as: "ann", ...asked }),
    async json(status, request, asked) {
      const answer = await rig.ask(request, asked);
      assert.equal(answer.status, status, `${request}: ${answer.text}`);
      if (answer.text === "") return {};
      const value = JSON.parse(answer.text);
      checkDescribed(server, request, status, value);
      return value;
    },
    events: (name) => server.audit.filter(({ event }) => event === name),
  };
  return rig;
}

/** An answer has just what the route's description says. */
function checkDescribed(
  { router }: DevicesServer,
  request: string,
  status: number,
  value: unknown,
): void {
  const [method = "", target = ""] = request.split(" ");
  const match = router.match(method, target.split("?")[0] ?? "");
  assert.equal(match.kind, "route");
  const schema = match.kind === "route" ? match.route.responses[status]?.schema : undefined;
  assert.ok(schema !== undefined, `${request} describes what ${status} holds`);
  assert.deepEqual(schema.parse(value), value);
}

/** Makes a device with a token. */
export async function madeDevice(rig: Rig, more: object = {}, as = "ann"): Promise<Issued> {
  return await rig.json<Issued>(201, "POST /api/devices", {
    as,
    body: { name: "press", ...more },
  });
}

/** Makes a pairing code. */
export async function madeCode(rig: Rig, as = "ann"): Promise<{ code: string; id: string }> {
  return await rig.json(201, "POST /api/pairing-codes", { as });
}

/** Presents a code or key as a device does, with no credential. */
export function exchange(rig: Rig, code: unknown, device?: unknown): Promise<Answered> {
  return ask(rig.url, "POST /api/pairing/exchange", { body: { code, device } });
}

/** A problem's `code`. */
export function codeOf({ text }: Answered): string {
  return JSON.parse(text).code;
}

/** Status, fields and body of an answer to a request with an id of the caller's: all but its time. */
export function wholeAnswer({ status, headers, text }: Answered): unknown {
  const fields = [...headers].filter(([name]) => name !== "date");
  return { status, fields, text };
}
