import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { after, before, test } from "node:test";
import { writeUnsignedJwt } from "../../../src/access-proxy/index.ts";
import { type RawTarget, startRawTarget } from "../../support/access-proxy/raw-target.ts";
import {
  onlyTo,
  PRINCIPAL,
  type ProxyRig,
  startRig,
  TO_TA,
} from "../../support/access-proxy/rig.ts";
import { until } from "../../support/until.ts";

/** E31: callers that leave where Node tells neither request nor answer of it. Nothing is left at the target. */

let target: RawTarget;
let rig: ProxyRig;
let origin: string;
before(async () => {
  target = await startRawTarget((socket) => {
    socket.once("data", (piece: Buffer) => {
      const isHeld = piece.includes(" /held ");
      if (!isHeld) socket.write("HTTP/1.1 413 X\r\nContent-Length: 9\r\n\r\ntoo large");
    });
  });
  origin = target.origin;
  rig = await startRig({ options: { destinationPolicy: onlyTo(origin) } });
});
after(async () => {
  await rig.stop();
  target.stop();
});

const codes = () => rig.outcomes.map(({ code }) => code);

function request(method: string, at: string, rest: string): string {
  return (
    `${method} / HTTP/1.1\r\nHost: x\r\nX-Access-Proxy-To: ${origin}${at}\r\nX-Access-Proxy-To-Id: ${TO_TA}\r\n` +
    `X-Access-Proxy-Users: ${writeUnsignedJwt(PRINCIPAL)}\r\n${rest}`
  );
}

test("E31: a caller that leaves with its answer, amid its body", async () => {
  const socket = connect(rig.port);
  socket.write(request("POST", "/", "Content-Length: 1000000\r\n\r\nsome"));
  await once(socket, "data");
  assert.equal(target.sockets.size, 1);
  socket.destroy();
  await until(() => target.sockets.size === 0, "the target's request to end");
  assert.deepEqual(codes(), [null]);
});

test("E31: a caller that leaves while most of its requests wait behind another", async (t) => {
  const warnings: Error[] = [];
  const onWarning = (warning: Error): void => void warnings.push(warning);
  process.on("warning", onWarning);
  t.after(() => process.off("warning", onWarning));
  rig.outcomes.length = 0;
  const count = 20;
  const socket = connect(rig.port);
  socket.write(request("GET", "/held", "\r\n").repeat(count));
  await until(() => target.sockets.size === count, "all requests");
  socket.destroy();
  await until(() => target.sockets.size === 0, "all of the target's requests to end");
  assert.deepEqual(
    codes(),
    Array.from({ length: count }, () => "gone"),
  );
  assert.deepEqual(warnings, []);
});
