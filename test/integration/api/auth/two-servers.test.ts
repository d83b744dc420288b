import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { type AuthRig, startAuth } from "../../../support/api/auth-rig.ts";
import type { Browser, Page } from "../../../support/api/browser.ts";
import { scriptedWorld, type World } from "../../../support/api/scripted-world.ts";
import { type DatabaseCase, onEachDatabase } from "../../../support/api-store/each-database.ts";
import { RecordingLog } from "../../../support/oidc/ports.ts";

const COOKIE = "__Host-hawser_sid";

/** Two API servers on one database, with the same keys. */
async function twoServers(
  on: DatabaseCase,
  t: TestContext,
): Promise<{ readonly here: World; readonly there: AuthRig; moved(browser: Browser): Browser }> {
  const here = await scriptedWorld(t, { storeUrl: on.url });
  const { time, idp } = here;
  const { sessionSecrets, tokenEncKeys } = here.it.options;
  const there = await startAuth(t, {
    issuer: idp.issuer,
    ports: { clock: time, timers: time, log: new RecordingLog() },
    storeUrl: on.url,
    auth: { sessionSecrets, tokenEncKeys },
  });
  const moved = (browser: Browser): Browser => {
    const twin = there.browser();
    twin.plant(there.baseUrl, COOKIE, browser.cookie(COOKIE) ?? "");
    return twin;
  };
  return { here, there, moved };
}

function me({ it }: { it: AuthRig }, browser: Browser): Promise<Page> {
  return browser.fetch(it.url("/api/auth/me"), { from: it.baseUrl });
}

onEachDatabase("two servers: a sign-in begins at one and ends at the other", async (on, t) => {
  const { here, there, moved } = await twoServers(on, t);
  const browser = here.it.browser();
  const twin = moved(browser);
  const url = here.callback(await here.start(browser, "?return_to=/a"));
  twin.plant(there.baseUrl, COOKIE, browser.cookie(COOKIE) ?? "");
  const page = await here.arrive(twin, url);
  assert.equal(page.headers.location, there.url("/a"));
  assert.equal((await me({ it: there }, twin)).status, 200);
  const back = here.it.browser();
  back.plant(there.baseUrl, COOKIE, twin.cookie(COOKIE) ?? "");
  assert.equal((await me(here, back)).status, 200);
  assert.equal((await here.act(back, "POST", "/api/auth/logout")).status, 200);
  assert.equal((await me({ it: there }, twin)).status, 401);
});

onEachDatabase("two servers: ten callbacks at once make one session", async (on, t) => {
  const { here, there, moved } = await twoServers(on, t);
  const browser = here.it.browser();
  const url = here.callback(await here.start(browser));
  const twins = Array.from({ length: 10 }, (_, index) =>
    index % 2 === 0 ? browser.copy() : moved(browser),
  );
  const pages = await Promise.all(twins.map((twin) => here.arrive(twin, url)));
  assert.equal(pages.filter(({ status }) => status === 303).length, 1);
  assert.equal(here.idp.hits("/token"), 1);
  const sessions = await there.store.query.selectFrom("loginSessions").selectAll().execute();
  assert.equal(sessions.length, 1);
});

onEachDatabase(
  "two servers: a ticket to the provider's sign-out is good at one of them, once",
  async (on, t) => {
    const { here, there } = await twoServers(on, t);
    const browser = await here.signedIn();
    const page = await here.act(browser, "POST", "/api/auth/logout");
    const url = here.it.url(JSON.parse(page.body).continue);
    const pages = await Promise.all(
      [here.it, there, here.it, there].map((server) => server.browser().step(url)),
    );
    const atProvider = pages.filter(({ headers }) => headers.location?.includes("/end-session"));
    assert.equal(atProvider.length, 1);
    assert.match(atProvider[0]?.headers.location ?? "", /id_token_hint=ey/);
  },
);

onEachDatabase(
  "two servers: what left a browser before its sign-in at the other one takes no cookie away",
  async (on, t) => {
    const { here, there, moved } = await twoServers(on, t);
    const browser = here.it.browser();
    const url = here.callback(await here.start(browser));
    const polling = moved(browser);
    const starting = moved(browser);
    await here.arrive(browser, url);
    const polled = await me({ it: there }, polling);
    assert.equal(polled.status, 401);
    assert.equal(polled.headers["set-cookie"], undefined);
    const started = await starting.step(there.url("/api/auth/login"));
    assert.equal(started.status, 303);
    assert.equal(started.headers["set-cookie"], undefined);
    assert.equal((await me({ it: there }, moved(browser))).status, 200);
    // What is still sent with it after that is no longer on its way.
    here.time.advance(600_000);
    const late = await me({ it: there }, polling);
    assert.match(String(late.headers["set-cookie"]), /Max-Age=0/);
  },
);

onEachDatabase(
  "two servers: who signs out at one while a callback is under way at the other is signed out",
  async (on, t) => {
    const { here, there, moved } = await twoServers(on, t);
    const browser = here.it.browser();
    const url = here.callback(await here.start(browser));
    const other = moved(browser);
    here.idp.script.idToken = async (claims) => {
      const headers = { "x-hawser-csrf": "1" };
      const how = { method: "POST", from: there.baseUrl, headers };
      assert.equal((await other.fetch(there.url("/api/auth/logout"), how)).status, 200);
      return await here.idp.sign(claims);
    };
    const page = await here.arrive(browser, url);
    assert.equal(page.headers.location, here.it.url("/"));
    assert.equal(page.headers["set-cookie"], undefined);
    const sessions = await there.store.query.selectFrom("loginSessions").selectAll().execute();
    assert.deepEqual(sessions, []);
  },
);
