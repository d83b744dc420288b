/** The whole way in a real browser, at a real provider, with a confidential client and with a public one. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import test, { type TestContext } from "node:test";
import type { Page } from "playwright-core";
import type { OidcOptions } from "../../../src/api/oidc/index.ts";
import {
  complaintsOf,
  skipWithoutChromium,
  startChromium,
} from "../../support/product/chromium.ts";
import { makeHoldings } from "../../support/product/holdings.ts";
import { type Product, startProduct } from "../../support/product/product.ts";
import { until } from "../../support/until.ts";

const withChromium = { skip: skipWithoutChromium(), timeout: 90_000 };

interface ScriptAnswer {
  readonly status: number;
  readonly type: string;
  readonly text: string;
}

/** What a script of the page gets from `fetch`. */
function fetchIn(page: Page, path: string, init: object = {}): Promise<ScriptAnswer> {
  return page.evaluate(
    async ([where, options]) => {
      const response = await fetch(where as string, options as RequestInit);
      const type = response.headers.get("content-type") ?? "";
      return { status: response.status, type, text: await response.text() };
    },
    [path, init] as const,
  );
}

const post = (body: unknown): object => ({
  method: "POST",
  headers: { "content-type": "application/json", "x-hawser-csrf": "1" },
  body: JSON.stringify(body),
});

/** Types the name into the provider's forms until we are back. */
async function signIn(page: Page, product: Product, name: string): Promise<void> {
  await page.goto(product.baseUrl);
  await page.getByRole("link", { name: "Sign in" }).click();
  await page.locator("input[name=login]").fill(name);
  await page.locator("input[name=password]").fill("any");
  await page.locator("button[type=submit]").click();
  await page.locator("button[type=submit]").click();
  await page.waitForURL(`${product.baseUrl}/`);
}

async function wholeWay(t: TestContext, oidc: OidcOptions): Promise<Product> {
  const product = await startProduct(t, { oidc });
  const chromium = await startChromium(t);
  const context = await chromium.newContext();
  const page = await context.newPage();
  const complaints = complaintsOf(page);

  await signIn(page, product, "dora");
  assert.match((await page.locator("body").textContent()) ?? "", /Name of dora/);
  // The provider listens on another port of the same host, and cookies know no ports.
  const all = await context.cookies(product.baseUrl);
  const cookies = all.filter(({ name }) => !name.startsWith("_"));
  assert.deepEqual(
    cookies.map(({ name, httpOnly, sameSite, path, expires }) => {
      return { name, httpOnly, sameSite, path, expires };
    }),
    [{ name: "hawser_sid", httpOnly: true, sameSite: "Lax", path: "/", expires: -1 }],
  );
  assert.equal(await page.evaluate("document.cookie"), "", "no script reads the cookie");
  // The server's own pages run no script at all: by their policy not even a person at the console can fetch from them.
  await assert.rejects(fetchIn(page, "/api/auth/me"), /Failed to fetch/);
  complaints.length = 0;
  // An application that a proxy serves under the same origin.
  await page.route(`${product.baseUrl}/app`, (route) =>
    route.fulfill({ contentType: "text/html", body: "<!doctype html><title>app</title>" }),
  );
  await page.goto(`${product.baseUrl}/app`);
  const me = await fetchIn(page, "/api/auth/me");
  assert.equal(me.status, 200, me.text);

  // A page of ours without the proof that forms cannot send is refused, and does nothing.
  const withoutProof = await fetchIn(page, "/api/pairing-codes", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: "{}",
  });
  assert.equal(withoutProof.status, 403, withoutProof.text);
  const created = await fetchIn(page, "/api/pairing-codes", post({}));
  assert.equal(created.status, 201, created.text);
  const { code } = JSON.parse(created.text) as { code: string };
  const exchanged = await fetch(`${product.baseUrl}/api/pairing/exchange`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ code, device: { name: "printer" } }),
  });
  assert.equal(exchanged.status, 201);
  const device = (await exchanged.json()) as { device_id: string; token: string };
  const agent = await product.connect(
    device.token,
    "<!doctype html><title>of the device</title><script>document.title='it ran'</script>",
  );
  await agent.ready();

  const forward = `/api/devices/${device.device_id}/http/`;
  const fetched = await fetchIn(page, forward);
  assert.equal(fetched.status, 200, fetched.text);
  assert.match(fetched.text, /of the device/);
  // Opened as a page, what a device sends runs no script with our origin.
  const devicePage = await context.newPage();
  await devicePage.goto(`${product.baseUrl}${forward}`);
  assert.equal(await devicePage.title(), "of the device");
  await devicePage.close();

  const key = await fetchIn(page, "/api/keys", post({ name: "k", scopes: ["tunnel:use"] }));
  assert.equal(key.status, 201, key.text);
  const edge = await fetch(`${product.edgeUrl}/d/${device.device_id}/`, {
    headers: { authorization: `Bearer ${(JSON.parse(key.text) as { key: string }).key}` },
  });
  assert.equal(edge.status, 200);
  const revoked = await fetchIn(page, `/api/devices/${device.device_id}/token:revoke`, post({}));
  assert.equal(revoked.status, 200, revoked.text);
  await until(() => agent.state !== "connected", "the revoked device is cut off");

  // Another site, in the same browser, gets nothing and changes nothing.
  await attackFromElsewhere(product, await context.newPage());

  await page.goto(product.baseUrl);
  await page.getByRole("button", { name: /sign out/i }).click();
  await page.waitForURL((url) => url.origin === product.idp.issuer);
  await page.locator("button[value=yes], button[name=logout]").first().click();
  await page.waitForURL((url) => url.pathname === "/api/auth/logged-out");
  assert.match((await page.locator("h1").textContent()) ?? "", /signed out/i);
  await page.goto(`${product.baseUrl}/app`);
  const after = await fetchIn(page, "/api/auth/me");
  assert.equal(after.status, 401, after.text);
  // What the attempts of this test were refused with is all that the pages complained of.
  // So does the provider's own page, which wants a font of the internet.
  const unexpected = complaints.filter((text) => !/status of (401|403)|NAME_NOT_RES/.test(text));
  assert.deepEqual(unexpected, []);
  return product;
}

