import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { pino } from "pino";
import { LineCallLog, LoggerCallLog } from "../../../src/access-proxy/call-log.ts";
import type { CallOutcome } from "../../../src/access-proxy/handler.ts";
import { readTarget, type Target } from "../../../src/access-proxy/target.ts";

const NOW = 1_700_000_000_123;

const TARGET = readTarget(["https://ta.example:8443/secret?token=t#f"], ["https://ta.example"]);
const ODD = readTarget(["https://ta.example/"], ['Ω "quoted" \\ \u0001']);

const CALLS: readonly (readonly [string, CallOutcome, Target | null])[] = [
  ["relayed", { path: "session", code: null, session: "0a1b2c3d", durationMs: 1.25 }, TARGET],
  ["whole milliseconds", { path: "retried", code: null, session: null, durationMs: 3 }, TARGET],
  ["no time at all", { path: "session", code: null, session: null, durationMs: 0 }, TARGET],
  [
    "left by its caller",
    { path: "mediated", code: "gone", session: null, durationMs: 86_400_000.04 },
    TARGET,
  ],
  [
    "a TA id of any characters",
    { path: "mediated", code: null, session: null, durationMs: 99.96 },
    ODD,
  ],
  [
    "refused unread",
    { path: "none", code: "ERR_ACCESS_PROXY_CALLER", session: null, durationMs: 0.04 },
    null,
  ],
];

function setUp(t: TestContext, level = "info") {
  t.mock.timers.enable({ apis: ["Date", "setTimeout"], now: NOW });
  const texts: string[] = [];
  const logger = pino({ level }, { write: (line: string) => void texts.push(line) });
  const blocks: Uint8Array[] = [];
  const log = new LineCallLog(
    { write: (bytes) => blocks.push(bytes) },
    logger.child({ unit: "a" }),
  );
  return { log, blocks, texts, logger: logger.child({ unit: "a" }) };
}

describe("the access line", () => {
  for (const [name, outcome, target] of CALLS) {
    it(`says as bytes what a logger says: ${name}`, (t) => {
      const { log, blocks, texts, logger } = setUp(t);
      new LoggerCallLog(logger).callEnded(outcome, target);
      log.callEnded(outcome, target);
      log.close();
      const text = Buffer.concat(blocks).toString("latin1");
      assert.ok(text.endsWith("}\n"));
      assert.deepEqual(JSON.parse(text), JSON.parse(texts.join("")));
    });
  }

  it("has the origin alone of where a call went", (t) => {
    const { log, blocks } = setUp(t);
    log.callEnded({ path: "session", code: null, session: null, durationMs: 1 }, TARGET);
    log.close();
    const text = Buffer.concat(blocks).toString("latin1");
    assert.match(text, /"target":"https:\/\/ta\.example:8443","toTaId":"https:\/\/ta\.example"/);
    assert.doesNotMatch(text, /secret|token/);
  });

  it("leaves in a block, some time after the first line of it", (t) => {
    const { log, blocks } = setUp(t);
    for (let block = 1; block <= 2; block++) {
      log.callEnded({ path: "session", code: null, session: null, durationMs: 1 }, TARGET);
      t.mock.timers.tick(49);
      log.callEnded({ path: "session", code: null, session: null, durationMs: 1 }, TARGET);
      assert.equal(blocks.length, block - 1);
      t.mock.timers.tick(1);
      assert.equal(blocks.length, block);
      assert.equal(
        Buffer.from(blocks[block - 1] ?? [])
          .toString()
          .split("\n").length,
        3,
      );
    }
  });

  it("of a call that is broken off at the end is not left waiting", (t) => {
    const { log, blocks } = setUp(t);
    log.callEnded({ path: "session", code: null, session: null, durationMs: 1 }, TARGET);
    log.close();
    assert.equal(blocks.length, 1);
    log.callEnded({ path: "session", code: "gone", session: null, durationMs: 1 }, TARGET);
    assert.equal(blocks.length, 2);
    t.mock.timers.tick(1_000);
    assert.equal(blocks.length, 2);
  });

  it("is not written where the logger's level hides it", (t) => {
    const { log, blocks } = setUp(t, "warn");
    log.callEnded({ path: "session", code: null, session: null, durationMs: 1 }, TARGET);
    log.close();
    assert.equal(blocks.length, 0);
  });
});
