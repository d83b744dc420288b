import assert from "node:assert/strict";
import type { LookupAddress } from "node:dns";
import { test } from "node:test";
import { isPublicAddress } from "../../../src/access-proxy/addresses.ts";
import { type Destination, findDestination } from "../../../src/access-proxy/destinations.ts";
import { checkLiteral, guardedLookup } from "../../../src/access-proxy/guarded-lookup.ts";

const ENTRY: Destination = {
  origin: "https://to.example",
  taId: "https://to.example",
  pathPrefix: "/",
  allowHttp: false,
  allowPrivate: false,
  device: null,
};
const DENIED = { code: "ERR_ACCESS_PROXY_DESTINATION", status: 403, error: "access_denied" };

function find(entry: Partial<Destination>, href: string, toTaId?: string): Destination {
  const url = new URL(href);
  const policy = { destinations: [{ ...ENTRY, ...entry }], allowAny: false };
  return findDestination(policy, { url, toTaId: toTaId ?? url.origin });
}

test("destinations: a listed origin is allowed, for its own TA alone", () => {
  assert.equal(find({}, "https://to.example/x").origin, "https://to.example");
  assert.throws(() => find({}, "https://other.example/x"), DENIED);
  assert.throws(() => find({}, "https://to.example:8443/x"), DENIED);
  assert.throws(() => find({}, "https://to.example/x", "https://other.example"), DENIED);
  assert.throws(() => find({ taId: "ta-1" }, "https://to.example/x"), DENIED);
  assert.equal(find({ taId: "ta-1" }, "https://to.example/x", "ta-1").taId, "ta-1");
});

test("destinations: plain HTTP only where the entry says so", () => {
  const http = { origin: "http://to.example", taId: "http://to.example" };
  assert.throws(() => find(http, "http://to.example/"), DENIED);
  assert.equal(find({ ...http, allowHttp: true }, "http://to.example/").allowHttp, true);
});

test("destinations: nothing is allowed where nothing is listed, unless everything is", () => {
  const target = { url: new URL("http://127.0.0.1/"), toTaId: "x" };
  assert.throws(() => findDestination({ destinations: [], allowAny: false }, target), DENIED);
  assert.equal(findDestination({ destinations: [], allowAny: true }, target).allowPrivate, true);
});

const BELOW = [
  "/api",
  "/api/",
  "/api/x",
  "/api/.a/x",
  "/api/..a",
  "/api/...",
  "/api/x/../y",
  "/api/%41",
];
const OUTSIDE = [
  "/",
  "/apix",
  "/ap",
  "/API",
  "/x/api",
  "/api/../x",
  "/api/%2e%2e/x",
  "/api/..%2fx",
  "/api/%252e%252e%252fx",
  "/api/..;/x",
  "/api/..;a=b/x",
  "/api/.;/x",
  "/api/.well-known/../../x",
  "/api/.a/../..",
  "/api/.a/./../../x",
  "/api/..%5cx",
  "/api//x",
  "//api",
];

for (const path of BELOW) {
  test(`destinations: ${path} lies below /api`, () => {
    assert.ok(find({ pathPrefix: "/api" }, `https://to.example${path}`));
  });
}
for (const path of OUTSIDE) {
  test(`destinations: ${path} does not lie below /api`, () => {
    assert.throws(() => find({ pathPrefix: "/api" }, `https://to.example${path}`), DENIED);
  });
}

/** Hosts as a URL may spell them: each leads to an address that is not public. */
const CLOSED_HOSTS = [
  "127.0.0.1",
  "127.1",
  "127.0.1",
  "127.255.255.254",
  "2130706433",
  "0x7f000001",
  "0x7f.1",
  "0177.0.0.1",
  "017700000001",
  "0",
  "0.0.0.0",
  "0.1.2.3",
  "10.0.0.1",
  "10.255.255.255",
  "100.64.0.1",
  "100.127.255.255",
  "169.254.169.254",
  "0xa9fea9fe",
  "2852039166",
  "169.254.0.1",
  "172.16.0.1",
  "172.31.255.255",
  "192.0.0.8",
  "192.0.2.1",
  "192.88.99.1",
  "192.168.0.1",
  "192.168.255.255",
  "198.18.0.1",
  "198.19.255.255",
  "198.51.100.1",
  "203.0.113.1",
  "224.0.0.1",
  "239.255.255.255",
  "240.0.0.1",
  "255.255.255.255",
  "[::]",
  "[::1]",
  "[0:0:0:0:0:0:0:1]",
  "[::ffff:127.0.0.1]",
  "[::ffff:7f00:1]",
  "[::ffff:10.0.0.1]",
  "[::ffff:169.254.169.254]",
  "[::ffff:8.8.8.8]",
  "[::127.0.0.1]",
  "[64:ff9b::7f00:1]",
  "[64:ff9b:1::1]",
  "[100::1]",
  "[2001::1]",
  "[2001:db8::1]",
  "[2002:7f00:1::]",
  "[3fff::1]",
  "[5f00::1]",
  "[fc00::1]",
  "[fd12:3456:789a::1]",
  "[fe80::1]",
  "[febf::1]",
  "[fec0::1]",
  "[ff02::1]",
  "[ff0e::1]",
];

for (const host of CLOSED_HOSTS) {
  test(`destinations: ${host} is refused`, () => {
    assert.throws(() => checkLiteral(new URL(`https://${host}/`).hostname), DENIED);
  });
}

test("destinations: public addresses and names are not refused for what they are", () => {
  for (const host of [
    "8.8.8.8",
    "1.1.1.1",
    "172.32.0.1",
    "100.128.0.1",
    "[2606:4700::1111]",
    "to.example",
  ]) {
    assert.doesNotThrow(() => checkLiteral(new URL(`https://${host}/`).hostname));
  }
  assert.equal(isPublicAddress("fe80::1%eth0"), false);
  assert.equal(isPublicAddress("to.example"), false);
});

/** What a socket is given for a name that resolves to these addresses. */
function resolved(addresses: readonly string[], all: boolean): Promise<unknown> {
  const found: LookupAddress[] = addresses.map((address) => ({
    address,
    family: address.includes(":") ? 6 : 4,
  }));
  const lookup = guardedLookup((_host, _options, callback) => callback(null, found));
  return new Promise((resolve, reject) => {
    lookup("to.example", { all }, (error, address) => {
      if (error === null) resolve(address);
      else reject(error);
    });
  });
}

test("destinations: a name is resolved once, and the checked addresses are what is connected to", async () => {
  assert.equal(await resolved(["8.8.8.8", "1.1.1.1"], false), "8.8.8.8");
  assert.deepEqual(await resolved(["8.8.8.8"], true), [{ address: "8.8.8.8", family: 4 }]);
});

test("destinations: a name that leads to a closed address is refused, one among several too", async () => {
  for (const addresses of [
    ["127.0.0.1"],
    ["8.8.8.8", "10.0.0.1"],
    ["::ffff:127.0.0.1"],
    ["fe80::1"],
  ]) {
    await assert.rejects(resolved(addresses, true), DENIED);
    await assert.rejects(resolved(addresses, false), DENIED);
  }
  await assert.rejects(resolved([], false), { code: "ENOTFOUND" });
});
