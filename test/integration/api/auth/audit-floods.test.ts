/** What anybody may cause as often as they like does not fill the audit log. */
import assert from "node:assert/strict";
import test from "node:test";
import { scriptedWorld } from "../../../support/api/scripted-world.ts";

const TIMES = 80;
const TOLD_MAX = 60;
const COOKIE = "__Host-hawser_sid";

test("audit: forged sign-outs, in the name of a session or of a mere start, are told 60 times a minute", async (t) => {
  const at = await scriptedWorld(t);
  const started = at.it.browser();
  await at.start(started);
  const signedIn = await at.signedIn();
  for (const browser of [started, signedIn]) {
    const before = at.it.events().length;
    const cookie = `${COOKIE}=${browser.cookie(COOKIE)}`;
    for (let count = 0; count < TIMES; count++) {
      assert.equal((await at.it.post("/api/auth/logout", "", { cookie })).status, 403);
    }
    assert.equal(at.it.events().length - before, TOLD_MAX);
    at.time.advance(60_000);
  }
  assert.equal((await at.get(signedIn, "/api/auth/me")).status, 200);
});

test("audit: cookies of anybody's making are told 60 times a minute, on open pages too", async (t) => {
  const at = await scriptedWorld(t, { authFailuresMax: 10_000 });
  const cookie = `${COOKIE}=forged`;
  for (let count = 0; count < TIMES; count++) {
    await at.it.post("/api/auth/logout", "", { cookie });
  }
  const asker = { requestId: "r", address: "192.0.2.7", userAgent: "" };
  const before = at.it.events().length;
  for (let count = 0; count < TIMES; count++) {
    // As the page of the command line's sign-in asks, where nothing else counts.
    const verdict = await at.it.auth.authenticateCookie("forged", asker, false);
    assert.equal(verdict.ok, false);
    await at.it.auth.personOf("forged", asker);
  }
  assert.equal(at.it.events().length - before, TOLD_MAX);
});

test("audit: logout notices while the provider is away are told 60 times a minute", async (t) => {
  const at = await scriptedWorld(t);
  await at.idp.stop();
  at.idp.script.header = { typ: "logout+jwt" };
  const token = await at.idp.sign({});
  for (let count = 0; count < TIMES; count++) {
    const answer = await at.it.post("/api/auth/backchannel-logout", `logout_token=${token}`);
    assert.equal(answer.status, 503);
  }
  assert.equal(at.it.events().filter((event) => event === "bcl_received").length, TOLD_MAX);
});
