import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import {
  type CallOf,
  ID,
  IDP_A,
  lines,
  PRINCIPAL,
  type ProxyRig,
  type Received,
  startRig,
  T0,
} from "../../support/access-proxy/rig.ts";

/** TA cooperation, section 9: which calls use a session, and what keeps or ends one. Numbers are those of section 16. */

let rig: ProxyRig;
before(async () => {
  rig = await startRig();
});
after(() => rig.stop());
/** Each test has an account of its own, so that no session of another one serves it. */
let account = 0;
beforeEach(() => {
  account++;
  rig.now = T0;
  rig.instead = null;
  rig.answer = (_message, answer) => void answer.end("done");
  rig.received.length = 0;
  for (const idp of rig.idps.values()) idp.asked.length = 0;
});

const asked = (of = rig) => [...of.idps.values()].reduce((sum, one) => sum + one.asked.length, 0);
const mine = () => ({ [`me-${account}`]: { at_tag: "tag-1" } });
const call = (of: Partial<CallOf> = {}) => rig.call({ headers: ID, users: mine(), ...of });
const isMediated = (message: Received | undefined) =>
  lines(message ?? { rawHeaders: [] }, "x-edo-code-tokens").length > 0;

/** The next answer grants a session; those after it do not. */
function grantOnce(...cookies: string[]): void {
  rig.answer = (_message, answer) => {
    rig.answer = (_next, plain) => void plain.end("done");
    answer.setHeader("Set-Cookie", cookies).end("granted");
  };
}

const REFUSAL = {
  "X-Edo-Cooperation-Error": "invalid session",
  "Content-Type": "application/json",
};

/** Refuses requests with a session as a receiver does that has forgotten it. */
function forgetSessions(status = 403): void {
  rig.answer = (message, answer) => {
    if (isMediated(message)) answer.end("done");
    else answer.writeHead(status, REFUSAL).end('{"error":"access_denied"}');
  };
}

test("8: a session that a target granted is used, and no ID provider asked", async () => {
  grantOnce(
    "theme=dark; Path=/",
    "Edo-Cooperation=s-1; Path=/; Expires=Thu, 01 Jan 2026 01:00:00 GMT; HttpOnly; Secure",
  );
  const first = await call({ headers: [...ID, "Cookie", 'a="1; 2";  b=3'] });
  assert.equal(first.headers["set-cookie"]?.length, 2, "all cookies are relayed");
  assert.equal(asked(), 1);
  await call({ headers: [...ID, "Cookie", 'a="1; 2";  b=3'] });
  await call();
  assert.equal(asked(), 1);
  const [, second, third] = rig.received;
  assert.equal(second?.headers.cookie, 'a="1; 2";  b=3; Edo-Cooperation=s-1');
  assert.equal(third?.headers.cookie, "Edo-Cooperation=s-1");
  assert.equal(isMediated(second), false);
  assert.equal(rig.outcomes.at(-1)?.path, "session");
  // Of the call that was granted it and of those that it carried: the start of `printf s-1 | sha256sum`.
  assert.deepEqual(
    rig.outcomes.slice(-3).map(({ session }) => session),
    ["6a840baf", "6a840baf", "6a840baf"],
  );
});

test("9: a session that the target refuses is forgotten, and the call goes over the ID providers with its whole body", async () => {
  grantOnce("Edo-Cooperation=s-1; Max-Age=600");
  await call();
  forgetSessions();
  const body = Buffer.alloc(100_000, "body");
  const answer = await call({ method: "POST", body, headers: [...ID, "Cookie", "a=1"] });
  assert.deepEqual([answer.status, answer.body.toString()], [200, "done"]);
  const [, refused, retried, ...more] = rig.received;
  assert.deepEqual(more, []);
  assert.equal(refused?.headers.cookie, "a=1; Edo-Cooperation=s-1");
  assert.equal(retried?.headers.cookie, "a=1");
  assert.deepEqual(retried?.body, body);
  assert.equal(isMediated(retried), true);
  assert.equal(asked(), 2);
  assert.equal(rig.outcomes.at(-1)?.path, "retried");
  assert.equal(rig.outcomes.at(-1)?.session, null);
  await call();
  assert.equal(isMediated(rig.received.at(-1)), true, "the session is gone");
});