/** The provider's origin is another site's for this purpose: same host, other port is same-site, so a name is taken. */
async function attackFromElsewhere(product: Product, page: Page): Promise<void> {
  const { port } = new URL(product.baseUrl);
  const foreign = product.idp.issuer.replace("127.0.0.1", "localhost");
  await page.route(`${foreign}/attack`, (route) =>
    route.fulfill({
      contentType: "text/html",
      body: `<!doctype html><form id=f method=post action="http://127.0.0.1:${port}/api/auth/logout"><button>go</button></form>
<img id=i src="http://127.0.0.1:${port}/api/auth/me">`,
    }),
  );
  await page.goto(`${foreign}/attack`);
  const read = await page.evaluate(
    (url) =>
      fetch(url, { credentials: "include" }).then(
        (answer) => `read ${answer.status}`,
        () => "refused",
      ),
    `${product.baseUrl}/api/auth/me`,
  );
  assert.equal(read, "refused");
  const answered = page.waitForResponse((response) => response.url().endsWith("/api/auth/logout"));
  await page.locator("#f button").click();
  assert.equal((await answered).status(), 403);
  await page.close();
}

test("in Chromium: sign in, pair, reach a device, revoke, sign out", withChromium, async (t) => {
  const { idp } = await wholeWay(t, {});
  assert.equal(idp.tokenRequests.length, 1);
  assert.match(String(idp.tokenRequests[0]?.headers.authorization), /^Basic /);
});

test(
  "in Chromium: a sign-in that began at a page of a device ends there, at a provider of another site",
  withChromium,
  async (t) => {
    // By its name loopback is another site than by its address, as a provider mostly is.
    const product = await startProduct(t, { idp: { host: "localhost" } });
    const { deviceId, deviceToken } = await makeHoldings(await product.signIn("emil"));
    const agent = await product.connect(deviceToken, "<!doctype html><title>of the device</title>");
    await agent.ready();
    const chromium = await startChromium(t);
    const context = await chromium.newContext();
    const page = await context.newPage();
    const path = `/api/devices/${deviceId}/http/`;
    const start = `${product.baseUrl}/api/auth/login?return_to=${encodeURIComponent(path)}`;
    await page.goto(start);
    await page.locator("input[name=login]").fill("emil");
    await page.locator("input[name=password]").fill("any");
    await page.locator("button[type=submit]").click();
    await page.locator("button[type=submit]").click();
    await page.waitForURL(product.baseUrl + path);
    assert.equal(await page.title(), "of the device");
    // The page that led on was that of the callback, whose address is nothing for a device.
    assert.doesNotMatch(product.deviceHeads.join("\n"), /referer|code=/i);
    // Another site that sends somebody who is signed in there gets no further than to a page of ours.
    const foreign = `${product.idp.issuer}/lure`;
    await page.route(foreign, (route) =>
      route.fulfill({ contentType: "text/html", body: `<!doctype html><a href="${start}">go</a>` }),
    );
    await page.goto(foreign);
    await page.getByRole("link", { name: "go" }).click();
    await page.getByRole("link", { name: "Continue" }).click();
    await page.waitForURL(product.baseUrl + path);
    assert.equal(await page.title(), "of the device");
  },
);

