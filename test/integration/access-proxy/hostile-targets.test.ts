import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { type RawTarget, startRawTarget } from "../../support/access-proxy/raw-target.ts";
import { ID, IDP_A, onlyTo, type ProxyRig, startRig } from "../../support/access-proxy/rig.ts";
import { until } from "../../support/until.ts";

/** Targets that answer what no server should: the caller is told, the connection is given up, and the proxy goes on. */

/** What the target answers to each request, as it is. */
let says = "";
let target: RawTarget;
let rig: ProxyRig;
let origin: string;
before(async () => {
  target = await startRawTarget((socket) => {
    socket.on("data", () => socket.write(Buffer.from(says, "latin1")));
  });
  origin = target.origin;
  rig = await startRig({ options: { destinationPolicy: onlyTo(origin) } });
});
after(async () => {
  await rig.stop();
  target.stop();
});

const call = () => rig.call({ headers: ID, to: `${origin}/` });

const NO_ANSWERS: ReadonlyArray<readonly [what: string, line: string]> = [
  ["status of less than three digits", "099 X"],
  ["status zero", "000 X"],
  ["status of four digits", "1000 X"],
  ["change of protocols that nobody asked for", "101 Switching Protocols"],
  ["reason with a control character", "200 a\x01b"],
  ["reason with a delete character", "200 a\x7fb"],
];

for (const [what, line] of NO_ANSWERS) {
  test(`E23: a target that answers with a ${what}`, async () => {
    says = `HTTP/1.1 ${line}\r\nContent-Length: 2\r\n\r\nhi`;
    const answer = await call();
    assert.equal(answer.status, 500);
    assert.equal(
      answer.headers["x-access-proxy-error"],
      "destination did not give a valid response",
    );
    await until(() => target.sockets.size === 0, "the target's connection to be given up");
  });
}

test("a head that cannot be parsed is logged without what it says, be it a target's or an ID provider's", async () => {
  says =
    "HTTP/1.1 200 OK\r\nSet-Cookie: Edo-Cooperation=canary; Max-Age=600\r\nBad Name: canary\r\n\r\n";
  assert.equal((await call()).status, 500);
  const idp = rig.idps.get(IDP_A);
  assert.ok(idp);
  idp.instead = (_message, answer) => void answer.socket?.end(says);
  assert.equal((await call()).status, 500);
  idp.instead = null;
  const errors = rig.logs.map((line) => JSON.parse(line).err).filter((err) => err !== undefined);
  for (const { message } of errors.slice(-2)) assert.match(message, /Invalid header token/);
  for (const err of errors) {
    const { type, message, stack, code, ...rest } = err;
    assert.deepEqual(rest, {});
    assert.doesNotMatch(`${type}${message}${stack}${code}`, /canary/);
  }
});

test("a refused session whose answer's body never comes: the call goes on, and the connection is given up", async () => {
  for (const socket of target.sockets) socket.destroy();
  await until(() => target.sockets.size === 0, "earlier connections to end");
  says =
    "HTTP/1.1 200 OK\r\nSet-Cookie: Edo-Cooperation=s; Max-Age=600\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
  assert.equal((await call()).status, 200);
  says =
    "HTTP/1.1 403 Forbidden\r\nX-Edo-Cooperation-Error: invalid session\r\nContent-Length: 100\r\n\r\n";
  const retried = call();
  await until(() => rig.sessions.size === 0, "the session to be forgotten");
  says = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi";
  assert.equal((await retried).body.toString(), "hi");
  assert.equal(rig.outcomes.at(-1)?.path, "retried");
  await until(() => target.sockets.size === 0, "the refused one's connection to be given up");
});

test("a target's odd but readable status lines are relayed", async () => {
  for (const [line, status] of [
    ["999 X", 999],
    ["200", 200],
    ["200 caf\xe9\tau lait", 200],
  ] as const) {
    says = `HTTP/1.1 ${line}\r\nContent-Length: 2\r\n\r\nhi`;
    const answer = await call();
    assert.deepEqual([answer.status, answer.body.toString()], [status, "hi"], line);
  }
});
