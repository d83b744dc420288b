/** Every route that the server holds, and every credential that must not open it. */
import assert from "node:assert/strict";
import test, { type TestContext } from "node:test";
import { CLASS_ADMITS } from "../../../src/api/ports.ts";
import { METHODS, type Route } from "../../../src/api/route.ts";
import { createApiKey, findUserBySubject, tenantId } from "../../../src/api/store/index.ts";
import { mintToken } from "../../../src/core/token.ts";
import { type Holdings, MISSING, makeHoldings, pathOf } from "../../support/product/holdings.ts";
import { INTERNAL_SECRET, type Product, startProduct } from "../../support/product/product.ts";
import { type Answer, ask } from "../../support/relay/start-relay.ts";

/** The one list of what is open to everybody. Whoever adds a route without a credential says so here as well. */
const OPEN: readonly string[] = [
  "GET /healthz",
  "GET /readyz",
  "GET /api/openapi.json",
  "GET /",
  "GET /api/auth/login",
  "GET /api/auth/callback",
  "POST /api/auth/logout",
  "GET /api/auth/logout/continue",
  "GET /api/auth/logged-out",
  "POST /api/auth/backchannel-logout",
  "POST /api/pairing/exchange",
  "GET /cli-login",
  "POST /cli-login",
  "POST /api/cli-login/exchange",
];
const OPEN_INTERNAL: readonly string[] = ["GET /healthz", "GET /readyz"];

interface World {
  readonly product: Product;
  readonly holdings: Holdings;
  /** Header lines by what is wrong with them. */
  readonly bad: ReadonlyMap<string, BadCredential>;
  readonly goodCookie: string;
}

interface BadCredential {
  readonly headers: Record<string, string>;
  /** The kind that it would prove on another route; "" for nothing anywhere. */
  readonly kind: "" | "session" | "key" | "device" | "internal";
}

const COOKIE = "hawser_sid";
/** Two cookies of one name are taken for none. */
const NOT_PRESENTED: ReadonlySet<string> = new Set(["nothing", "the cookie twice"]);

