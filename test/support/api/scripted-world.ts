import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { RecordingLog, TestTime } from "../oidc/ports.ts";
import { type Claims, ScriptedIdp } from "../oidc/scripted-idp.ts";
import { type AuthRig, type AuthRigOptions, startAuth } from "./auth-rig.ts";
import type { Browser, Page } from "./browser.ts";

/** An API server whose provider does what the test tells it, on one clock that the test moves. */
export interface World {
  readonly it: AuthRig;
  readonly idp: ScriptedIdp;
  readonly time: TestTime;
  readonly oidcLog: RecordingLog;
  /** Starts a sign-in; gives the authorization URL. */
  start(browser: Browser, query?: string): Promise<string>;
  /** The callback that the provider sends the browser to. */
  callback(authorizationUrl: string, patch?: Claims): string;
  /** Goes to a callback as a browser that comes from the provider, without following further. */
  arrive(browser: Browser, callback: string): Promise<Page>;
  /** A whole sign-in that must succeed; gives the last answer. `claims` are of the ID token. */
  signIn(browser: Browser, claims?: Claims, query?: string): Promise<Page>;
  /** A new browser in which somebody has signed in. */
  signedIn(claims?: Claims): Promise<Browser>;
  /** `GET` by a script of our own page. */
  get(browser: Browser, path: string): Promise<Page>;
  /** An unsafe request by a script of our own page, with the header that it must send. */
  act(browser: Browser, method: string, path: string): Promise<Page>;
}

export const LOGIN = "/api/auth/login";

export async function scriptedWorld(
  t: TestContext,
  given: Partial<AuthRigOptions> = {},
): Promise<World> {
  const time = new TestTime();
  const idp = await new ScriptedIdp(time).start(t);
  const oidcLog = new RecordingLog();
  const ports = { clock: time, timers: time, log: oidcLog, random: () => 0.5 };
  const it = await startAuth(t, { issuer: idp.issuer, ports, ...given });
  const start: World["start"] = async (browser, query = "") => {
    const page = await browser.step(it.url(`${LOGIN}${query}`));
    assert.equal(page.status, 303, page.body);
    return page.headers.location ?? "";
  };
  const callback: World["callback"] = (url, patch) =>
    it.url(`/api/auth/callback?${idp.authorize(url, patch)}`);
  const arrive: World["arrive"] = (browser, url) => browser.step(url, { from: idp.issuer });
  const signIn: World["signIn"] = async (browser, claims = {}, query = "") => {
    const sub = claims["sub"] ?? "subject-1";
    idp.script.claims = claims;
    idp.script.userinfo = { sub, name: `Name of ${sub}`, email: `${sub}@example.org` };
    const page = await arrive(browser, callback(await start(browser, query)));
    assert.equal(page.status, 303, page.body);
    idp.script.claims = {};
    return page;
  };
  return {
    it,
    idp,
    time,
    oidcLog,
    start,
    callback,
    arrive,
    signIn,
    async signedIn(claims) {
      const browser = it.browser();
      await signIn(browser, claims);
      return browser;
    },
    get: (browser, path) => browser.fetch(it.url(path), { from: it.baseUrl }),
    act: (browser, method, path) =>
      browser.fetch(it.url(path), { method, from: it.baseUrl, headers: { "x-hawser-csrf": "1" } }),
  };
}

/** The `code` of a problem. */
export function codeOf(page: Page): string {
  return JSON.parse(page.body).code;
}

/** A body without what differs between any two answers. */
export function withoutRequestId(page: Page): string {
  return page.body.replace(/"request_id":"[^"]*"/, "");
}
