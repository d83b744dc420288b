/** What other sites make a browser send with its cookie: refused on each route, and without an effect. */
import assert from "node:assert/strict";
import test from "node:test";
import { CLASS_ADMITS } from "../../../src/api/ports.ts";
import { METHODS } from "../../../src/api/route.ts";
import { bodyFor, makeHoldings, pathOf, snapshot } from "../../support/product/holdings.ts";
import { startProduct } from "../../support/product/product.ts";
import { ask } from "../../support/relay/start-relay.ts";
import { until } from "../../support/until.ts";

type Fields = Readonly<Record<string, string>>;

const JSON_BODY: Fields = { "content-type": "application/json" };
const PROOF: Fields = { "x-hawser-csrf": "1" };

/** Unsafe requests that lack one thing each. `base` is our own origin. */
function forgeries(base: string): readonly (readonly [string, Fields])[] {
  return [
    ["no header, as a script that is not allowed to set one", { ...JSON_BODY, origin: base }],
    ["another value of the header", { ...JSON_BODY, "x-hawser-csrf": "true" }],
    ["another origin", { ...JSON_BODY, ...PROOF, origin: "https://evil.test" }],
    ["an origin that begins like ours", { ...JSON_BODY, ...PROOF, origin: `${base}.evil.test` }],
    ["our host by another scheme", { ...PROOF, origin: base.replace("http:", "https:") }],
    ["a sandboxed frame", { ...JSON_BODY, ...PROOF, origin: "null" }],
    ["another site without an origin", { ...PROOF, "sec-fetch-site": "cross-site" }],
    ["a neighbour", { ...PROOF, origin: base, "sec-fetch-site": "same-site" }],
    [
      "a form",
      { "content-type": "application/x-www-form-urlencoded", origin: "https://evil.test" },
    ],
    ["a form with files", { "content-type": "multipart/form-data; boundary=b" }],
    ["a form of text that looks like JSON", { "content-type": "text/plain" }],
    ["no body and nothing else", {}],
  ];
}

const FOREIGN_READS: readonly Fields[] = [
  { "sec-fetch-site": "cross-site" },
  { "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document" },
  ...["script", "image", "style", "object", "embed"].map((dest) => ({
    "sec-fetch-site": "same-site",
    "sec-fetch-dest": dest,
  })),
];

test("each route that takes the cookie refuses what other sites can make a browser send", async (t) => {
  const product = await startProduct(t);
  const anna = await product.signIn("anna");
  const held = await makeHoldings(anna);
  await (await product.connect(held.deviceToken)).ready();
  // The relay tells of it a moment later.
  await until(
    () => product.auditLines.some((line) => line.includes("tunnel_connected")),
    "the device is known to be connected",
  );
  const before = await snapshot(product, anna, held.key);
  const cookie = `hawser_sid=${anna.browser.cookie("hawser_sid")}`;
  let asked = 0;
  for (const route of product.app.routes) {
    if (!CLASS_ADMITS[route.class].includes("session")) continue;
    const path = pathOf(route, held);
    const body = JSON.stringify(bodyOf(route));
    for (const method of route.method === "ANY" ? METHODS : [route.method]) {
      const isRead = method === "GET";
      const cases = isRead
        ? FOREIGN_READS.map((fields) => [JSON.stringify(fields), fields] as const)
        : forgeries(product.baseUrl);
      for (const [name, fields] of cases) {
        const hasBody = "content-type" in fields;
        const answer = await ask(product.app.port, path, {
          method,
          headers: { ...fields, cookie },
          ...(hasBody ? { body } : {}),
        });
        assert.equal(answer.status, 403, `${method} ${path}: ${name}`);
        assert.equal(JSON.parse(answer.text).code, isRead ? "cross_site" : "csrf_failed", name);
        asked += 1;
      }
    }
  }
  assert.ok(asked > 200, `${asked} requests`);
  assert.equal(await snapshot(product, anna, held.key), before);
  assert.equal((await anna.call("GET", "/api/auth/me")).status, 200);
  assert.deepEqual(product.deviceHeads, []);
});

/** What the route would take. */
function bodyOf(route: Parameters<typeof bodyFor>[0]): unknown {
  try {
    return bodyFor(route) ?? {};
  } catch {
    return {};
  }
}
