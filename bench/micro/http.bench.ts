import {
  type HeadArena,
  RequestFields,
  type RequestHop,
  ResponseParser,
  type ResponseSink,
  requestHead,
} from "../../src/relay/http1/index.ts";
import type { MicroBench } from "./micro-bench.ts";

const EXCHANGES = 100;
const FIELDS: readonly (readonly [string, string])[] = [
  ["host", "relay.example.org"],
  ["user-agent", "curl/8.5.0"],
  ["accept", "application/json, text/plain;q=0.9, */*;q=0.8"],
  ["authorization", "Bearer hwk_0123456789"],
  ["accept-encoding", "gzip, deflate, br"],
  ["accept-language", "en-GB,en;q=0.7"],
];
const HOP: RequestHop = {
  host: "relay.example.org",
  clientAddress: "192.0.2.7",
  proto: "https",
  forwardedPrefix: "/d/ptvc6yfze3cyql65",
  forwardAuthorization: false,
  trustForwarded: false,
  requestId: "0123456789abcdef",
};
const RESPONSE = Buffer.from(
  "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\n" +
    "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Length: 13\r\n\r\nHello, world!",
  "latin1",
);

class Sink implements ResponseSink {
  bytes = 0;
  responseOnHead(): void {}
  responseOnBody(_chunk: Uint8Array, start: number, end: number): void {
    this.bytes += end - start;
  }
  responseOnEnd(): void {}
}

/** The two heads that a small request costs. */
export function httpBenches(): readonly MicroBench[] {
  const fields = new RequestFields();
  const parser = new ResponseParser(32_768);
  const target = Buffer.alloc(4_096);
  const arena: HeadArena = { bytes: new Uint8Array(65_536), used: 0, reserve: () => {} };
  return [
    {
      id: "request_head",
      title: "a request's fields taken and its head written",
      operations: EXCHANGES,
      reference: "objects",
      run() {
        let sum = 0;
        for (let count = 0; count < EXCHANGES; count++) {
          fields.reset();
          for (const [name, value] of FIELDS) fields.add(name, value);
          fields.finish();
          const head = requestHead("GET", "/hello?full=1", fields, HOP);
          sum += target.write(head, 0, "latin1");
        }
        return fields.problem === null ? sum : -1;
      },
    },
    {
      id: "response_head",
      title: "a small response read",
      operations: EXCHANGES,
      reference: "bytes",
      run() {
        const sink = new Sink();
        let sum = 0;
        for (let count = 0; count < EXCHANGES; count++) {
          parser.reset(false);
          arena.used = 0;
          sum += parser.execute(RESPONSE, 0, RESPONSE.length, arena, sink);
        }
        return parser.error === null ? sum + sink.bytes + parser.status : -1;
      },
    },
  ];
}
