import assert from "node:assert/strict";
import { test } from "node:test";
import { type Logger, pino } from "pino";
import { RequestLog } from "../../../src/api/access-log.ts";
import type { Exchange } from "../../../src/api/exchange.ts";

function exchange(over: object = {}, response: object = {}): Exchange {
  return {
    requestId: "abc-1",
    address: "2001:db8::1",
    method: "GET",
    path: "/api/devices",
    route: { path: "/api/devices", class: "key" },
    principal: { ref: "hwk_00000001" },
    code: "",
    bytesWritten: 300,
    bytesWrittenBefore: 100,
    startedAt: 5,
    response: { headersSent: true, statusCode: 200, writableFinished: true, ...response },
    ...over,
  } as unknown as Exchange;
}

/** What a request's log writes, and what pino writes of the same. */
function written(logged: Exchange, fields: object, level = "info") {
  const lines: string[] = [];
  const logger: Logger = pino({ level }, { write: (line: string) => void lines.push(line) });
  new RequestLog(logger).write(logged, 6.25);
  logger.info(fields, "request");
  const withoutTime = lines.map((line) => line.replace(/"time":\d+/, '"time":0'));
  return { count: lines.length, ours: withoutTime[0], pinos: withoutTime[1] };
}

const FIELDS = {
  request_id: "abc-1",
  client: "2001:db8::1",
  method: "GET",
  path: "/api/devices",
  route: "/api/devices",
  class: "key",
  principal: "hwk_00000001",
  status: 200,
  bytes_out: 200,
  total_us: 1_250,
};

test("request log: a line is what pino would write, byte for byte but for the time", () => {
  const { ours, pinos } = written(exchange(), FIELDS);
  assert.equal(ours, pinos);
});

test("request log: texts of others are quoted, and secrets of tokens are cut off", () => {
  const path = '/api/"\\\n\u2028é/hwk_12345678secret';
  const principal = { ref: 'client:"x\n"' };
  const fields = { ...FIELDS, path: '/api/"\\\n\u2028é/hwk_12345678', principal: principal.ref };
  const { ours, pinos } = written(exchange({ path, principal }), fields);
  assert.deepEqual(JSON.parse(ours ?? ""), JSON.parse(pinos ?? ""));
  assert.equal(ours?.includes("secret"), false);
});

test("request log: an answer that was cut, one that never began, and one with a code say so", () => {
  const cut = exchange({ code: "not_found" }, { statusCode: 404, writableFinished: false });
  const line = JSON.parse(written(cut, FIELDS).ours ?? "");
  assert.deepEqual([line.status, line.code, line.cut], [404, "not_found", true]);
  const none = exchange({ route: null, principal: null }, { headersSent: false });
  const empty = JSON.parse(written(none, FIELDS).ours ?? "");
  assert.deepEqual([empty.status, empty.route, empty.class, empty.principal], [499, "", "", ""]);
});

test("request log: nothing is written where the level is above it", () => {
  assert.equal(written(exchange(), FIELDS, "warn").count, 0);
});
