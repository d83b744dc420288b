import type { HttpRequest } from "uWebSockets.js";
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { HandshakeFields } from "../../../src/relay/handshake-fields.ts";

/** A request as uWS hands it over: names in lower case, in the order of the lines. */
function request(...lines: readonly (readonly [string, string])[]): HttpRequest {
  const forEach = (take: (name: string, value: string) => void): void => {
    for (const [name, value] of lines) take(name, value);
  };
  return { forEach } as HttpRequest;
}

describe("HandshakeFields", () => {
  it("picks out what a handshake is judged by", () => {
    const fields = new HandshakeFields();
    fields.read(
      request(
        ["host", "h"],
        ["origin", "https://page.test"],
        ["user-agent", "agent/1"],
        ["authorization", "Bearer x"],
        ["x-forwarded-for", "192.0.2.1"],
        ["sec-websocket-key", "key"],
        ["sec-websocket-version", "13"],
      ),
    );
    assert.equal(fields.origin, "https://page.test");
    assert.equal(fields.userAgent, "agent/1");
    assert.equal(fields.authorization, "Bearer x");
    assert.equal(fields.forwardedFor, "192.0.2.1");
    assert.equal(fields.webSocketKey, "key");
    assert.equal(fields.namesBody, false);
  });

  it("forgets the handshake before", () => {
    const fields = new HandshakeFields();
    fields.read(
      request(
        ["origin", "o"],
        ["user-agent", "u"],
        ["authorization", "a"],
        ["x-forwarded-for", "f"],
        ["sec-websocket-key", "k"],
        ["content-length", "1"],
      ),
    );
    fields.read(request());
    const { origin, userAgent, authorization, forwardedFor, webSocketKey, namesBody } = fields;
    assert.deepEqual(
      [origin, userAgent, authorization, forwardedFor, webSocketKey, namesBody],
      ["", "", "", "", "", false],
    );
  });

  it("takes the first of several lines, and all of X-Forwarded-For", () => {
    const fields = new HandshakeFields();
    fields.read(
      request(
        ["authorization", "Bearer first"],
        ["authorization", "Bearer second"],
        ["x-forwarded-for", "203.0.113.9"],
        ["x-forwarded-for", "198.51.100.1, 192.0.2.1"],
      ),
    );
    assert.equal(fields.authorization, "Bearer first");
    assert.equal(fields.forwardedFor, "203.0.113.9, 198.51.100.1, 192.0.2.1");
  });

  it("notices that a body is named, even by an empty field", () => {
    for (const name of ["content-length", "transfer-encoding"]) {
      const fields = new HandshakeFields();
      fields.read(request([name, ""]));
      assert.ok(fields.namesBody, name);
    }
  });
});
