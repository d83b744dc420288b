import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ApiOptions } from "../../../src/api/index.ts";
import {
  bearer,
  cookie,
  GOOD,
  principal,
  sampleRoutes,
  startApi,
} from "../../support/api/harness.ts";
import { rawRequest } from "../../support/forward/raw-request.ts";

const CSP = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'";
const EVERY = {
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-resource-policy": "same-origin",
  "content-security-policy": CSP,
  "strict-transport-security": "max-age=31536000; includeSubDomains",
  "cache-control": "no-store",
  vary: "Cookie, Authorization",
};
const PROBLEM = { ...EVERY, "content-type": "application/problem+json" };
const JSON_ANSWER = { ...EVERY, "content-type": "application/json" };
/** Fields that differ from answer to answer or come from the transport. */
const LOOSE = new Set(["date", "content-length", "connection", "keep-alive", "x-request-id"]);
const BIG = `X-Big: ${"a".repeat(40_000)}`;

interface Case {
  readonly name: string;
  readonly request: string;
  readonly lines?: readonly string[];
  readonly body?: string;
  readonly status: number;
  readonly fields: Record<string, string>;
  readonly options?: Partial<ApiOptions>;
}

const CASES: readonly Case[] = [
  { name: "200 JSON", request: "GET /healthz", status: 200, fields: JSON_ANSWER },
  {
    name: "200 by a cookie",
    request: "GET /api/auth/me",
    lines: [cookie(GOOD.session)],
    status: 200,
    fields: JSON_ANSWER,
  },
  {
    name: "201",
    request: "POST /api/things",
    lines: [bearer(GOOD.key), "Content-Type: application/json", "Content-Length: 12"],
    body: '{"name":"a"}',
    status: 201,
    fields: { ...JSON_ANSWER, location: "/api/things/abcd" },
  },
  {
    name: "200 page",
    request: "GET /api/auth/login",
    status: 200,
    fields: {
      ...EVERY,
      "content-type": "text/html; charset=utf-8",
      "content-security-policy": `${CSP}; style-src 'sha256-gG2yISYereRMiG2lMXrbiUgi0Ubw9p7QCeWcroOvy9Y='`,
      "cross-origin-opener-policy": "same-origin",
    },
  },
  {
    name: "500 page",
    request: "GET /api/auth/logged-out",
    status: 500,
    fields: {
      ...EVERY,
      "content-type": "text/html; charset=utf-8",
      "cross-origin-opener-policy": "same-origin",
    },
  },
  {
    name: "204",
    request: "OPTIONS /healthz",
    status: 204,
    fields: { ...EVERY, allow: "GET, HEAD, OPTIONS" },
  },
  { name: "400 path", request: "GET //", status: 400, fields: PROBLEM },
  { name: "400 absolute form", request: "GET http://a/", status: 400, fields: PROBLEM },
  {
    name: "401",
    request: "GET /api/auth/me",
    status: 401,
    fields: { ...PROBLEM, "www-authenticate": 'Bearer realm="hawser"' },
  },
  { name: "404", request: "GET /nothing", status: 404, fields: PROBLEM },
  {
    name: "405",
    request: "PUT /healthz",
    status: 405,
    fields: { ...PROBLEM, allow: "GET, HEAD, OPTIONS" },
  },
  {
    name: "413",
    request: "POST /api/things",
    lines: [bearer(GOOD.key), "Content-Type: application/json", "Content-Length: 65"],
    body: " ".repeat(65),
    status: 413,
    fields: PROBLEM,
  },
  { name: "414", request: `GET /${"a".repeat(16_384)}`, status: 414, fields: PROBLEM },
  {
    name: "417",
    request: "GET /healthz",
    lines: ["Expect: the-unexpected"],
    status: 417,
    fields: PROBLEM,
  },
  { name: "431 by node:http", request: "GET /healthz", lines: [BIG], status: 431, fields: PROBLEM },
  {
    name: "431 by us",
    request: "GET /healthz",
    lines: Array<string>(100).fill("X-A: b"),
    status: 431,
    fields: PROBLEM,
  },
  {
    name: "500",
    request: "POST /api/things/abcd/boom",
    lines: [cookie(GOOD.session), "X-Hawser-CSRF: 1"],
    status: 500,
    fields: PROBLEM,
  },
  {
    name: "501",
    request: "POST /api/things",
    lines: ["Transfer-Encoding: gzip, chunked"],
    body: "0\r\n\r\n",
    status: 501,
    fields: PROBLEM,
  },
  { name: "400 by the parser", request: "GET /x y", status: 400, fields: PROBLEM },
  {
    name: "400 for two lengths",
    request: "POST /api/things",
    lines: ["Content-Length: 1", "Content-Length: 2"],
    status: 400,
    fields: PROBLEM,
  },
  {
    name: "400 for a length and chunks",
    request: "POST /api/things",
    lines: ["Content-Length: 5", "Transfer-Encoding: chunked"],
    body: "0\r\n\r\n",
    status: 400,
    fields: PROBLEM,
  },
  { name: "400 for a method that is none", request: "FOO /healthz", status: 400, fields: PROBLEM },
];