test("9: any status with the field is a refusal, a success too", async () => {
  grantOnce("Edo-Cooperation=s-1; Max-Age=600");
  await call();
  forgetSessions(200);
  assert.equal((await call()).body.toString(), "done");
  assert.equal(rig.received.length, 3);
});

test("10: a second refusal is relayed, and the target is asked twice at the most", async () => {
  grantOnce("Edo-Cooperation=s-1; Max-Age=600");
  await call();
  rig.answer = (_message, answer) => {
    answer
      .writeHead(403, { ...REFUSAL, "Set-Cookie": "Edo-Cooperation=s-2; Max-Age=600" })
      .end("no");
  };
  const answer = await call();
  assert.deepEqual([answer.status, answer.body.toString()], [403, "no"]);
  assert.equal(answer.headers["x-edo-cooperation-error"], "invalid session");
  assert.equal(answer.headers["x-access-proxy-error"], undefined);
  assert.equal(rig.received.length, 3);
  await call();
  assert.equal(isMediated(rig.received.at(-1)), true, "an error grants no session");
});

test("11: a refusal of the target's own is relayed, and the session stays", async () => {
  grantOnce("Edo-Cooperation=s-1; Max-Age=600");
  await call();
  rig.answer = (_message, answer) => void answer.writeHead(403).end("forbidden");
  assert.equal((await call()).body.toString(), "forbidden");
  await call();
  assert.equal(rig.received.at(-1)?.headers.cookie, "Edo-Cooperation=s-1");
  assert.equal(asked(), 1);
});

for (const [what, atMs, isUsed] of [
  ["more than the margin before its end", 590_000 - 1, true],
  ["at the margin", 590_000, false],
  ["after its end", 600_001, false],
] as const) {
  test(`12: ${what} a session is ${isUsed ? "" : "not "}used`, async () => {
    grantOnce("Edo-Cooperation=s-1; Max-Age=600");
    await call();
    rig.now = T0 + atMs;
    await call();
    assert.equal(isMediated(rig.received.at(-1)), !isUsed);
  });
}

const YOU = { you: { iss: IDP_A, sub: "u" } };

test("13: a call with a related account neither uses nor leaves a session", async () => {
  grantOnce("Edo-Cooperation=s-1; Max-Age=600");
  await call();
  grantOnce("Edo-Cooperation=s-2; Max-Age=600");
  await call({ users: { ...mine(), ...YOU } });
  assert.equal(isMediated(rig.received.at(-1)), true);
  await call({ users: { ...mine(), ...YOU } });
  assert.equal(isMediated(rig.received.at(-1)), true);
  await call();
  assert.equal(rig.received.at(-1)?.headers.cookie, "Edo-Cooperation=s-1");
});

test("13: with sessionForRelatedUsers a session serves the same accounts, and no others", async () => {
  const relaxed = await startRig({ options: { sessionForRelatedUsers: true } });
  const users = { ...PRINCIPAL, ...YOU };
  relaxed.answer = (_message, answer) => {
    answer.setHeader("Set-Cookie", "Edo-Cooperation=s-1; Max-Age=600").end("granted");
  };
  await relaxed.call({ headers: ID, users });
  relaxed.answer = (_message, answer) => void answer.end("done");
  await relaxed.call({ headers: ID, users: { ...YOU, ...PRINCIPAL } });
  assert.equal(asked(relaxed), 1);
  await relaxed.call({ headers: ID });
  await relaxed.call({ headers: ID, users: { ...users, third: { iss: IDP_A, sub: "3" } } });
  assert.equal(asked(relaxed), 3);
  await relaxed.stop();
});

const GRANTS: ReadonlyArray<
  readonly [what: string, cookies: readonly string[], id: string | null]
> = [
  ["Max-Age", ["Edo-Cooperation=a; Max-Age=60"], "a"],
  ["Expires", ["Edo-Cooperation=a; Expires=Thu, 01 Jan 2026 00:10:00 GMT"], "a"],
  [
    "Max-Age before Expires",
    ["Edo-Cooperation=a; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=60"],
    "a",
  ],
  [
    "Expires that is over, and Max-Age that is not read",
    ["Edo-Cooperation=a; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=x"],
    null,
  ],
  ["no end", ["Edo-Cooperation=a; Path=/"], null],
  ["the last of two", ["Edo-Cooperation=a; Max-Age=60", "Edo-Cooperation=b; Max-Age=61"], "b"],
  [
    "one that is ended again",
    ["Edo-Cooperation=a; Max-Age=60", "Edo-Cooperation=; Max-Age=0"],
    null,
  ],
  ["another cookie", ["Edo-cooperation=a; Max-Age=60"], null],
];

