import assert from "node:assert/strict";
import { it } from "node:test";
import { bearer, GOOD, problem, startApi } from "../../support/api/harness.ts";
import { BYPASSES } from "../../support/api/paths.ts";
import { rawRequest } from "../../support/forward/raw-request.ts";

it("the corpus has at least forty paths", () => assert.ok(BYPASSES.length >= 40));

it("no path of the corpus gets past the first decision, with or without a credential", async (t) => {
  const api = await startApi(t);
  for (const target of BYPASSES) {
    for (const lines of ["", `${bearer(GOOD.key)}\r\n`]) {
      const head = `GET ${target} HTTP/1.1\r\nHost: api.test\r\n${lines}\r\n`;
      const answer = await rawRequest(api.port, Buffer.from(head, "latin1"));
      assert.equal(answer.status, 400, target);
      assert.match(String(problem(answer)["code"]), /^bad_(path|request)$/, target);
      assert.equal(answer.fields.get("x-content-type-options"), "nosniff", target);
    }
  }
  assert.deepEqual(api.authenticator.asked, []);
});

it("the authority form is 400", async (t) => {
  const api = await startApi(t);
  const head = "CONNECT api.test:443 HTTP/1.1\r\nHost: api.test:443\r\n\r\n";
  const answer = await rawRequest(api.port, head);
  assert.equal(answer.status, 400);
  assert.equal(problem(answer)["code"], "bad_path");
});

it("a tail is handed on byte for byte, query included", async (t) => {
  const api = await startApi(t);
  for (const tail of ["", "a//b;c%2Fd%25?x=1&y=%20", "?q", "http://169.254.169.254/"]) {
    const answer = await api.send(`GET /api/things/abcd/http/${tail}`, [bearer(GOOD.key)]);
    assert.equal(answer.status, 200);
    assert.equal(answer.fields.get("x-tail"), tail);
  }
  // The query is the device's as well.
  await api.send("GET /api/things/abcd/http/?token=x", [bearer(GOOD.key)]);
  assert.deepEqual(api.audit, []);
});
