import assert from "node:assert/strict";
import { test } from "node:test";
import { mintDeviceId } from "../../../../src/core/token.ts";
import { activeDevice, OTHER_TENANT, person } from "../../../support/api-store/people.ts";
import { COOKIE, principalOf, startForwardRig } from "../../../support/forward/api-rig.ts";
import type { RawAnswer } from "../../../support/forward/raw-request.ts";

const SAME_ID = "X-Request-Id: the-same-one";
const BEARER = "Authorization: Bearer key-of-ann";

/** Everything of an answer but the request's id and the time. */
function withoutId({ raw }: RawAnswer): string {
  return raw
    .toString("latin1")
    .replace(/x-request-id: \S+/i, "")
    .replace(/"request_id":"[^"]+"/, "")
    .replace(/^date: .*$/im, "");
}

test("access: a foreign device, one that there is not, and a malformed id are the same 404", async (t) => {
  const { rig, raw } = await startForwardRig(t, (_request, response) => void response.end("ok"));
  const foreign = await activeDevice(rig.store, await person(rig.store, "bob", OTHER_TENANT));
  await rig.connect(t, foreign.token.text, { http: (_request, response) => response.end("bob's") });
  const ids = [foreign.id, mintDeviceId(), "nothing", "A".repeat(16)];
  for (const method of ["GET", "HEAD", "POST", "DELETE"]) {
    const answers: string[] = [];
    for (const id of ids) {
      const answer = await raw(`${method} /api/devices/${id}/http/x`, [BEARER, SAME_ID]);
      assert.equal(answer.status, 404);
      answers.push(withoutId(answer));
    }
    assert.deepEqual(answers, new Array(ids.length).fill(answers[0]));
  }
});

test("access: who asks for a device that is not his is in the audit log, in his own tenant's", async (t) => {
  const { rig, raw, callers, ann, send } = await startForwardRig(t, (_request, response) =>
    response.end("ok"),
  );
  const foreign = await activeDevice(rig.store, await person(rig.store, "bob", OTHER_TENANT));
  const other = await activeDevice(rig.store, ann);
  callers.set("held", principalOf(ann, "key", { ref: "held", devices: new Set() }));
  await raw(`GET /api/devices/${foreign.id}/http/`, [BEARER]);
  await raw(`GET /api/devices/${other.id}/http/`, ["Authorization: Bearer held"]);
  await send("GET", "/");
  const events = rig.audit.filter(({ event }) => event === "malicious_direct_reference");
  assert.deepEqual(
    events.map(({ tenant, actor, objectId, asker }) => [tenant, actor, objectId, asker?.address]),
    [
      [ann.tenant, "key-of-ann", foreign.id, "127.0.0.1"],
      [ann.tenant, "held", other.id, "127.0.0.1"],
    ],
  );
});

test("access: a key that is held to other devices gets the same 404", async (t) => {
  const { rig, raw, send, root, callers, ann } = await startForwardRig(t, (_request, response) =>
    response.end("ok"),
  );
  const other = await activeDevice(rig.store, ann);
  callers.set("held", principalOf(ann, "key", { devices: new Set([other.id]) }));
  const held = await raw(`GET ${root}/`, ["Authorization: Bearer held"]);
  const missing = await raw(`GET /api/devices/${mintDeviceId()}/http/`, [
    "Authorization: Bearer held",
  ]);
  assert.equal(held.status, 404);
  assert.equal(withoutId(held), withoutId(missing));
  assert.equal((await send("GET", "/")).status, 200);
});

test("access: no credential is 401, no scope 403, and the device sees neither", async (t) => {
  let reached = 0;
  const { raw, root, callers, ann } = await startForwardRig(t, (_request, response) => {
    reached += 1;
    response.end();
  });
  callers.set("narrow", principalOf(ann, "key", { scopes: new Set(["devices:read"]) }));
  for (const method of ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]) {
    assert.equal((await raw(`${method} ${root}/`)).status, 401);
    assert.equal((await raw(`${method} ${root}/`, ["Authorization: Bearer narrow"])).status, 403);
  }
  assert.equal(reached, 0);
});

