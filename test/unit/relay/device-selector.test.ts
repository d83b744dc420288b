import assert from "node:assert/strict";
import { test } from "node:test";
import { deviceOfHost, selectDevice } from "../../../src/relay/device-selector.ts";

const A = "abcdefgh23456723";
const B = "zzzzzzzz77777777";
const DOMAIN = "edge.example";

interface Row {
  readonly name: string;
  readonly path: string;
  readonly host?: string;
  readonly field?: string;
  readonly domain?: string | null;
  readonly device?: string;
  readonly rest?: string;
  readonly prefix?: string;
  readonly error?: string;
}

const ROWS: readonly Row[] = [
  { name: "by path", path: `/d/${A}/x/y`, device: A, rest: "/x/y", prefix: `/d/${A}` },
  { name: "by path, root", path: `/d/${A}/`, device: A, rest: "/", prefix: `/d/${A}` },
  { name: "by path without a slash", path: `/d/${A}`, device: A, rest: "/", prefix: `/d/${A}` },
  {
    name: "by path, double slash kept",
    path: `/d/${A}//x`,
    device: A,
    rest: "//x",
    prefix: `/d/${A}`,
  },
  { name: "by field", path: "/x", field: A, device: A, rest: "/x", prefix: "" },
  {
    name: "by field and the same path",
    path: `/d/${A}/x`,
    field: A,
    device: A,
    rest: "/x",
    prefix: `/d/${A}`,
  },
  {
    name: "field and path disagree",
    path: `/d/${B}/x`,
    field: A,
    error: "ERR_RELAY_SELECTORS_DISAGREE",
  },
  { name: "by host", path: "/x", host: `${A}.${DOMAIN}`, device: A, rest: "/x", prefix: "" },
  {
    name: "by host with port and case",
    path: "/x",
    host: `${A.toUpperCase()}.Edge.Example:3800`,
    device: A,
    rest: "/x",
    prefix: "",
  },
  {
    name: "host beats path",
    path: `/d/${B}/x`,
    host: `${A}.${DOMAIN}`,
    device: A,
    rest: `/d/${B}/x`,
    prefix: "",
  },
  {
    name: "a device host has no reserved path",
    path: "/tunnel/connect",
    host: `${A}.${DOMAIN}`,
    device: A,
    rest: "/tunnel/connect",
    prefix: "",
  },
  { name: "but one", path: "/.hawser/x", host: `${A}.${DOMAIN}`, error: "ERR_RELAY_NOT_FOUND" },
  {
    name: "host and field disagree",
    path: "/",
    host: `${A}.${DOMAIN}`,
    field: B,
    error: "ERR_RELAY_SELECTORS_DISAGREE",
  },
  {
    name: "host and the same field",
    path: "/",
    host: `${A}.${DOMAIN}`,
    field: A,
    device: A,
    rest: "/",
    prefix: "",
  },
  { name: "malformed label", path: "/", host: `x.${DOMAIN}`, error: "ERR_RELAY_NO_DEVICE" },
  {
    name: "label below a label",
    path: "/",
    host: `${A}.x.${DOMAIN}`,
    error: "ERR_RELAY_NO_DEVICE",
  },
  {
    name: "the edge domain itself",
    path: `/d/${A}/`,
    host: DOMAIN,
    device: A,
    rest: "/",
    prefix: `/d/${A}`,
  },
  {
    name: "another domain that ends alike",
    path: "/",
    host: `${A}.notedge.example`,
    error: "ERR_RELAY_NOT_FOUND",
  },
  {
    name: "no edge domain",
    path: "/",
    host: `${A}.${DOMAIN}`,
    domain: null,
    error: "ERR_RELAY_NOT_FOUND",
  },
  { name: "malformed id in the path", path: "/d/ABC/x", error: "ERR_RELAY_NO_DEVICE" },
  { name: "malformed id in the field", path: "/x", field: "ABC", error: "ERR_RELAY_NO_DEVICE" },
  { name: "nothing selects", path: "/x", error: "ERR_RELAY_NOT_FOUND" },
];

for (const row of ROWS) {
  test(`selects the device: ${row.name}`, () => {
    const domain = row.domain === undefined ? DOMAIN : row.domain;
    const got = selectDevice(row.path, row.host ?? "relay.example", row.field ?? "", domain);
    if (row.error !== undefined) {
      assert.equal(got.error, row.error);
      assert.equal(got.deviceId, "");
      return;
    }
    assert.deepEqual(got, {
      deviceId: row.device,
      path: row.rest,
      prefix: row.prefix,
      error: null,
    });
  });
}

test("an IPv6 host is no device's", () => {
  assert.equal(deviceOfHost("[::1]:3800", DOMAIN), "");
  assert.equal(deviceOfHost("[::1]", DOMAIN), "");
  assert.equal(deviceOfHost("", DOMAIN), "");
  assert.equal(deviceOfHost(`${A}.${DOMAIN}.`, DOMAIN), A);
});