describe("every answer has the same fields", () => {
  for (const { name, request, lines, body, status, fields, options } of CASES) {
    it(name, async (t) => {
      const api = await startApi(t, sampleRoutes(), options);
      const answer = await api.send(request, lines, body);
      assert.equal(answer.status, status);
      assert.match(answer.fields.get("x-request-id") ?? "", /^[0-9a-f]{12}-\d+$/);
      const got = [...answer.fields].filter(([field]) => !LOOSE.has(field));
      assert.deepEqual(Object.fromEntries(got), fields);
      for (const banned of ["server", "x-powered-by"]) assert.ok(!answer.fields.has(banned));
      const text = answer.body.toString();
      assert.ok(!text.includes("canary-of-a-cause"));
      if (fields["content-type"] === PROBLEM["content-type"]) {
        const members = JSON.parse(text);
        assert.equal(members.status, status);
        assert.equal(members.request_id, answer.fields.get("x-request-id"));
      }
    });
  }

  for (const [name, head] of [
    ["a missing Host", "GET /healthz HTTP/1.1\r\n\r\n"],
    ["HTTP/0.9", "GET /healthz HTTP/0.9\r\nHost: a\r\n\r\n"],
    ["a line without a version", "GET /healthz\r\n\r\n"],
    ["HTTP/2.0", "GET /healthz HTTP/2.0\r\nHost: a\r\n\r\n"],
    ["two Hosts", "GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"],
    ["a bare line feed", "GET /healthz HTTP/1.1\nHost: a\r\nX: \ry\r\n\r\n"],
    ["a preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
    ["bytes that are no HTTP", "\x16\x03\x01\x02\x00"],
  ] as const) {
    it(`400 for ${name}`, async (t) => {
      const api = await startApi(t);
      const answer = await rawRequest(api.port, Buffer.from(head, "latin1"));
      assert.equal(answer.status, 400);
      const got = [...answer.fields].filter(([field]) => !LOOSE.has(field));
      assert.deepEqual(Object.fromEntries(got), PROBLEM);
    });
  }

  it("HSTS is for an https base URL alone", async (t) => {
    const api = await startApi(t, sampleRoutes(), { publicBaseUrl: "http://localhost:3721" });
    for (const request of ["GET /healthz", "GET /x y"]) {
      const answer = await api.send(request);
      assert.equal(answer.fields.has("strict-transport-security"), false);
    }
  });

  it("a cookie that is issued anew comes with whatever is answered", async (t) => {
    const api = await startApi(t);
    api.authenticator.verdicts.set("old", () => {
      return {
        ok: true,
        principal: principal("session"),
        setCookie: () => "__Host-hawser_sid=new",
      };
    });
    for (const [request, status] of [
      ["GET /api/auth/me", 200],
      ["GET /api/things/UPPER", 404],
      ["GET /api/things/abcd/http/x", 200],
      ["POST /api/things/abcd/boom", 403],
    ] as const) {
      const answer = await api.send(request, [cookie("old")]);
      assert.equal(answer.status, status);
      assert.equal(answer.fields.get("set-cookie"), "__Host-hawser_sid=new");
      assert.equal(answer.fields.get("cache-control"), "no-store");
    }
  });

  it("a cookie is not issued anew by an answer that comes after its session has ended", async (t) => {
    const api = await startApi(t);
    let isLive = true;
    api.authenticator.verdicts.set("old", () => {
      const setCookie = () => (isLive ? "__Host-hawser_sid=new" : null);
      return { ok: true, principal: principal("session"), setCookie };
    });
    const lines = [cookie("old"), "X-Hawser-CSRF: 1", "Content-Length: 4"];
    const target = "POST /api/things/abcd/http/x";
    const echo = (await api.send(target, lines, "body")).fields;
    assert.equal(echo.get("set-cookie"), "__Host-hawser_sid=new");
    isLive = false;
    const late = (await api.send(target, lines, "body")).fields;
    assert.equal(late.has("set-cookie"), false);
  });

  it("a credential that was good once is answered as a bad one, and may be removed", async (t) => {
    const api = await startApi(t, sampleRoutes(), { authFailuresMax: 1 });
    const clearCookie = "__Host-hawser_sid=; Max-Age=0";
    api.authenticator.verdicts.set("ended", () => ({ ok: false, reason: "ended", clearCookie }));
    for (let count = 0; count < 3; count++) {
      const answer = await api.send("GET /api/auth/me", [cookie("ended")]);
      assert.equal(answer.status, 401);
      assert.equal(answer.fields.get("set-cookie"), clearCookie);
      assert.match(answer.fields.get("www-authenticate") ?? "", /error="invalid_token"/);
    }
    assert.equal((await api.send("GET /api/auth/me", [cookie("guess")])).status, 401);
    assert.equal((await api.send("GET /api/auth/me", [cookie("guess")])).status, 429);
  });

  it("a caller's request id is taken where it can stand in a log", async (t) => {
    const api = await startApi(t);
    const own = await api.send("GET /nothing", ["X-Request-Id: my.own-id_1"]);
    assert.equal(own.fields.get("x-request-id"), "my.own-id_1");
    const odd = await api.send("GET /nothing", ['X-Request-Id: a"b{}<>;']);
    assert.match(odd.fields.get("x-request-id") ?? "", /^[0-9a-f]{12}-\d+$/);
  });

  it("an answer that failed midway carries nothing of the handler's", async (t) => {
    const api = await startApi(t);
    const lines = [cookie(GOOD.session), "X-Hawser-CSRF: 1"];
    const answer = await api.send("POST /api/things/abcd/boom", lines);
    assert.equal(answer.fields.has("set-cookie"), false);
    const logged = await api.logged(({ msg }) => msg === "request failed");
    assert.equal(logged["request_id"], answer.fields.get("x-request-id"));
    assert.ok(JSON.stringify(logged).includes("canary-of-a-cause"));
  });
});
