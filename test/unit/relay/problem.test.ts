import type { HttpResponse } from "uWebSockets.js";
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { HttpError } from "../../../src/core/errors.ts";
import { RELAY_ERRORS, type RelayErrorCode, relayError } from "../../../src/relay/errors.ts";
import { answerProblem, reasonOf } from "../../../src/relay/problem.ts";

/** A response that keeps what was written. */
class FakeResponse {
  head = "";
  body: string | null = null;
  length = -1;

  writeStatus(text: string): this {
    this.head = text;
    return this;
  }

  end(body: string): this {
    this.body = body;
    return this;
  }

  tryEnd(body: string, length: number): [boolean, boolean] {
    this.body = body;
    this.length = length;
    return [true, true];
  }

  endWithoutBody(length: number): this {
    this.length = length;
    return this;
  }
}

function answer(error: HttpError, requestId = "id-1", isHead = false, allow = ""): FakeResponse {
  const res = new FakeResponse();
  answerProblem(res as unknown as HttpResponse, error, requestId, isHead, allow);
  return res;
}

describe("answerProblem", () => {
  it("answers with all members of the design", () => {
    const res = answer(relayError("ERR_RELAY_OFFLINE", { retryAfter: 2 }));
    assert.deepEqual(res.head.split("\r\n"), [
      "503 Service Unavailable",
      "content-type: application/problem+json",
      "cache-control: no-store",
      "x-request-id: id-1",
      "retry-after: 2",
    ]);
    assert.deepEqual(JSON.parse(res.body ?? ""), {
      type: "about:blank",
      title: "Service Unavailable",
      status: 503,
      detail: "The device is not connected.",
      code: "ERR_RELAY_OFFLINE",
      stage: "offline",
      retriable: true,
      request_id: "id-1",
    });
  });

  it("asks for credentials with 401, tells the methods with 405, the protocol with 426", () => {
    assert.match(answer(relayError("ERR_RELAY_UNAUTHORIZED")).head, /\r\nwww-authenticate: Bearer/);
    assert.match(answer(relayError("ERR_RELAY_METHOD"), "i", false, "GET").head, /\r\nallow: GET$/);
    const upgrade = answer(relayError("ERR_RELAY_UPGRADE_REQUIRED"));
    assert.match(upgrade.head, /\r\nupgrade: websocket/);
  });

  it("rounds Retry-After up to whole seconds and leaves out 0", () => {
    const res = answer(relayError("ERR_RELAY_LIMITED", { retryAfter: 0.2 }));
    assert.match(res.head, /\r\nretry-after: 1$/);
    assert.doesNotMatch(answer(relayError("ERR_RELAY_LIMITED")).head, /retry-after/);
  });

  it("tells the length alone to HEAD", () => {
    const res = answer(relayError("ERR_RELAY_NO_DEVICE"), "id", true);
    assert.equal(res.body, null);
    assert.equal(res.length, answer(relayError("ERR_RELAY_NO_DEVICE"), "id").body?.length);
  });

  it("never writes a request id that could split the response", () => {
    for (const id of ["a\r\nset-cookie: x=1", "a b", "a\u0000", "é", "x".repeat(129), ""]) {
      const res = answer(relayError("ERR_RELAY_NO_DEVICE"), id);
      assert.doesNotMatch(res.head, /x-request-id|set-cookie/);
      assert.equal((JSON.parse(res.body ?? "") as { request_id: string }).request_id, "");
    }
  });

  it("keeps the cause to itself", () => {
    const cause = new Error("token vAc_secret");
    const res = answer(relayError("ERR_RELAY_OPEN_REFUSED", { cause }));
    assert.doesNotMatch(`${res.head}${res.body}`, /secret/);
  });
});

describe("RELAY_ERRORS", () => {
  for (const [code, row] of Object.entries(RELAY_ERRORS)) {
    it(`${code} is complete`, () => {
      const error = relayError(code as RelayErrorCode);
      assert.ok(error instanceof HttpError);
      assert.equal(error.status, row.status);
      assert.equal(error.stage, row.stage);
      assert.match(row.text, /^[\x20-\x7e]+\.$/);
      if (row.status !== 499) assert.notEqual(reasonOf(row.status), "Error");
    });
  }

  it("gives every stage of the design its status", () => {
    const statuses = new Map<string, Set<number>>();
    for (const { stage, status } of Object.values(RELAY_ERRORS)) {
      statuses.set(stage, (statuses.get(stage) ?? new Set()).add(status));
    }
    const design = { no_device: 404, offline: 503, limited: 429, overloaded: 503, open: 502 };
    for (const [stage, status] of Object.entries({ ...design, first_byte: 504 })) {
      assert.deepEqual([...(statuses.get(stage) ?? [])], [status], stage);
    }
  });
});
