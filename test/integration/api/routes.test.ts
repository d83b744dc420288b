import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { json, metricsRoute, route } from "../../../src/api/index.ts";
import { CLASS_ADMITS, type PrincipalKind } from "../../../src/api/ports.ts";
import { METHODS, type Route } from "../../../src/api/route.ts";
import {
  bearer,
  cookie,
  GOOD,
  principal,
  problem,
  sampleRoutes,
  startApi,
} from "../../support/api/harness.ts";

const internal = route({
  method: "POST",
  path: "/internal/authorize",
  class: "internal",
  summary: "Decides.",
  responses: { 200: { description: "Decided." } },
  handler: () => json(200, {}),
});

/** A target that the pattern matches. */
function targetOf({ path }: Route): string {
  return path.replace(/:id/, "abcd").replace(/\*path/, "some/where");
}

function methodsOf({ method }: Route): readonly string[] {
  return method === "ANY" ? METHODS : [method];
}

/** The head line that shows a credential of this kind. */
function shown(kind: PrincipalKind): string {
  return kind === "session" ? cookie(GOOD.session) : bearer(GOOD[kind]);
}

const CSRF = "X-Hawser-CSRF: 1";
const WITHOUT_EFFECT: readonly (readonly [string, readonly string[], boolean])[] = [
  ["no credential", [], false],
  ["a garbage bearer", [bearer("garbage")], true],
  ["an expired bearer", [bearer("hwk_aaaaaaaa_expired")], true],
  ["a garbage cookie", [cookie("garbage")], true],
  ["an expired cookie", [cookie("expired-session")], true],
  ["Basic", ["Authorization: Basic dTpw"], true],
  ["an empty Authorization beside a good cookie", ["Authorization:", cookie(GOOD.session)], true],
  ["a bad bearer beside a good cookie", [bearer("garbage"), cookie(GOOD.session)], true],
  ["a session as bearer", [bearer(GOOD.session)], true],
  ["a key as cookie", [cookie(GOOD.key)], true],
  ["two cookies", [`${cookie(GOOD.session)}; __Host-hawser_sid=b`], false],
  ["a foreign cookie name", [`Cookie: \u00a0__Host-hawser_sid=${GOOD.session}`], false],
  ["a probe's User-Agent", ["User-Agent: kube-probe/1.0 GoogleHC/1.0"], false],
  ["a forwarded URI", ["X-Forwarded-Uri: /healthz", "X-Original-URL: /healthz"], false],
  ["an upgrade", ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"], false],
];

describe("the inventory of routes", () => {
  for (const [face, routes] of [
    ["public", sampleRoutes()],
    ["internal", [internal]],
  ] as const) {
    it(`${face}: every guarded route is 401 without a credential of its own`, async (t) => {
      const api = await startApi(t, routes, { authFailuresMax: 1_000_000 }, face);
      let checked = 0;
      for (const each of api.router.routes.filter(({ class: c }) => CLASS_ADMITS[c].length > 0)) {
        const kinds = Object.keys(GOOD) as PrincipalKind[];
        const wrong = kinds
          .filter((kind) => !CLASS_ADMITS[each.class].includes(kind))
          .map((kind) => [`a ${kind}`, [shown(kind)], true] as const);
        for (const method of methodsOf(each)) {
          const heads = method === "GET" ? ["GET", "HEAD"] : [method];
          for (const verb of heads) {
            for (const [name, lines, presented] of [...WITHOUT_EFFECT, ...wrong]) {
              const where = `${verb} ${each.path} with ${name}`;
              const answer = await api.send(`${verb} ${targetOf(each)}`, [...lines, CSRF]);
              assert.equal(answer.status, 401, where);
              const challenge = 'Bearer realm="hawser"';
              const expected = presented ? `${challenge}, error="invalid_token"` : challenge;
              assert.equal(answer.fields.get("www-authenticate"), expected, where);
              if (verb !== "HEAD") assert.equal(problem(answer)["code"], "unauthenticated");
              checked += 1;
            }
          }
          const query = `access_token=${GOOD.key}&token=${GOOD.key}`;
          const answer = await api.send(`${method} ${targetOf(each)}?${query}`, [CSRF]);
          assert.equal(answer.status, 401, `${method} ${each.path} with a token in the query`);
        }
      }
      assert.ok(checked >= (face === "public" ? 150 : 15), String(checked));
    });
  }

  it("the open routes are these, each with a reason", async (t) => {
    const { router } = await startApi(t);
    const open = router.routes.filter(({ class: c }) => c === "public" || c === "page");
    assert.deepEqual(
      open.map(({ path }) => path),
      ["/healthz", "/readyz", "/api/openapi.json", "/api/auth/login", "/api/auth/logged-out"],
    );
    for (const { reason } of open) assert.ok(reason.length > 10);
    for (const each of router.routes) assert.equal(each.reason === "", !open.includes(each));
  });

  it("every kind gets through where its class takes it", async (t) => {
    const api = await startApi(t);
    for (const [request, lines, status] of [
      ["GET /api/auth/me", [shown("session")], 200],
      ["GET /api/things", [shown("session")], 200],
      ["GET /api/things", [shown("key")], 200],
      ["GET /api/things", [shown("service")], 200],
      ["POST /api/device/rotate", [shown("device")], 200],
      ["HEAD /api/things", [shown("key")], 200],
    ] as const) {
      assert.equal((await api.send(request, lines)).status, status, request);
    }
    const inside = await startApi(t, [internal], {}, "internal");
    assert.equal((await inside.send("POST /internal/authorize", [shown("internal")])).status, 200);
  });

  it("a body is the same for an unknown, an expired and a misplaced credential", async (t) => {
    const api = await startApi(t);
    const bodies = new Set<string>();
    for (const line of [bearer("garbage"), bearer("expired"), shown("device"), cookie("x")]) {
      const { request_id: _, ...rest } = problem(await api.send("GET /api/things", [line]));
      bodies.add(JSON.stringify(rest));
    }
    assert.equal(bodies.size, 1);
  });

  it("two Authorization fields are 400", async (t) => {
    const api = await startApi(t);
    const twice = await api.send("GET /api/things", [shown("key"), shown("key")]);
    assert.equal(twice.status, 400);
    assert.equal(problem(twice)["code"], "duplicate_field");
  });

  it("403 is for a scope and for a role", async (t) => {
    const api = await startApi(t);
    const scope = await api.send("DELETE /api/things/abcd", [shown("key")]);
    assert.equal(scope.status, 403);
    assert.equal(
      scope.fields.get("www-authenticate"),
      'Bearer realm="hawser", error="insufficient_scope", scope="things:write"',
    );
    const role = await api.send("PUT /api/admin/things/abcd", [shown("session"), CSRF]);
    assert.equal(problem(role)["code"], "insufficient_role");
    assert.deepEqual(
      api.audit.map(({ event, reason }) => [event, reason]),
      [
        ["authz_fail", "scope"],
        ["authz_fail", "role"],
      ],
    );
    api.authenticator.verdicts.set(GOOD.session, () => {
      return { ok: true, principal: principal("session", { role: "admin" }) };
    });
    const admin = await api.send("PUT /api/admin/things/abcd", [shown("session"), CSRF]);
    assert.equal(admin.status, 200);
    assert.equal((await api.send("DELETE /api/things/abcd", [shown("session"), CSRF])).status, 200);
  });

  it("a credential in the query is told to the audit log, without its value", async (t) => {
    const api = await startApi(t);
    await api.send("GET /api/things?access_token=canary-token");
    assert.deepEqual(
      api.audit.map(({ event }) => event),
      ["credential_in_url"],
    );
    assert.ok(!JSON.stringify([api.audit, api.lines]).includes("canary-token"));
  });

  it("two cookies of our name are told to the audit log", async (t) => {
    const api = await startApi(t);
    const twice = `${cookie(GOOD.session)}; __Host-hawser_sid=b`;
    assert.equal((await api.send("GET /api/auth/me", [twice])).status, 401);
    const lines = [cookie(GOOD.session), cookie("b")];
    assert.equal((await api.send("GET /api/auth/me", lines)).status, 401);
    assert.deepEqual(
      api.audit.map(({ event }) => event),
      ["duplicate_cookie", "duplicate_cookie"],
    );
  });

  it("what cannot be decided now is 503", async (t) => {
    const api = await startApi(t);
    api.authenticator.verdicts.set("k", () => ({
      ok: false,
      reason: "unavailable",
      retryAfter: 3,
    }));
    const answer = await api.send("GET /api/things", [bearer("k")]);
    assert.equal(answer.status, 503);
    assert.equal(answer.fields.get("retry-after"), "3");
  });

  for (const [request, status, allow] of [
    ["GET /nothing", 404, undefined],
    ["GET /", 404, undefined],
    ["GET /metrics", 404, undefined],
    ["GET /api/things/", 404, undefined],
    ["GET /API/things", 404, undefined],
    ["GET /api/%74hings", 404, undefined],
    ["OPTIONS /nothing", 404, undefined],
    ["POST /healthz", 405, "GET, HEAD, OPTIONS"],
    ["HEAD /api/auth/login", 405, "GET, OPTIONS"],
    ["PATCH /api/things/abcd", 405, "GET, DELETE, HEAD, OPTIONS"],
    ["TRACE /api/things", 405, "GET, POST, HEAD, OPTIONS"],
    ["PROPFIND /api/things", 405, "GET, POST, HEAD, OPTIONS"],
    ["OPTIONS /api/things", 204, "GET, POST, HEAD, OPTIONS"],
    ["HEAD /healthz", 200, undefined],
  ] as const) {
    it(`${request} is ${status}`, async (t) => {
      const api = await startApi(t);
      const answer = await api.send(request);
      assert.equal(answer.status, status);
      assert.equal(answer.fields.get("allow"), allow);
    });
  }

  it("a method in a header or in the query changes nothing", async (t) => {
    const api = await startApi(t);
    const answer = await api.send("GET /api/things/abcd?_method=DELETE", [
      shown("session"),
      "X-HTTP-Method-Override: DELETE",
      "X-Method-Override: DELETE",
    ]);
    assert.equal(answer.status, 200);
    assert.equal((await api.logged(({ status }) => status === 200))["method"], "GET");
  });

  it("a parameter that does not fit answers as one that is unknown", async (t) => {
    const api = await startApi(t);
    const wrong = await api.send("GET /api/things/UPPER", [shown("key")]);
    assert.equal(wrong.status, 404);
    assert.equal(problem(wrong)["code"], "not_found");
  });

  it("metrics are on the internal listener, for whoever has its secret", async (t) => {
    const metrics = metricsRoute(async () => "up 1\n", "text/plain; version=0.0.4");
    const inside = await startApi(t, [metrics], {}, "internal");
    assert.equal((await inside.send("GET /metrics")).status, 401);
    const answer = await inside.send("GET /metrics", [shown("internal")]);
    assert.equal(answer.body.toString(), "up 1\n");
    await assert.rejects(startApi(t, [metrics]), /served internally alone/);
    await assert.rejects(startApi(t, [internal]), /served internally alone/);
  });
});
