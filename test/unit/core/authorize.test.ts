import assert from "node:assert/strict";
import { test } from "node:test";
import {
  parseAuthorizeAnswer,
  parseAuthorizeRequest,
  parseCredentialChanges,
} from "../../../src/core/authorize.ts";
import {
  AUTHORIZE_CHECKS_MAX,
  AUTHORIZE_RECHECK_MAX,
  AUTHORIZE_REQUEST_BYTES_MAX,
  type AuthorizeRequest,
  CHANGES_MAX,
  KEY_DEVICES_MAX,
} from "../../../src/core/contract.ts";

const DIGEST = "a".repeat(64);
const TOKEN = { ref: "vAc_7Gk2mP0q", digest: DIGEST };
const KEY = { ref: "hwk_7Gk2mP0q", digest: DIGEST };
const DEVICE = "ptvc6yfze3cyql65";
const NOTHING: AuthorizeRequest = { tokens: [], keys: [], devices: [], recheck: [] };

test("authorize request: read with all its lists, unknown fields left out", () => {
  const request = {
    tokens: [TOKEN],
    keys: [KEY],
    devices: [DEVICE],
    recheck: [TOKEN.ref, KEY.ref],
  };
  assert.deepEqual(parseAuthorizeRequest(JSON.stringify({ ...request, more: 1 })), request);
  assert.deepEqual(parseAuthorizeRequest(JSON.stringify(NOTHING)), NOTHING);
});

test("authorize request: anything of another shape is none", () => {
  const bad: unknown[] = [
    null,
    [],
    {},
    { ...NOTHING, tokens: [KEY] },
    { ...NOTHING, keys: [TOKEN] },
    { ...NOTHING, tokens: [{ ...TOKEN, digest: DIGEST.toUpperCase() }] },
    { ...NOTHING, devices: ["UPPER"] },
    { ...NOTHING, recheck: ["hwe_7Gk2mP0q"] },
    { ...NOTHING, recheck: [`${TOKEN.ref}_${"x".repeat(49)}`] },
  ];
  for (const value of bad) {
    assert.equal(parseAuthorizeRequest(JSON.stringify(value)), null, JSON.stringify(value));
  }
  assert.equal(parseAuthorizeRequest("{"), null);
});

test("authorize request: checks, re-checks and bytes are at their limits together", () => {
  const request: AuthorizeRequest = {
    tokens: new Array(AUTHORIZE_CHECKS_MAX - 1).fill(TOKEN),
    keys: [KEY],
    devices: [],
    recheck: new Array(AUTHORIZE_RECHECK_MAX).fill(TOKEN.ref),
  };
  const text = JSON.stringify(request);
  assert.ok(text.length <= AUTHORIZE_REQUEST_BYTES_MAX, String(text.length));
  assert.notEqual(parseAuthorizeRequest(text), null);
  const over = [
    { ...request, devices: [DEVICE] },
    { ...request, recheck: [...request.recheck, TOKEN.ref] },
  ];
  for (const value of over) assert.equal(parseAuthorizeRequest(JSON.stringify(value)), null);
});

test("authorize answer: has an answer to each question, and revokes only what was asked about", () => {
  const asked = { tokens: [TOKEN], keys: [KEY], devices: [DEVICE], recheck: [TOKEN.ref, KEY.ref] };
  const owner = { user_id: "u", tenant_id: "t" };
  const answer = {
    tokens: [{ ok: true, device_id: DEVICE, ...owner, expires_at: "2027-01-31T00:00:00Z" }],
    keys: [{ ok: false, status: 429, retry_after: 3 }],
    devices: [{ tenant_id: "t" }],
    revoked: [KEY.ref, TOKEN.ref],
  };
  const read = (value: unknown) => parseAuthorizeAnswer(JSON.stringify(value), asked);
  assert.deepEqual(read(answer), answer);
  const devices = new Array(KEY_DEVICES_MAX).fill(DEVICE);
  assert.notEqual(read({ ...answer, keys: [{ ok: true, ...owner, devices }] }), null);
  const bad: unknown[] = [
    { ...answer, tokens: [] },
    { ...answer, keys: [...answer.keys, ...answer.keys] },
    { ...answer, devices: [] },
    { ...answer, devices: [{}] },
    { ...answer, revoked: ["vAc_00000000"] },
    { ...answer, revoked: ["hwk_00000000"] },
    { ...answer, keys: [{ ok: false, status: 200 }] },
    { ...answer, keys: [{ ok: true, user_id: "u" }] },
    { ...answer, keys: [{ ok: true, ...owner, devices: [...devices, DEVICE] }] },
    { ...answer, tokens: [{ ok: true, device_id: "x", ...owner }] },
    { ...answer, tokens: [{ ok: true, device_id: DEVICE, ...owner, expires_at: "soon" }] },
    { ...answer, tokens: [{ ok: true, device_id: DEVICE, user_id: "a\nb", tenant_id: "t" }] },
  ];
  for (const value of bad) assert.equal(read(value), null, JSON.stringify(value).slice(0, 200));
});

test("credential changes: absent lists are empty, all together have a limit", () => {
  assert.deepEqual(parseCredentialChanges("{}"), { revoked: [], changed: [], devices: [] });
  const changes = { revoked: [TOKEN.ref, KEY.ref], changed: [KEY.ref], devices: [DEVICE] };
  assert.deepEqual(parseCredentialChanges(JSON.stringify(changes)), changes);
  const devices = new Array(CHANGES_MAX).fill(DEVICE);
  const text = JSON.stringify({ devices });
  assert.ok(text.length <= AUTHORIZE_REQUEST_BYTES_MAX);
  assert.notEqual(parseCredentialChanges(text), null);
  for (const bad of [{ devices, changed: [KEY.ref] }, { revoked: ["x"] }, { devices: [1] }, []]) {
    assert.equal(parseCredentialChanges(JSON.stringify(bad)), null);
  }
});
