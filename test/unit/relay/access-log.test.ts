import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { AsciiLines } from "../../../src/core/ascii-lines.ts";
import { AccessLog } from "../../../src/relay/access-log.ts";

class Lines {
  blocks: string[] = [];

  write(bytes: Uint8Array): void {
    this.blocks.push(Buffer.from(bytes).toString("latin1"));
  }

  /** The lines written so far, parsed. */
  all(): Record<string, unknown>[] {
    const text = this.blocks.join("");
    return text === ""
      ? []
      : text
          .trimEnd()
          .split("\n")
          .map((line) => JSON.parse(line) as Record<string, unknown>);
  }
}

function setUp(bindings = ""): { log: AccessLog; lines: Lines } {
  const lines = new Lines();
  return { log: new AccessLog(new AsciiLines(lines), true, bindings), lines };
}

describe("AccessLog", () => {
  it("writes one JSON line in pino's shape", (t) => {
    t.mock.timers.enable({ apis: ["Date"], now: 1_700_000_000_123 });
    const { log, lines } = setUp(',"pid":7,"hostname":"h"');
    log.request(0, "id-1", "abcdefghijklmnop", "hwk_1", "GET", 200, null, 5, 1_234, 1.25, 2.5);
    log.flush();
    assert.deepEqual(lines.all(), [
      {
        level: 30,
        time: 1_700_000_000_123,
        pid: 7,
        hostname: "h",
        msg: "request",
        front: "edge",
        request_id: "id-1",
        device: "abcdefghijklmnop",
        key: "hwk_1",
        method: "GET",
        status: 200,
        bytes_in: 5,
        bytes_out: 1_234,
        first_byte_us: 1_250,
        total_us: 2_500,
      },
    ]);
  });

  it("says each line's own millisecond, also across a carry and another number of digits", (t) => {
    const times = [0, 9, 1_699_999_999_999, 1_700_000_000_000, 1_700_000_000_001, 12];
    t.mock.timers.enable({ apis: ["Date"], now: 0 });
    const { log, lines } = setUp(',"pid":7');
    for (const time of times) {
      t.mock.timers.setTime(time);
      log.request(0, "i", "d", "k", "GET", 200, null, 0, 0, 1, 1);
    }
    log.flush();
    assert.deepEqual(
      lines.all().map((line) => [line["time"], line["pid"], line["msg"]]),
      times.map((time) => [time, 7, "request"]),
    );
  });

  it("says the same of a request whether lines like it came before or not", () => {
    const base = ["dev", "key", "GET", 200, null, 0] as const;
    const others = [
      ["dew", "key", "GET", 200, null, 0],
      ["dev", 'k"\\\u00e9', "GET", 200, null, 0],
      ["dev", "key", "PUT", 200, null, 0],
      ["dev", "key", "GET", 404, null, 0],
      ["dev", "key", "GET", 200, "mid_stream", 0],
      ["dev", "key", "GET", 200, null, 7],
    ] as const;
    const { log, lines } = setUp();
    const expected: unknown[] = [];
    const write = ([device, key, method, status, stage, bytesIn]:
      | (typeof others)[number]
      | typeof base) => {
      log.request(0, "i", device, key, method, status, stage, bytesIn, 3, -1, 0);
      expected.push([device, key, method, status, stage ?? undefined, bytesIn, 3]);
    };
    for (const other of others) {
      for (const times of [1, 2, 7, 8, 9, 10]) {
        for (let count = 0; count < times; count++) write(base);
        for (let count = 0; count < times; count++) write(other);
      }
    }
    log.flush();
    const names = ["device", "key", "method", "status", "stage", "bytes_in", "bytes_out"];
    assert.deepEqual(
      lines.all().map((line) => names.map((name) => line[name])),
      expected,
    );
  });

  it("names the stage of a failure and leaves out a first byte that never came", () => {
    const { log, lines } = setUp();
    log.request(1, "i", "", "", "POST", 503, "offline", 0, 0, -1, 2_000);
    log.flush();
    const [line] = lines.all();
    assert.equal(line?.["front"], "internal");
    assert.equal(line?.["stage"], "offline");
    assert.equal("first_byte_us" in (line ?? {}), false);
  });

  it("escapes what a caller can choose", () => {
    const { log, lines } = setUp();
    for (const text of ['a"b', "a\\b", "a\nb", "\u0000", "\u007f", "é", "\u2028", "\ud800"]) {
      log.request(0, text, "", "", text, 200, null, 0, 0, -1, 0);
    }
    log.flush();
    const written = lines.blocks.join("");
    assert.match(written, /^[\n\x20-\x7e]*$/);
    assert.deepEqual(
      lines.all().map((line) => line["request_id"]),
      ['a"b', "a\\b", "a\nb", "\u0000", "\u007f", "é", "\u2028", "\ud800"],
    );
    assert.deepEqual(
      lines.all().map((line) => line["method"]),
      ['a"b', "a\\b", "a\nb", "\u0000", "\u007f", "é", "\u2028", "\ud800"],
    );
  });

  it("gathers lines and hands them on in blocks", () => {
    const { log, lines } = setUp();
    for (let index = 0; index < 1_000; index++) {
      log.request(0, `id-${index}`, "abcdefghijklmnop", "hwk_1", "GET", 200, null, 0, 0, 1, 1);
    }
    assert.ok(lines.blocks.length > 1 && lines.blocks.length < 50, `${lines.blocks.length}`);
    log.flush();
    log.flush();
    assert.equal(lines.all().length, 1_000);
    assert.equal(lines.all()[999]?.["request_id"], "id-999");
  });

  it("writes nothing while it is off", () => {
    const { log, lines } = setUp();
    log.enabled = false;
    log.request(0, "i", "", "", "GET", 200, null, 0, 0, 1, 1);
    log.flush();
    assert.deepEqual(lines.blocks, []);
  });
});
