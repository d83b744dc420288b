/** What holds for all of these routes, found by walking them. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import test from "node:test";
import { Validator } from "@seriousme/openapi-schema-validator";
import { describeApi, type Route } from "../../../../src/api/index.ts";
import { mintToken } from "../../../../src/core/token.ts";
import type { Browser, Page } from "../../../support/api/browser.ts";
import { codeOf, scriptedWorld } from "../../../support/api/scripted-world.ts";

const COOKIE = "__Host-hawser_sid";
const ID = "0123456789abcdef01234567";

function policyOf({ headers }: Page): string {
  return String(headers["content-security-policy"]);
}

function targetOf({ path }: Route): string {
  return path.replace(":id", ID);
}

test("routes: those that are open are these, and each says why", async (t) => {
  const at = await scriptedWorld(t);
  const open = at.it.auth.routes.filter(({ class: kind }) => kind === "public" || kind === "page");
  assert.deepEqual(open.map(({ method, path }) => `${method} ${path}`).sort(), [
    "GET /",
    "GET /api/auth/callback",
    "GET /api/auth/logged-out",
    "GET /api/auth/login",
    "GET /api/auth/logout/continue",
    "POST /api/auth/backchannel-logout",
    "POST /api/auth/logout",
  ]);
  assert.ok(open.every(({ reason }) => reason.length > 20));
});

test("routes: all others want a person's session, and nothing else opens them", async (t) => {
  const at = await scriptedWorld(t, { authFailuresMax: 10_000 });
  const live = await at.signedIn();
  const ended = live.copy();
  await at.act(live, "POST", "/api/auth/logout");
  const pending = at.it.browser();
  await at.start(pending);
  const garbage = at.it.browser();
  garbage.plant(at.it.baseUrl, COOKIE, "garbage");
  const closed = at.it.auth.routes.filter(({ class: kind }) => kind === "session");
  assert.equal(closed.length, 8);
  const key = { authorization: `Bearer ${mintToken("key").text}` };
  const device = { authorization: `Bearer ${mintToken("device").text}` };
  for (const each of closed) {
    const ask = (browser: Browser, headers: Record<string, string> = {}) =>
      browser.copy().fetch(at.it.url(targetOf(each)), {
        method: each.method,
        from: at.it.baseUrl,
        headers: { "x-hawser-csrf": "1", ...headers },
      });
    const none = at.it.browser();
    for (const page of [
      await ask(none),
      await ask(garbage),
      await ask(ended),
      await ask(pending),
      await ask(none, key),
      await ask(none, device),
    ]) {
      assert.equal(page.status, 401, `${each.method} ${each.path}`);
      assert.equal(codeOf(page), "unauthenticated");
      assert.match(page.headers["www-authenticate"] ?? "", /^Bearer realm="hawser"/);
      assert.equal(page.headers["content-type"], "application/problem+json");
      assert.equal(page.headers.location, undefined);
    }
  }
});

test("routes: none of their answers may be cached, and all carry the fields of security", async (t) => {
  const at = await scriptedWorld(t);
  const browser = await at.signedIn();
  for (const each of at.it.auth.routes) {
    for (const headers of [{}, { "x-hawser-csrf": "1" }]) {
      const page = await browser.copy().fetch(at.it.url(targetOf(each)), {
        method: each.method,
        from: at.it.baseUrl,
        headers,
      });
      const where = `${each.method} ${each.path} ${page.status}`;
      assert.equal(page.headers["cache-control"], "no-store", where);
      assert.equal(page.headers.vary, "Cookie, Authorization", where);
      assert.equal(page.headers["x-content-type-options"], "nosniff", where);
      assert.match(policyOf(page), /^default-src 'none'; frame-ancestors 'none'/, where);
      assert.equal(
        page.headers["strict-transport-security"],
        "max-age=31536000; includeSubDomains",
        where,
      );
    }
  }
});

test("routes: reading changes nothing", async (t) => {
  const at = await scriptedWorld(t);
  const browser = await at.signedIn();
  const dump = async (): Promise<string> => {
    const tables = [
      "users",
      "loginSessions",
      "pendingSignIns",
      "logoutNotices",
      "logoutTickets",
      "tenants",
    ] as const;
    const rows = tables.map((table) => at.it.store.query.selectFrom(table).selectAll().execute());
    return JSON.stringify(await Promise.all(rows));
  };
  const before = await dump();
  for (const each of at.it.auth.routes.filter(({ method }) => method === "GET")) {
    for (const override of [{}, { "x-http-method-override": "DELETE" }]) {
      const headers = { "x-hawser-csrf": "1", ...override };
      await browser
        .copy()
        .fetch(at.it.url(`${targetOf(each)}?_method=DELETE`), { from: at.it.baseUrl, headers });
    }
  }
  assert.equal(await dump(), before);
});

test("description: these routes make valid OpenAPI 3.1", async (t) => {
  const at = await scriptedWorld(t);
  const info = { title: "Hawser", version: "1", publicBaseUrl: at.it.baseUrl, cookieName: COOKIE };
  const description = JSON.parse(JSON.stringify(describeApi(at.it.auth.routes, info)));
  const result = await new Validator().validate(description);
  assert.deepEqual(result.errors ?? [], []);
  assert.equal(result.valid, true);
  const { post } = description.paths["/api/auth/backchannel-logout"];
  assert.deepEqual(Object.keys(post.requestBody.content), ["application/x-www-form-urlencoded"]);
});

test("pages: are whole documents without script, and allow their own style alone", async (t) => {
  const at = await scriptedWorld(t);
  const name = `<script>alert("1")</script>'&`;
  at.idp.script.userinfo = { sub: "subject-1", name, email: `"><img src=x>@example.org` };
  const browser = at.it.browser();
  await at.arrive(browser, at.callback(await at.start(browser)));
  const foreign = at.it.browser();
  const shown = [
    await browser.navigate(at.it.url("/")),
    await foreign.navigate(at.it.url("/")),
    await foreign.step(at.it.url("/api/auth/logged-out")),
    await foreign.step(
      at.it.url(`/api/auth/login?return_to=${encodeURIComponent('/"><script>')}`),
      { from: "https://evil.test" },
    ),
    await foreign.step(at.it.url("/api/auth/callback?error=<script>")),
  ];
  for (const page of shown) {
    const { body, headers } = page;
    assert.match(
      body,
      /^<!doctype html><html lang="en"><head><meta charset="utf-8">.*<title>[^<]+<\/title>/s,
    );
    assert.match(body, /<main><h1>[^<]+<\/h1>/);
    assert.doesNotMatch(body, /<script|<img|\son\w+=|\sstyle=/i);
    const style = /<style>([^<]*)<\/style>/.exec(body)?.[1] ?? "";
    const hash = createHash("sha256").update(style).digest("base64");
    assert.ok(policyOf(page).endsWith(`; style-src 'sha256-${hash}'`));
    assert.equal(headers["cross-origin-opener-policy"], "same-origin");
    for (const [, link = ""] of body.matchAll(/(?:href|action)="([^"]+)"/g)) {
      assert.equal(new URL(link.replaceAll("&#38;", "&")).origin, at.it.baseUrl);
    }
  }
  assert.match(
    shown[0]?.body ?? "",
    /&#60;script&#62;alert\(&#34;1&#34;\)&#60;\/script&#62;&#39;&#38;/,
  );
});
