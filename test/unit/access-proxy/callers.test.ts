import assert from "node:assert/strict";
import type { IncomingMessage } from "node:http";
import test from "node:test";
import { localCallers, namingUs, unixSocketCallers } from "../../../src/access-proxy/index.ts";

function from(remoteAddress: string | undefined, host?: string): IncomingMessage {
  return { socket: { remoteAddress }, headers: { host } } as unknown as IncomingMessage;
}

test("callers: a peer on this host is trusted, in each spelling of its address", () => {
  for (const address of ["127.0.0.1", "127.9.8.7", "::1", "::ffff:127.0.0.1"]) {
    assert.equal(localCallers.scopeOf(from(address)), "", address);
  }
  for (const address of ["10.0.0.1", "::ffff:10.0.0.1", "fe80::1", "127.0.0.1.example", ""]) {
    assert.equal(localCallers.scopeOf(from(address)), null, address);
  }
});

test("callers: a peer whose connection is reset already has no address, and is not taken for one of this host", () => {
  assert.equal(localCallers.scopeOf(from(undefined)), null);
  assert.equal(unixSocketCallers.scopeOf(from(undefined)), "");
});

test("callers: one that calls this listener by a name of somebody's own is refused", () => {
  const callers = namingUs(new Set(["localhost:16050"]), localCallers);
  assert.equal(callers.scopeOf(from("127.0.0.1", "LOCALHOST:16050")), "");
  for (const host of ["rebound.example:16050", "localhost", undefined]) {
    assert.equal(callers.scopeOf(from("127.0.0.1", host)), null, host);
  }
});