test(
  "in Chromium: a command line is allowed a key, at a provider of another site, and not by a page of others",
  withChromium,
  async (t) => {
    const product = await startProduct(t, { idp: { host: "localhost" } });
    const chromium = await startChromium(t);
    const page = await (await chromium.newContext()).newPage();
    const verifier = randomBytes(32).toString("base64url");
    const challenge = createHash("sha256").update(verifier).digest("base64url");
    const asked: string[] = [];
    const program = createServer((request, response) => {
      asked.push(request.url ?? "");
      response.end("done");
    });
    program.listen(0, "127.0.0.1");
    await once(program, "listening");
    t.after(() => {
      program.closeAllConnections();
      program.close();
    });
    const { port } = program.address() as AddressInfo;
    const query = new URLSearchParams({
      redirect_uri: `http://127.0.0.1:${port}/done`,
      code_challenge: challenge,
      code_challenge_method: "S256",
      state: "s".repeat(43),
      name: "kate's laptop",
    });
    const start = `${product.baseUrl}/cli-login?${query}`;
    await page.goto(start);
    await page.locator("input[name=login]").fill("kate");
    await page.locator("input[name=password]").fill("any");
    await page.locator("button[type=submit]").click();
    await page.locator("button[type=submit]").click();
    await page.waitForURL(start);
    const consent = await page.locator("input[name=consent]").inputValue();
    // A page of others that came to know the consent cannot give it.
    const foreign = `${product.idp.issuer}/lure`;
    const lure = await page.context().newPage();
    await lure.route(foreign, (route) =>
      route.fulfill({
        contentType: "text/html",
        body: `<!doctype html><form method=post action="${product.baseUrl}/cli-login"><input name=consent value="${consent}"><button name=decision value=allow>go</button></form>`,
      }),
    );
    await lure.goto(foreign);
    const answered = lure.waitForResponse((response) => response.url().endsWith("/cli-login"));
    await lure.getByRole("button", { name: "go" }).click();
    assert.equal((await answered).status(), 403);
    assert.deepEqual(asked, []);
    await page.getByRole("button", { name: "Allow", exact: true }).click();
    await page.waitForURL((url) => url.port === String(port));
    const given = new URL(asked[0] ?? "", "http://x").searchParams;
    assert.equal(given.get("state"), "s".repeat(43));
    const exchanged = await fetch(`${product.baseUrl}/api/cli-login/exchange`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ code: given.get("code"), code_verifier: verifier }),
    });
    assert.equal(exchanged.status, 201);
    const { key } = (await exchanged.json()) as { key: string };
    const who = await fetch(`${product.baseUrl}/api/whoami`, {
      headers: { authorization: `Bearer ${key}` },
    });
    assert.equal(((await who.json()) as { key: { name: string } }).key.name, "kate's laptop");
  },
);

test(
  "in Chromium: the same as a public client, whose token request has no secret",
  withChromium,
  async (t) => {
    const { idp } = await wholeWay(t, {
      oidcClientId: "public",
      oidcClientAuth: "none",
      oidcClientSecret: undefined,
    });
    assert.equal(idp.tokenRequests.length, 1);
    const [request] = idp.tokenRequests;
    assert.equal(request?.headers.authorization, undefined);
    const form = new URLSearchParams(request?.body);
    assert.deepEqual([...form.keys()].sort(), [
      "client_id",
      "code",
      "code_verifier",
      "grant_type",
      "redirect_uri",
    ]);
    assert.equal(form.get("client_id"), "public");
    assert.match(form.get("code_verifier") ?? "", /^[A-Za-z0-9_-]{43}$/);
  },
);
