import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { AsciiLines } from "../../../src/core/ascii-lines.ts";
import { AccessLog } from "../../../src/relay/access-log.ts";
import { TunnelLog } from "../../../src/relay/tunnel-log.ts";

function setUp(enabled = true) {
  const blocks: string[] = [];
  const lines = new AsciiLines({
    write: (bytes) => blocks.push(Buffer.from(bytes).toString("latin1")),
  });
  const bindings = ',"pid":7,"hostname":"h"';
  return {
    log: new TunnelLog(lines, enabled, bindings),
    accessLog: new AccessLog(lines, enabled, bindings),
    /** The lines written so far, parsed. */
    written(): Record<string, unknown>[] {
      lines.flush();
      const text = blocks.join("");
      assert.ok(text === "" || text.endsWith("}\n"));
      return text
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => JSON.parse(line) as Record<string, unknown>);
    },
  };
}

const HEAD = { level: 30, time: 1_700_000_000_123, pid: 7, hostname: "h" };

describe("TunnelLog", () => {
  it("writes one JSON line in pino's shape for each event", (t) => {
    t.mock.timers.enable({ apis: ["Date"], now: HEAD.time });
    const { log, written } = setUp();
    log.opened("abcdefghijklmnop", "vAc_7Gk2mP0q", "2001:db8::1", 2);
    log.closed("abcdefghijklmnop", "vAc_7Gk2mP0q", 4_409, "displaced");
    log.refused("ERR_RELAY_UNAUTHORIZED", 401, "id-1");
    assert.deepEqual(written(), [
      {
        ...HEAD,
        msg: "tunnel open",
        device: "abcdefghijklmnop",
        token: "vAc_7Gk2mP0q",
        addr: "2001:db8::1",
        displaced: 2,
      },
      {
        ...HEAD,
        msg: "tunnel closed",
        device: "abcdefghijklmnop",
        token: "vAc_7Gk2mP0q",
        code: 4_409,
        reason: "displaced",
      },
      {
        ...HEAD,
        msg: "tunnel refused",
        code: "ERR_RELAY_UNAUTHORIZED",
        status: 401,
        requestId: "id-1",
      },
    ]);
  });

  it("keeps its place among the lines of requests", () => {
    const { log, accessLog, written } = setUp();
    log.opened("d", "t", "127.0.0.1", 0);
    accessLog.request(0, "i", "d", "k", "GET", 200, null, 0, 0, 0, 0);
    log.closed("d", "t", 1_006, "");
    const order = written().map((line) => line["msg"]);
    assert.deepEqual(order, ["tunnel open", "request", "tunnel closed"]);
  });

  it("escapes what would break a line, however long it is", () => {
    const { log, written } = setUp();
    const reason = `"\\\n\u2028${"é".repeat(20_000)}`;
    log.closed("d", "t", 1_000, reason);
    assert.equal(written()[0]?.["reason"], reason);
  });

  it("writes nothing when it is off", () => {
    const { log, written } = setUp(false);
    log.opened("d", "t", "", 0);
    log.closed("d", "t", 1_006, "");
    log.refused("ERR_RELAY_DRAINING", 503, "i");
    assert.deepEqual(written(), []);
  });
});