for (const [what, cookies, id] of GRANTS) {
  test(`14: ${what}: ${id === null ? "no session" : `session ${id}`}`, async () => {
    grantOnce(...cookies);
    await call();
    await call();
    assert.equal(
      rig.received.at(-1)?.headers.cookie,
      id === null ? undefined : `Edo-Cooperation=${id}`,
    );
  });
}

test("14: a cookie that is over ends the session, on the way with a session too", async () => {
  grantOnce("Edo-Cooperation=s-1; Max-Age=600");
  await call();
  grantOnce("Edo-Cooperation=s-1; Expires=Thu, 01 Jan 1970 00:00:00 GMT");
  await call();
  assert.equal(rig.received.at(-1)?.headers.cookie, "Edo-Cooperation=s-1");
  await call();
  assert.equal(isMediated(rig.received.at(-1)), true);
});

test("14: a session is renewed on the way with a session", async () => {
  grantOnce("Edo-Cooperation=s-1; Max-Age=600");
  await call();
  grantOnce("Edo-Cooperation=s-2; Max-Age=1200");
  await call();
  await call();
  assert.equal(rig.received.at(-1)?.headers.cookie, "Edo-Cooperation=s-2");
});

test("17: a session is that of one target TA and one account", async () => {
  grantOnce("Edo-Cooperation=s-1; Max-Age=600");
  await call();
  await call({ users: { [`me-${account}`]: { at_tag: "tag-1" }, ...YOU } });
  await call({ users: { [`other-${account}`]: { at_tag: "tag-1" } } });
  assert.deepEqual(rig.received.map(isMediated), [true, true, true]);
});

test("the session's cookie stays here where it is told to", async () => {
  const strict = await startRig({ options: { stripSessionCookie: true } });
  strict.answer = (_message, answer) => {
    answer.setHeader("Set-Cookie", ["a=1", "Edo-Cooperation=s; Max-Age=600"]).end();
  };
  assert.deepEqual((await strict.call({ headers: ID })).headers["set-cookie"], ["a=1"]);
  strict.answer = (_message, answer) => void answer.end();
  await strict.call({ headers: ID });
  assert.equal(strict.received.at(-1)?.headers.cookie, "Edo-Cooperation=s");
  await strict.stop();
});

test("200 calls at once without a session: the one that lasts longest stays", async () => {
  let grants = 0;
  rig.answer = (_message, answer) => {
    grants++;
    // Neither in order of time nor against it.
    const seconds = 100 + ((grants * 77) % 200);
    answer.setHeader("Set-Cookie", `Edo-Cooperation=s-${seconds}; Max-Age=${seconds}`).end();
  };
  const answers = await Promise.all(Array.from({ length: 200 }, () => call()));
  assert.ok(answers.every(({ status }) => status === 200));
  rig.answer = (_message, answer) => void answer.end();
  await call();
  assert.equal(rig.received.at(-1)?.headers.cookie, "Edo-Cooperation=s-299");
});

test("50 calls at once with a session that is stale: each is tried once more, and none again", async () => {
  grantOnce("Edo-Cooperation=s-1; Max-Age=600");
  await call();
  let granted = 0;
  rig.answer = (message, answer) => {
    if (isMediated(message)) {
      granted++;
      answer.setHeader("Set-Cookie", `Edo-Cooperation=new-${granted}; Max-Age=600`).end("done");
    } else if (message.headers.cookie === "Edo-Cooperation=s-1") {
      answer.writeHead(403, REFUSAL).end();
    } else answer.end("done");
  };
  const before = rig.received.length;
  const answers = await Promise.all(Array.from({ length: 50 }, () => call()));
  assert.ok(answers.every(({ body }) => body.toString() === "done"));
  assert.ok(rig.received.length - before <= 100);
  await call();
  assert.match(
    rig.received.at(-1)?.headers.cookie ?? "",
    /^Edo-Cooperation=new-/,
    "a newer session is not deleted",
  );
});
