import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ClientAddressRule, canonicalAddress } from "../../../src/core/client-address.ts";
import { ConfigError } from "../../../src/core/errors.ts";

describe("canonicalAddress", () => {
  for (const [text, expected] of [
    ["192.0.2.1", "192.0.2.1"],
    ["2001:0DB8:0000:0000:0000:0000:0000:0001", "2001:db8::1"],
    ["0000:0000:0000:0000:0000:0000:0000:0001", "::1"],
    ["0000:0000:0000:0000:0000:0000:0000:0000", "::"],
    ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["2001:0:0:1:0:0:0:1", "2001:0:0:1::1"],
    ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
    ["0000:0000:0000:0000:0000:ffff:c000:0201", "192.0.2.1"],
    ["::ffff:192.0.2.1", "192.0.2.1"],
    ["64:ff9b::192.0.2.33", "64:ff9b::c000:221"],
    ["fe80::1%eth0", "fe80::1"],
    ["1.2.3", ""],
    ["1.2.3.4.5", ""],
    ["::g", ""],
    ["", ""],
    ["unknown", ""],
  ] as const) {
    it(`${JSON.stringify(text)} is ${JSON.stringify(expected)}`, () => {
      assert.equal(canonicalAddress(text), expected);
    });
  }
});

describe("ClientAddressRule", () => {
  const none = new ClientAddressRule([]);
  const rule = new ClientAddressRule(["10.0.0.0/8", "2001:db8:1::/48", "192.0.2.7"]);

  it("believes nobody by default", () => {
    assert.equal(none.trusts("127.0.0.1"), false);
    assert.equal(none.clientOf("127.0.0.1", "198.51.100.1"), "127.0.0.1");
  });

  it("believes the configured blocks alone", () => {
    assert.equal(rule.trusts("10.255.0.1"), true);
    assert.equal(rule.trusts("11.0.0.1"), false);
    assert.equal(rule.trusts("192.0.2.7"), true);
    assert.equal(rule.trusts("192.0.2.8"), false);
    assert.equal(rule.trusts("2001:0db8:0001:0000:0000:0000:0000:0009"), true);
    assert.equal(rule.trusts("2001:0db8:0002:0000:0000:0000:0000:0009"), false);
  });

  it("knows an IPv4 proxy that an IPv6 listener sees as mapped", () => {
    assert.equal(rule.trusts("0000:0000:0000:0000:0000:ffff:0a00:0001"), true);
  });

  it("ignores the field of an untrusted peer", () => {
    assert.equal(rule.clientOf("203.0.113.9", "198.51.100.1"), "203.0.113.9");
  });

  for (const [field, expected] of [
    ["198.51.100.1", "198.51.100.1"],
    ["198.51.100.1, 10.1.1.1", "198.51.100.1"],
    ["1.1.1.1, 198.51.100.1, 10.1.1.1,10.2.2.2", "198.51.100.1"],
    ["10.1.1.1", "10.1.1.1"],
    ["198.51.100.1:4711", "198.51.100.1"],
    ["[2001:db8:2::5]:443", "2001:db8:2::5"],
    ["2001:DB8:2::5", "2001:db8:2::5"],
    ['"[2001:db8:2::5]"', "2001:db8:2::5"],
    ["unknown", "10.0.0.1"],
    ["198.51.100.1, unknown, 10.1.1.1", "10.1.1.1"],
    ["", "10.0.0.1"],
    [",", "10.0.0.1"],
  ] as const) {
    it(`behind a proxy takes ${expected} from ${JSON.stringify(field)}`, () => {
      assert.equal(rule.clientOf("10.0.0.1", field), expected);
    });
  }

  it("walks back a bounded number of hops", () => {
    const field = `198.51.100.1${", 10.1.1.1".repeat(100_000)}`;
    assert.equal(rule.clientOf("10.0.0.1", field), "10.1.1.1");
  });

  it("keeps giving right answers when its memory of peers is full", () => {
    const own = new ClientAddressRule(["10.0.0.0/8"]);
    for (let index = 0; index < 10_000; index++) {
      const peer = `10.0.${index >> 8}.${index & 255}`;
      assert.equal(own.clientOf(peer, "198.51.100.1"), "198.51.100.1");
    }
    assert.equal(own.trusts("10.0.0.0"), true);
  });

  it("refuses what is no block, all of them at once", () => {
    assert.throws(
      () => new ClientAddressRule(["10.0.0.0/33", "x", "::/129", "10.0.0.0/8", "1.2.3.4/"]),
      (error: unknown) => {
        assert.ok(error instanceof ConfigError);
        assert.deepEqual(error.problems, [
          {
            setting: "trustedProxyCidrs",
            problem: "not an address block: 10.0.0.0/33, x, ::/129, 1.2.3.4/",
          },
        ]);
        return true;
      },
    );
  });
});
