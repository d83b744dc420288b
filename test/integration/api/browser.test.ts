import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  bearer,
  cookie,
  GOOD,
  problem,
  sampleRoutes,
  startApi,
} from "../../support/api/harness.ts";

const SPA = "https://spa.test";
const MINE = cookie(GOOD.session);
const BODY = ["Content-Type: application/json", "Content-Length: 12"];

describe("a request by cookie", () => {
  for (const [name, lines, status] of [
    ["with the header", ["X-Hawser-CSRF: 1"], 201],
    ["without the header", [], 403],
    [
      "from our own page",
      ["X-Hawser-CSRF: 1", "Origin: https://api.test", "Sec-Fetch-Site: same-origin"],
      201,
    ],
    [
      "from a configured origin",
      ["X-Hawser-CSRF: 1", `Origin: ${SPA}`, "Sec-Fetch-Site: same-site"],
      201,
    ],
    ["from elsewhere", ["X-Hawser-CSRF: 1", "Origin: https://evil.test"], 403],
    ["from an opaque origin", ["X-Hawser-CSRF: 1", "Origin: null"], 403],
    ["from a sibling host", ["X-Hawser-CSRF: 1", "Sec-Fetch-Site: same-site"], 403],
    [
      "with two origins",
      ["X-Hawser-CSRF: 1", "Origin: https://api.test", "Origin: https://evil.test"],
      400,
    ],
  ] as const) {
    it(`${name} is ${status}`, async (t) => {
      const api = await startApi(t, sampleRoutes(), { corsOrigins: [SPA] });
      const answer = await api.send("POST /api/things", [MINE, ...BODY, ...lines], '{"name":"a"}');
      assert.equal(answer.status, status);
      const expected = status === 403 ? ["malicious_csrf"] : [];
      assert.deepEqual(
        api.audit.map(({ event }) => event),
        expected,
      );
      if (status === 403) assert.equal(problem(answer)["code"], "csrf_failed");
    });
  }

  it("that is JSON in disguise is 403, by a key 415", async (t) => {
    const api = await startApi(t);
    const body = ["Content-Type: text/plain", "Content-Length: 12"];
    const byCookie = await api.send(
      "POST /api/things",
      [MINE, "X-Hawser-CSRF: 1", ...body],
      '{"name":"a"}',
    );
    assert.equal(byCookie.status, 403);
    const byKey = await api.send("POST /api/things", [bearer(GOOD.key), ...body], '{"name":"a"}');
    assert.equal(byKey.status, 415);
    assert.equal(byKey.fields.get("accept"), "application/json, application/merge-patch+json");
  });

  it("without a body wants the header as well", async (t) => {
    const api = await startApi(t);
    assert.equal((await api.send("DELETE /api/things/abcd", [MINE])).status, 403);
    assert.equal(
      (await api.send("DELETE /api/things/abcd", [MINE, "X-Hawser-CSRF: 1"])).status,
      200,
    );
  });

  it("that streams to a device is JSON, or is refused", async (t) => {
    const api = await startApi(t);
    const lines = [MINE, "X-Hawser-CSRF: 1", "Content-Type: text/plain", "Content-Length: 1"];
    assert.equal((await api.send("POST /api/things/abcd/http/x", lines, "a")).status, 403);
  });

  it("a key needs none of it", async (t) => {
    const api = await startApi(t);
    const lines = [bearer(GOOD.key), ...BODY, "Origin: https://evil.test"];
    assert.equal((await api.send("POST /api/things", lines, '{"name":"a"}')).status, 201);
  });

  it("reads are not for other sites, nor for script and image elements", async (t) => {
    const api = await startApi(t);
    for (const line of [
      "Sec-Fetch-Site: cross-site",
      "Sec-Fetch-Dest: script",
      "Sec-Fetch-Dest: image",
    ]) {
      for (const method of ["GET", "HEAD"]) {
        const answer = await api.send(`${method} /api/auth/me`, [MINE, line]);
        assert.equal(answer.status, 403, line);
        assert.equal(answer.fields.get("cross-origin-resource-policy"), "same-origin");
      }
    }
    assert.equal(
      (await api.send("GET /api/things", [bearer(GOOD.key), "Sec-Fetch-Dest: image"])).status,
      200,
    );
  });
});

describe("CORS", () => {
  const ACAO = "access-control-allow-origin";
  const ask = (origin: string): string[] => [
    `Origin: ${origin}`,
    "Access-Control-Request-Method: POST",
  ];

  it("gives nobody anything by default", async (t) => {
    const api = await startApi(t);
    const preflight = await api.send("OPTIONS /api/things", ask(SPA));
    assert.equal(preflight.status, 204);
    for (const name of preflight.fields.keys())
      assert.ok(!name.startsWith("access-control-"), name);
    assert.equal(preflight.fields.get("vary"), "Cookie, Authorization");
  });

  for (const origin of [
    "https://evil.test",
    "null",
    `${SPA}.evil.test`,
    `${SPA}:444`,
    "http://spa.test",
  ]) {
    it(`gives ${origin} nothing`, async (t) => {
      const api = await startApi(t, sampleRoutes(), { corsOrigins: [SPA] });
      for (const [request, lines] of [
        ["OPTIONS /api/things", ask(origin)],
        ["GET /healthz", [`Origin: ${origin}`]],
      ] as const) {
        const answer = await api.send(request, lines);
        assert.equal(answer.fields.has(ACAO), false);
        assert.equal(answer.fields.get("vary"), "Cookie, Authorization, Origin");
      }
    });
  }

  it("answers the pre-flight of a configured origin, and calls nobody", async (t) => {
    const api = await startApi(t, sampleRoutes(), { corsOrigins: [SPA] });
    const answer = await api.send("OPTIONS /api/things", [...ask(SPA), bearer("garbage")]);
    assert.equal(answer.status, 204);
    assert.equal(answer.fields.get(ACAO), SPA);
    assert.equal(answer.fields.get("access-control-allow-credentials"), "true");
    assert.equal(answer.fields.get("access-control-allow-methods"), "GET, POST, HEAD, OPTIONS");
    assert.match(answer.fields.get("access-control-allow-headers") ?? "", /X-Hawser-CSRF/);
    assert.deepEqual(api.authenticator.asked, []);
  });

  it("lets a configured origin read errors, too", async (t) => {
    const api = await startApi(t, sampleRoutes(), { corsOrigins: [SPA] });
    for (const request of ["GET /api/auth/me", "GET /nothing", "GET //"]) {
      const answer = await api.send(request, [`Origin: ${SPA}`]);
      assert.equal(answer.fields.get(ACAO), SPA, request);
      assert.match(answer.fields.get("access-control-expose-headers") ?? "", /X-Request-Id/);
    }
  });
});
