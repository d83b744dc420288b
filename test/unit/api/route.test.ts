import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { z } from "zod";
import { describeApi, json, type Route, Router, route } from "../../../src/api/index.ts";

const rest = {
  summary: "S.",
  responses: { 200: { description: "D." } },
  handler: () => json(200, 1),
};
const get = (path: string): Route =>
  route({ method: "GET", path, class: "session", ...rest, ...paramsFor(path) });

function paramsFor(path: string): { params?: z.ZodObject } {
  const names = [...path.matchAll(/\/:(\w+)/g)].map(([, name]) => [name ?? "", z.string()]);
  return names.length === 0 ? {} : { params: z.object(Object.fromEntries(names)) };
}

describe("route", () => {
  it("without a class does not compile, and fails when it runs", () => {
    // @ts-expect-error a route has a class
    assert.throws(() => route({ method: "GET", path: "/x", ...rest }), /has a class/);
    // @ts-expect-error of the six
    assert.throws(() => route({ method: "GET", path: "/x", class: "any", ...rest }), /has a class/);
    const inherited = "toString" as "session";
    assert.throws(() => route({ method: "GET", path: "/x", class: inherited, ...rest }), /class/);
  });

  it("that is open without a reason does not compile, and fails when it runs", () => {
    // @ts-expect-error an open route has a reason
    assert.throws(() => route({ method: "GET", path: "/x", class: "public", ...rest }), /reason/);
    const blank = { class: "page", reason: " " } as const;
    assert.throws(() => route({ method: "GET", path: "/x", ...blank, ...rest }), /reason/);
    const open = { class: "public", reason: "It is open." } as const;
    // @ts-expect-error an open route knows no caller and asks no scope
    route({ method: "GET", path: "/x", ...open, scope: "s", ...rest });
  });

  it("hands its handler what its schemas give", () => {
    route({
      method: "POST",
      path: "/x/:id",
      class: "key",
      summary: "S.",
      params: z.object({ id: z.string() }),
      query: z.object({ n: z.coerce.number() }),
      body: { kind: "json", schema: z.object({ b: z.boolean() }) },
      responses: {},
      handler: ({ params, query, body }) => {
        const typed: [string, number, boolean] = [params.id, query.n, body.b];
        // @ts-expect-error it has no such parameter
        return json(200, [typed, params.other]);
      },
    });
  });

  for (const path of [
    "",
    "x",
    "/x//y",
    "/:a/*b/c",
    "/x y",
    "/:A",
    "/x?y",
    "/x/*",
    "/x:y/z",
    "/x:y:z",
    "/x:Y",
  ]) {
    it(`refuses the pattern ${JSON.stringify(path)}`, () => {
      assert.throws(() => get(path), /pattern/);
    });
  }

  it("takes a verb behind the last segment, which is no parameter, and describes it as it is", () => {
    const verb = get("/x/:id/token:rotate-all");
    const router = new Router("public", [verb, get("/x/:id/token")]);
    const match = router.match("GET", "/x/1/token:rotate-all");
    assert.equal(match.kind === "route" && match.route, verb);
    assert.deepEqual(match.kind === "route" && match.params, { id: "1" });
    assert.equal(router.match("GET", "/x/1/token:other").kind, "none");
    const info = { title: "T", version: "1", publicBaseUrl: "https://a.test", cookieName: "c" };
    const { paths } = describeApi([verb], info) as { paths: object };
    assert.deepEqual(Object.keys(paths), ["/x/{id}/token:rotate-all"]);
  });

  it("describes each of its parameters, and no other", () => {
    const bare = { method: "GET", path: "/x/:id", class: "key", ...rest } as const;
    assert.throws(() => route(bare), /describes its parameters/);
    assert.throws(() => route({ ...bare, params: z.object({ no: z.string() }) }), /describes/);
  });
});

describe("Router", () => {
  const router = new Router("public", [
    get("/"),
    get("/a"),
    get("/a/:x"),
    get("/a/b"),
    get("/a/:x/c"),
    get("/a/b/d"),
    get("/t/:x/h/*rest"),
    get("/t/:x/h/own"),
  ]);

  for (const [path, expected, params] of [
    ["/", "/", {}],
    ["/a", "/a", {}],
    ["/a/", null, {}],
    ["/A", null, {}],
    ["/a/b", "/a/b", {}],
    ["/a/z", "/a/:x", { x: "z" }],
    ["/a/b/c", "/a/:x/c", { x: "b" }],
    ["/a/b/d", "/a/b/d", {}],
    ["/a/z/d", null, {}],
    ["/a/%7A", "/a/:x", { x: "z" }],
    ["/a//c", null, {}],
    ["/t/1/h/", "/t/:x/h/*rest", { x: "1" }],
    ["/t/1/h/p//q;r", "/t/:x/h/*rest", { x: "1" }],
    ["/t/1/h/own", "/t/:x/h/own", {}],
    ["/t/1/h", null, {}],
    ["/toString", null, {}],
    ["/__proto__", null, {}],
  ] as const) {
    it(`${path} is ${expected}`, () => {
      const match = router.match("GET", path);
      if (match.kind !== "route") return assert.equal(expected, null);
      assert.equal(match.route.path, expected);
      if (expected !== "/t/:x/h/own") assert.deepEqual(match.params, params);
    });
  }

  it("finds where a tail begins, and only where the tail route is the one that answers", () => {
    assert.equal(router.findTail("/t/1/h/p//q"), "/t/1/h/".length);
    assert.equal(router.findTail("/t/1/h/"), "/t/1/h/".length);
    for (const path of ["/t/1/h/own", "/t/1/h", "/a/b", "//t/1/h/x", "/t//h/x"]) {
      assert.equal(router.findTail(path), -1, path);
    }
  });

  it("holds one route a place", () => {
    assert.throws(() => new Router("public", [get("/a/:x"), get("/a/:y")]), /declared once/);
  });
});