test("access: with the cookie, what changes something needs the proof that our own page asks", async (t) => {
  const bodies: string[] = [];
  const { raw, root } = await startForwardRig(t, (request, response) => {
    let body = "";
    request.on("data", (piece) => {
      body += piece;
    });
    request.on("end", () => {
      bodies.push(`${request.method} ${body}`);
      response.end();
    });
  });
  const cookie = `Cookie: ${COOKIE}`;
  const length = "Content-Length: 2";
  const proof = "X-Hawser-CSRF: 1";
  const status = async (...lines: string[]): Promise<number> =>
    (await raw(`POST ${root}/`, [cookie, length, ...lines], "{}")).status;
  const json = "Content-Type: application/json";
  assert.equal(await status(json), 403);
  assert.equal(await status(json, proof, "Origin: https://evil.test"), 403);
  assert.equal(await status(json, proof, "Sec-Fetch-Site: cross-site"), 403);
  for (const type of ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]) {
    assert.equal(await status(`Content-Type: ${type}`, proof), 403, type);
  }
  assert.equal(await status(proof), 403);
  assert.deepEqual(bodies, []);
  assert.equal(await status(json, proof), 200);
  assert.equal(await status("Content-Type: application/octet-stream", proof), 200);
  assert.equal((await raw(`DELETE ${root}/`, [cookie])).status, 403);
  assert.equal((await raw(`DELETE ${root}/`, [cookie, proof])).status, 200);
  assert.equal((await raw(`GET ${root}/`, [cookie, "Sec-Fetch-Site: cross-site"])).status, 403);
  assert.deepEqual(bodies, ["POST {}", "POST {}", "DELETE "]);
});

test("access: a key may send any type of body", async (t) => {
  const { send } = await startForwardRig(t, (request, response) => {
    request.resume().on("end", () => response.end(request.headers["content-type"]));
  });
  const lines = ["Content-Type: text/plain", "Content-Length: 2"];
  const answer = await send("POST", "/", lines, "ab");
  assert.equal(answer.body.toString(), "text/plain");
});

test("access: a device that is not connected is 503, and says so as the relay does", async (t) => {
  const { send } = await startForwardRig(t, null);
  const answer = await send("GET", "/");
  assert.equal(answer.status, 503);
  const { code, stage, retriable } = JSON.parse(answer.body.toString());
  assert.deepEqual([code, stage, retriable], ["ERR_RELAY_OFFLINE", "offline", true]);
});

test("access: a device that comes back within the hold is waited for", async (t) => {
  const { rig, send, device } = await startForwardRig(t, null, { relay: { holdMs: 10_000 } });
  const answer = send("GET", "/");
  await rig.connect(t, device.token.text, { http: (_request, response) => response.end("back") });
  assert.equal((await answer).body.toString(), "back");
});

test("access: a relay with another internal secret is 503 and not 401, and the log says why", async (t) => {
  const { rig, send } = await startForwardRig(t, null, {
    relay: { internalSecret: "another-secret-0123456789-0123456789" },
  });
  const answer = await send("GET", "/");
  assert.deepEqual([answer.status, answer.fields.get("www-authenticate")], [503, undefined]);
  assert.equal(JSON.parse(answer.body.toString()).code, "relay_unavailable");
  assert.match(rig.logText, /refuses our internal secret/);
});

test("access: the relay away is 503 with Retry-After; back, the same listener serves", async (t) => {
  const { rig, send, device } = await startForwardRig(t, null);
  await rig.stopRelay();
  const answer = await send("GET", "/");
  assert.deepEqual([answer.status, answer.fields.get("retry-after")], [503, "1"]);
  assert.equal(JSON.parse(answer.body.toString()).code, "relay_unavailable");
  await rig.startRelay();
  await rig.connect(t, device.token.text, { http: (_request, response) => response.end("ok") });
  assert.equal((await send("GET", "/")).status, 200);
});