async function world(t: TestContext): Promise<World> {
  const product = await startProduct(t);
  const person = await product.signIn("anna");
  const holdings = await makeHoldings(person);
  const goodCookie = person.browser.cookie(COOKIE) ?? "";
  assert.notEqual(goodCookie, "");

  const gone = await product.signIn("gone");
  const endedCookie = gone.browser.cookie(COOKIE) ?? "";
  const goneHoldings = await makeHoldings(gone);
  await gone.json("DELETE", `/api/keys/${goneHoldings.keyRef}`);
  await gone.json("POST", `/api/devices/${goneHoldings.deviceId}/token:revoke`, {});
  await gone.json("POST", "/api/auth/logout");

  const { userId, tenant } = await ownerOf(product, holdings);
  const expired = mintToken("key");
  await createApiKey(product.app.store, tenantId(tenant), userId, {
    ref: expired.ref,
    secretDigest: expired.secretDigest,
    name: "expired",
    scopes: ["devices:read"],
    devices: null,
    requestsPerMinute: null,
    expiresAt: Date.now() - 1,
  });
  const stranger = mintToken("key");
  const idToken = /"id_token":"([^"]+)"/.exec(product.idp.tokenRequests.at(0)?.answer ?? "")?.[1];
  assert.ok(idToken !== undefined);
  const other = mintToken("key").text;
  const wrongSecret = mixed(holdings.key, other);

  const bearer = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` });
  const cookie = (value: string): Record<string, string> => ({ cookie: `${COOKIE}=${value}` });
  const flipped = `${goodCookie.slice(0, -1)}${goodCookie.endsWith("A") ? "Q" : "A"}`;
  const [, kid = "", sid = ""] = goodCookie.split(".");
  const bad = new Map<string, BadCredential>();
  const add = (
    name: string,
    headers: Record<string, string>,
    kind: BadCredential["kind"] = "",
  ): void => {
    bad.set(name, { headers, kind });
  };
  add("nothing", {});
  add("a garbled bearer", bearer("garbage"));
  add("an empty bearer", { authorization: "Bearer " });
  add("basic", { authorization: `Basic ${Buffer.from("admin:admin").toString("base64")}` });
  add("a revoked key", bearer(goneHoldings.key));
  add("an expired key", bearer(expired.text));
  add("an unknown key", bearer(stranger.text));
  add("a known key's reference with another secret", bearer(wrongSecret));
  add(
    "a key with a wrong checksum",
    bearer(`${holdings.key.slice(0, -1)}${holdings.key.endsWith("0") ? "1" : "0"}`),
  );
  add("a revoked device token", bearer(goneHoldings.deviceToken));
  add("a pairing code", bearer(holdings.code));
  add("an enrolment key", bearer(holdings.enrolmentKey));
  add("an ID token", bearer(idToken));
  add("a token without a signature", bearer(unsignedToken(product.idp.issuer)));
  add("a key", bearer(holdings.key), "key");
  add("a device token", bearer(holdings.deviceToken), "device");
  add("the internal secret", bearer(INTERNAL_SECRET), "internal");
  add("a garbled cookie", cookie("garbage"));
  add("a cookie with another signature", cookie(flipped));
  add("a cookie under an unknown key", cookie(goodCookie.replace(`.${kid}.`, ".zz.")));
  add("a session's id alone", cookie(sid));
  add("the cookie of an ended session", cookie(endedCookie));
  add("the cookie twice", { cookie: `${COOKIE}=${goodCookie}; ${COOKIE}=${goodCookie}` });
  add("a good cookie and a bad bearer", { ...cookie(goodCookie), ...bearer("garbage") });
  add("a good cookie", cookie(goodCookie), "session");
  return { product, holdings, bad, goodCookie };
}

/** The reference and checksum-bearing form of one key with the secret of another: well formed, wrong. */
function mixed(one: string, other: string): string {
  // The checksum is that of the whole, so a right one has to be made anew; without it the form alone is refused.
  return one.slice(0, 13) + other.slice(13);
}

function unsignedToken(issuer: string): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const claims = { iss: issuer, sub: "harness", client_id: "harness", aud: "x", exp: 9e9 };
  return `${part({ alg: "none", typ: "at+jwt" })}.${part(claims)}.`;
}

async function ownerOf(product: Product, { userId }: Holdings) {
  const user = await findUserBySubject(product.app.store, product.idp.issuer, "anna");
  assert.equal(user?.id, userId);
  return { userId, tenant: user?.tenant ?? "" };
}

function isOpen(route: Route): boolean {
  return CLASS_ADMITS[route.class].length === 0;
}

function names(routes: readonly Route[]): string[] {
  return routes.map(({ method, path }) => `${method} ${path}`).sort();
}

function methodsOf({ method, head }: Route): readonly string[] {
  if (method === "ANY") return [...METHODS, "HEAD"];
  return method === "GET" && head ? ["GET", "HEAD"] : [method];
}

/** The body without what names the request. */
function sameness({ status, headers, text }: Answer): string {
  const body = text.replace(/"request_id":"[^"]*"/, "");
  return JSON.stringify([status, headers["content-type"], headers["cache-control"], body]);
}

test("every route asks for a credential, or stands in the one list of open ones", async (t) => {
  const { app } = await startProduct(t);
  assert.deepEqual(names(app.routes.filter(isOpen)), [...OPEN].sort());
  assert.deepEqual(names(app.internalRoutes.filter(isOpen)), [...OPEN_INTERNAL].sort());
  for (const route of app.routes) assert.equal(route.internalOnly, false, route.path);
});

test("no route is opened by a credential that is none, bad, ended or of another kind", async (t) => {
  const { product, holdings, bad } = await world(t);
  const { app } = product;
  let asked = 0;
  const listeners = [
    { port: app.port, routes: app.routes },
    { port: app.internalPort, routes: app.internalRoutes },
  ];
  for (const { port, routes } of listeners) {
    for (const route of routes.filter((each) => !isOpen(each))) {
      const path = pathOf(route, holdings);
      const answers = new Map<string, string>();
      for (const method of methodsOf(route)) {
        for (const [name, { headers, kind }] of bad) {
          const admits: readonly string[] = CLASS_ADMITS[route.class];
          if (kind !== "" && admits.includes(kind)) continue;
          const answer = await ask(port, path, {
            method,
            // A cookie's request must not fail for a lack of this.
            headers: { ...headers, "x-hawser-csrf": "1", "user-agent": "kube-probe GoogleHC/1.0" },
          });
          const what = `${method} ${path} with ${name}`;
          assert.equal(answer.status, 401, what);
          const challenge = answer.headers["www-authenticate"];
          const presented = !NOT_PRESENTED.has(name);
          assert.equal(
            challenge,
            `Bearer realm="hawser"${presented ? ', error="invalid_token"' : ""}`,
            what,
          );
          answers.set(`${method === "HEAD" ? "HEAD" : "body"} ${sameness(answer)}`, what);
          asked += 1;
        }
      }
      // One answer with a body, one without: nothing tells an unknown key from a revoked one.
      assert.ok(answers.size <= 2, [...answers].join("\n"));
    }
  }
  t.diagnostic(`${asked} requests were refused`);
  assert.ok(asked >= 20 * (app.routes.length - OPEN.length), `${asked} requests`);
});

test("an upgrade and a method of no route get no further than anything else", async (t) => {
  const { product } = await world(t);
  const { port, routes } = product.app;
  for (const route of routes.filter((each) => !isOpen(each) && each.method === "GET")) {
    const path = pathOf(route, MISSING);
    const upgrade = await ask(port, path, {
      headers: {
        connection: "upgrade",
        upgrade: "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
      },
    });
    assert.equal(upgrade.status, 401, path);
    const odd = await ask(port, path, { method: "PROPFIND" });
    assert.equal(odd.status, 405, path);
    assert.match(String(odd.headers.allow), /GET/);
  }
});

test("a credential in the query is not read", async (t) => {
  const { product, holdings } = await world(t);
  for (const name of ["access_token", "token", "key", "api_key"]) {
    const answer = await ask(product.app.port, `/api/devices?${name}=${holdings.key}`);
    assert.equal(answer.status, 401, name);
  }
  assert.ok(!product.logs.join("").includes(holdings.key));
});
