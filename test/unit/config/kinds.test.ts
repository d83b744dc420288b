import assert from "node:assert/strict";
import test from "node:test";
import {
  address,
  choice,
  cidrs,
  count,
  domain,
  duration,
  type Kind,
  port,
  size,
  text,
  toggle,
} from "../../../src/config/kinds.ts";

interface Case {
  readonly name: string;
  readonly kind: Kind<unknown>;
  /** Input, value, how the value is shown. */
  readonly taken: readonly (readonly [unknown, unknown, string])[];
  readonly refused: readonly unknown[];
}

const HOUR = 3_600_000;

const CASES: readonly Case[] = [
  {
    name: "text",
    kind: text("name"),
    taken: [["a b", "a b", "a b"]],
    refused: ["", "a\nb", "a\0", "x".repeat(4_097), 1, null, ["a"]],
  },
  {
    name: "address",
    kind: address(),
    taken: [
      ["127.0.0.1", "127.0.0.1", "127.0.0.1"],
      ["::1", "::1", "::1"],
      ["localhost", "localhost", "localhost"],
    ],
    refused: ["", "127.0.0.1:80", "[::1]", "example.org", "256.0.0.1", 1],
  },
  {
    name: "domain",
    kind: domain(),
    taken: [["Edge.Example.org", "edge.example.org", "edge.example.org"]],
    refused: [
      "",
      ".example.org",
      "example.org.",
      "a..b",
      "-a.org",
      "a_b.org",
      "a.org:80",
      "http://a",
    ],
  },
  {
    name: "port",
    kind: port(),
    taken: [
      ["0", 0, "0"],
      ["65535", 65_535, "65535"],
      [3_800, 3_800, "3800"],
    ],
    refused: ["65536", "-1", "+1", "1.5", "0x10", "", " 1", 1.5, -1, true, null],
  },
  {
    name: "count",
    kind: count(1, 10),
    taken: [
      ["1", 1, "1"],
      [10, 10, "10"],
    ],
    refused: ["0", "11", 0, 11, Number.NaN, "1e1"],
  },
  {
    name: "duration",
    kind: duration(0, HOUR),
    taken: [
      ["250ms", 250, "250ms"],
      ["30s", 30_000, "30s"],
      ["30 s", 30_000, "30s"],
      ["5m", 300_000, "5m"],
      ["1h", HOUR, "1h"],
      ["1500", 1_500, "1500ms"],
      [2_000, 2_000, "2s"],
      ["0", 0, "0"],
    ],
    refused: ["61m", "1.5s", "-1s", "s", "1S", "1 week", "", 1.5, -1, "99999999999999999999s"],
  },
  {
    name: "size",
    kind: size(1, 1_073_741_824),
    taken: [
      ["512B", 512, "512B"],
      ["64KiB", 65_536, "64KiB"],
      ["4 MiB", 4_194_304, "4MiB"],
      ["1GiB", 1_073_741_824, "1GiB"],
      ["1000", 1_000, "1000B"],
      [65_536, 65_536, "64KiB"],
    ],
    refused: ["64KB", "64kib", "64K", "0", "2GiB", "-1", "1.5MiB", "", {}],
  },
  {
    name: "toggle",
    kind: toggle(),
    taken: [
      [true, true, "true"],
      ["true", true, "true"],
      ["1", true, "true"],
      ["yes", true, "true"],
      ["off", false, "false"],
      [false, false, "false"],
    ],
    refused: ["", "TRUE", "maybe", 1, 0, null],
  },
  {
    name: "choice",
    kind: choice(["client", "server"]),
    taken: [["server", "server", "server"]],
    refused: ["", "Server", "peer", 1],
  },
  {
    name: "cidrs",
    kind: cidrs(),
    taken: [
      ["10.0.0.0/8, fd00::/8", ["10.0.0.0/8", "fd00::/8"], "10.0.0.0/8,fd00::/8"],
      [["127.0.0.1/32"], ["127.0.0.1/32"], "127.0.0.1/32"],
      [[], [], ""],
    ],
    refused: [
      "",
      "10.0.0.0",
      "10.0.0.0/33",
      "fd00::/129",
      "10.0.0.0/8,",
      [1],
      "a/8",
      "10.0.0.0/-1",
    ],
  },
];

for (const { name, kind, taken, refused } of CASES) {
  test(`config kinds: ${name}`, () => {
    for (const [input, value, shown] of taken) {
      assert.deepEqual(kind.parse(input), value, `takes ${JSON.stringify(input)}`);
      assert.equal(kind.show(value), shown);
      if (shown !== "")
        assert.deepEqual(kind.parse(kind.show(value)), value, "what is shown can be written");
    }
    for (const input of refused) {
      assert.equal(kind.parse(input), undefined, `refuses ${JSON.stringify(input)}`);
    }
  });
}
