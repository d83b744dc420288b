/** The browser that other tests rely on holds the rules that they rely on. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import test, { type TestContext } from "node:test";
import { Browser } from "../../../support/api/browser.ts";

const SITE = "https://app.example.org";
const NEIGHBOUR = "https://other.example.org";
const FOREIGN = "https://evil.test";
const PLAIN = "http://app.example.org";

/** A server that sets the cookies that it is told, and redirects where it is told. */
async function served(t: TestContext): Promise<{ browser: Browser; seen: IncomingMessage[] }> {
  const seen: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    seen.push(request);
    const asked = new URL(request.url ?? "", SITE).searchParams;
    const to = asked.get("to");
    const headers = { "set-cookie": asked.getAll("set"), ...(to === null ? {} : { location: to }) };
    response.writeHead(to === null ? 200 : 303, headers).end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  const { port } = server.address() as AddressInfo;
  const origins = [SITE, NEIGHBOUR, FOREIGN, PLAIN].map((origin) => [origin, port] as const);
  return { browser: new Browser(new Map(origins)), seen };
}

function set(...lines: readonly string[]): string {
  return `/?${lines.map((line) => `set=${encodeURIComponent(line)}`).join("&")}`;
}

test("browser: cookies are kept by their prefixes and Secure", async (t) => {
  const { browser } = await served(t);
  await browser.step(
    SITE +
      set(
        "__Host-a=1; Secure; Path=/",
        "__Host-b=1; Secure; Path=/; Domain=example.org",
        "__Host-c=1; Path=/",
        "__Host-d=1; Secure; Path=/x",
        "e=1; HttpOnly",
      ),
  );
  assert.deepEqual(browser.cookiesFor(SITE), ["__Host-a=1", "e=1"]);
  assert.deepEqual(browser.cookiesFor(PLAIN), ["e=1"]);
  assert.deepEqual(browser.cookiesFor(NEIGHBOUR), []);
  assert.deepEqual(browser.scriptCookies(SITE), ["__Host-a=1"]);
  await browser.step(PLAIN + set("f=1; Secure"));
  assert.equal(browser.cookie("f"), null);
  await browser.step(SITE + set("e=; Max-Age=0"));
  assert.equal(browser.cookie("e"), null);
});

test("browser: SameSite decides what another site's requests carry", async (t) => {
  const { browser } = await served(t);
  await browser.step(
    SITE + set("lax=1; SameSite=Lax", "strict=1; SameSite=Strict", "none=1; SameSite=None; Secure"),
  );
  const carried = async (send: () => Promise<unknown>): Promise<string> => {
    await send();
    return browser.sent.at(-1)?.cookie ?? "";
  };
  const all = "lax=1; strict=1; none=1";
  assert.equal(await carried(() => browser.step(SITE)), all);
  assert.equal(await carried(() => browser.step(SITE, { from: NEIGHBOUR })), all);
  assert.equal(await carried(() => browser.step(SITE, { from: FOREIGN })), "lax=1; none=1");
  assert.equal(await carried(() => browser.submit(SITE, FOREIGN)), "none=1");
  assert.equal(await carried(() => browser.fetch(SITE, { from: FOREIGN })), "none=1");
  assert.equal(await carried(() => browser.fetch(SITE, { from: SITE })), all);
});

test("browser: says where a request comes from, and a chain that was elsewhere stays foreign", async (t) => {
  const { browser, seen } = await served(t);
  const sites = async (send: () => Promise<unknown>): Promise<unknown[]> => {
    const from = seen.length;
    await send();
    return seen.slice(from).map(({ headers }) => headers["sec-fetch-site"]);
  };
  assert.deepEqual(await sites(() => browser.navigate(SITE)), ["none"]);
  assert.deepEqual(await sites(() => browser.navigate(SITE, { from: SITE })), ["same-origin"]);
  assert.deepEqual(await sites(() => browser.navigate(SITE, { from: NEIGHBOUR })), ["same-site"]);
  const back = `${FOREIGN}/?to=${encodeURIComponent(`${SITE}/?to=/end`)}`;
  assert.deepEqual(await sites(() => browser.navigate(back, { from: FOREIGN })), [
    "same-origin",
    "cross-site",
    "cross-site",
  ]);
  await browser.submit(SITE, FOREIGN);
  assert.equal(seen.at(-1)?.headers.origin, FOREIGN);
  await browser.fetch(SITE, { from: SITE });
  assert.equal(seen.at(-1)?.headers.origin, undefined);
});
