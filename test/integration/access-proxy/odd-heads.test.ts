import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { writeUnsignedJwt } from "../../../src/access-proxy/index.ts";
import {
  exchange,
  lines,
  PRINCIPAL,
  type ProxyRig,
  startRig,
  TO_TA,
} from "../../support/access-proxy/rig.ts";

/** Heads that Node's server would answer, cut or misread by itself. */

let rig: ProxyRig;
before(async () => {
  rig = await startRig({ pathProx: "/proxy" });
});
after(() => rig.stop());
afterEach(() => {
  rig.instead = null;
  rig.received.length = 0;
});

/** A whole request; its connection ends with it. */
function send(
  line: string,
  fields: readonly string[],
  body = "",
  host = "Host: x",
): Promise<string> {
  const own = [`X-Access-Proxy-To: ${rig.target}/x`, `X-Access-Proxy-To-Id: ${TO_TA}`];
  const users = `X-Access-Proxy-Users: ${writeUnsignedJwt(PRINCIPAL)}`;
  const head = [
    line,
    ...(host === "" ? [] : [host]),
    ...own,
    users,
    ...fields,
    "Connection: close",
  ];
  return exchange(rig.port, `${head.join("\r\n")}\r\n\r\n${body}`);
}

const REFUSED =
  /^HTTP\/1\.1 400 .*X-Access-Proxy-Error: request is malformed\r\n.*"error":"invalid_request"/s;

test("a request without Host is refused with an OAuth 2.0 error; one of HTTP/1.0 needs none", async () => {
  assert.match(await send("GET /proxy HTTP/1.1", [], "", ""), REFUSED);
  assert.equal(rig.received.length, 0);
  assert.match(await send("GET /proxy HTTP/1.0", [], "", ""), /^HTTP\/1\.1 200 /);
});

test("a body in another transfer coding than chunked is refused, where it was forwarded as if it had none", async () => {
  const body = "2\r\nab\r\n0\r\n\r\n";
  for (const coding of ["gzip, chunked", "chunked, chunked"]) {
    const fields = [`Transfer-Encoding: ${coding}`];
    assert.match(await send("POST /proxy HTTP/1.1", fields, body), REFUSED, coding);
  }
  assert.equal(rig.received.length, 0);
  const fields = ["Transfer-Encoding: CHUNKED"];
  assert.match(await send("POST /proxy HTTP/1.1", fields, body), /^HTTP\/1\.1 200 /);
  assert.equal(rig.received[0]?.body.toString(), "ab");
});

test("an expectation that nobody knows is left to the target's judgement, but not told on", async () => {
  const fields = ["Expect: something", "Content-Length: 2"];
  assert.match(await send("POST /proxy HTTP/1.1", fields, "hi"), /^HTTP\/1\.1 200 /);
  assert.equal(rig.received[0]?.body.toString(), "hi");
  assert.equal(rig.received[0]?.headers.expect, undefined);
});

test("an absolute request target is known by its path", async () => {
  assert.match(await send("GET http://x/ok?a HTTP/1.1", []), /^HTTP\/1\.1 200 /);
  assert.equal(rig.received.length, 0);
  assert.match(await send("GET http://x/proxy/a?b HTTP/1.1", []), /^HTTP\/1\.1 200 /);
  assert.equal(rig.received.length, 1);
  for (const target of ["http://x/other", "*"]) {
    assert.match(await send(`GET ${target} HTTP/1.1`, []), /^HTTP\/1\.1 404 .*invalid endpoint/s);
  }
});

test("heads of thousands of lines pass whole, in both directions", async () => {
  const many = Array.from({ length: 2_500 }, (_, at) => `a: ${at % 10}`);
  rig.instead = (message, answer) => {
    message.resume();
    const all = [...many, "Content-Length: 2"].join("\r\n");
    answer.socket?.end(`HTTP/1.1 200 OK\r\n${all}\r\nX-Last: yes\r\n\r\nhi`);
    rig.instead = null;
  };
  const answer = await send("GET /proxy HTTP/1.1", []);
  assert.match(answer, /\r\nX-Last: yes\r\n/);
  assert.equal(answer.split("\r\na: ").length - 1, many.length);
  const fields = [...many, "X-Last: yes", "Content-Length: 4"];
  assert.match(await send("POST /proxy HTTP/1.1", fields, "body"), /^HTTP\/1\.1 200 /);
  const [message] = rig.received;
  assert.ok(message);
  assert.equal(message.body.toString(), "body");
  assert.equal(lines(message, "a").length, many.length);
});
