import assert from "node:assert/strict";
import test from "node:test";
import { ALICE, BOB } from "../../../examples/ta-cooperation/stack.ts";
import { beginCall, type RawAnswer, rawCall } from "../../support/ta-cooperation/raw-call.ts";
import {
  assertProtocolError,
  type ReceiverParties,
  sessionOf,
  startReceiver,
} from "../../support/ta-cooperation/receiver.ts";
import { until } from "../../support/until.ts";

async function callBoth({ call, idpA, idpB }: ReceiverParties): Promise<RawAnswer> {
  const refHash = { ref_hash: "98dP4MfN3Hxdr0TWELBMBQ" };
  return call([await idpA.codeToken(refHash), await idpB.codeToken(refHash)]);
}

const cookie = (id: string): string[] => ["Cookie", `Edo-Cooperation=${id}`];

test("receiver, session: a call of the principal alone is granted one until its token ends", async (t) => {
  const { call, idpA, receiver } = await startReceiver(t);
  const { headers } = await call([await idpA.codeToken()]);
  const [set = "", ...more] = headers["set-cookie"] ?? [];
  assert.deepEqual(more, []);
  const id = /^Edo-Cooperation=([\w-]{30});/.exec(set)?.[1];
  assert.equal(
    set,
    `Edo-Cooperation=${id}; Path=/; Expires=Thu, 01 Jan 2026 01:00:00 GMT; HttpOnly; Secure`,
  );
  assert.equal(receiver.sessionCount, 1);
});

test("receiver, session: the cookie is not Secure where that is said", async (t) => {
  const { call, idpA } = await startReceiver(t, { secureCookie: false });
  const [set = ""] = (await call([await idpA.codeToken()])).headers["set-cookie"] ?? [];
  assert.match(set, /; HttpOnly$/);
});

test("receiver, session: it stands for the same call, without an ID provider", async (t) => {
  const { call, idpA, contents } = await startReceiver(t);
  const id = sessionOf(await call([await idpA.codeToken()]));
  const fields = ["Cookie", `theme=dark; Edo-Cooperation=${id}; lang=ja`];
  const { status, headers } = await call([], fields);
  assert.equal(status, 200);
  assert.equal(headers["set-cookie"], undefined);
  const [mediated, withSession] = contents;
  for (const name of ["x-auth-user", "x-auth-user-tag", "x-auth-users", "x-auth-from-id"]) {
    assert.equal(withSession?.headers[name], mediated?.headers[name]);
  }
  assert.equal(withSession?.headers.cookie, "theme=dark; lang=ja");
  assert.equal(idpA.asked.length, 1);
});

test("receiver, session: code tokens beside a known one are not considered", async (t) => {
  const { call, idpA, contents } = await startReceiver(t);
  const id = sessionOf(await call([await idpA.codeToken()]));
  assert.equal((await call(["nonsense"], cookie(id))).status, 200);
  assert.equal(contents[1]?.headers["x-edo-code-tokens"], undefined);
  assert.equal(idpA.asked.length, 1);
});

test("receiver, session: it ends with its token", async (t) => {
  const { call, idpA, clock } = await startReceiver(t);
  const id = sessionOf(await call([await idpA.codeToken()]));
  clock.now += 3_599_999;
  assert.equal((await call([], cookie(id))).status, 200);
  clock.now += 1;
  assert.equal(
    assertProtocolError(await call([], cookie(id)), "403 access_denied"),
    "invalid session",
  );
});

test("receiver, session: granted with related accounts of whom only iss and sub are known", async (t) => {
  const parties = await startReceiver(t);
  const id = sessionOf(await callBoth(parties));
  assert.equal((await parties.call([], cookie(id))).status, 200);
  const [mediated, withSession] = parties.contents;
  const users = withSession?.headers["x-auth-users"];
  assert.ok(users !== undefined);
  assert.equal(users, mediated?.headers["x-auth-users"]);
});

test("receiver, session: not granted where more is known of a related account", async (t) => {
  const parties = await startReceiver(t);
  parties.idpB.script.claims = { ids: { observer: { sub: BOB, name: "Bob" } } };
  const { status, headers } = await callBoth(parties);
  assert.equal(status, 200);
  assert.equal(headers["set-cookie"], undefined);
  assert.equal(parties.receiver.sessionCount, 0);
});

test("receiver, session: granted whatever is known of the principal", async (t) => {
  const { call, idpA } = await startReceiver(t);
  idpA.script.claims = { ids: { reader: { sub: ALICE, name: "Alice" } } };
  sessionOf(await call([await idpA.codeToken()]));
});

test("receiver, session: not granted where the new token is over, or its end unknown", async (t) => {
  const { call, idpA, receiver } = await startReceiver(t);
  for (const seconds of [0, undefined, "3600", -1]) {
    idpA.script.members = { expires_in: seconds };
    const { status, headers } = await call([await idpA.codeToken()]);
    assert.equal(status, 200);
    assert.equal(headers["set-cookie"], undefined);
  }
  assert.equal(receiver.sessionCount, 0);
});

test("receiver, session: not granted by a refused call", async (t) => {
  const { call, idpA, receiver } = await startReceiver(t);
  idpA.script.status = 400;
  const { headers } = await call([await idpA.codeToken()]);
  assert.equal(headers["set-cookie"], undefined);
  assert.equal(receiver.sessionCount, 0);
});

test("receiver, session: the content handler's own cookie stands beside it", async (t) => {
  const { call, idpA } = await startReceiver(t, {
    content: (_request, answer) => {
      answer.appendHeader("Set-Cookie", "theme=dark");
      answer.end();
    },
  });
  const { headers } = await call([await idpA.codeToken()]);
  assert.equal(headers["set-cookie"]?.length, 2);
  assert.equal(headers["set-cookie"]?.[1], "theme=dark");
});

test("receiver, hooks: one session is dropped, or all", async (t) => {
  const { call, idpA, receiver } = await startReceiver(t);
  const ids: string[] = [];
  for (let calls = 0; calls < 3; calls++) ids.push(sessionOf(await call([await idpA.codeToken()])));
  const statuses = async (): Promise<number[]> => {
    const answers = await Promise.all(ids.map((id) => call([], cookie(id))));
    return answers.map(({ status }) => status);
  };
  receiver.dropSession(ids[1] ?? "");
  assert.deepEqual(await statuses(), [200, 403, 200]);
  receiver.dropSessions();
  assert.deepEqual(await statuses(), [403, 403, 403]);
});

test("receiver, hooks: the next request alone is refused, once so much of its body was read", async (t) => {
  const { call, idpA, receiver, contents } = await startReceiver(t);
  const id = sessionOf(await call([await idpA.codeToken()]));
  receiver.refuseNextAfter(1_000);
  const { out, answer } = beginCall(receiver.url, "POST", [
    ...cookie(id),
    "Content-Length",
    "2000",
  ]);
  let isAnswered = false;
  void answer.then(() => {
    isAnswered = true;
  });
  await new Promise<void>((resolve) => out.write("x".repeat(999), () => resolve()));
  // Two round trips later an answer to the first part would be here.
  assert.equal((await rawCall(receiver.url)).status, 403);
  assert.equal((await rawCall(receiver.url)).status, 403);
  assert.equal(isAnswered, false);
  out.write("x");
  await until(() => isAnswered, "the refusal");
  const told = assertProtocolError(await answer, "403 access_denied");
  assert.equal(told, "invalid session");
  assert.equal(contents.length, 1);
  assert.equal((await call([], cookie(id))).status, 200);
});

test("receiver, hooks: a request with a shorter body is refused at its end, and one with none", async (t) => {
  const { call, idpA, receiver, contents } = await startReceiver(t);
  const fields = cookie(sessionOf(await call([await idpA.codeToken()])));
  for (const [bytes, body] of [
    [1_000, "short"],
    [1_000, ""],
    [0, "unread"],
  ] as const) {
    receiver.refuseNextAfter(bytes);
    const answer = await rawCall(receiver.url, fields, { method: "POST", body });
    assertProtocolError(answer, "403 access_denied");
  }
  assert.equal(contents.length, 1);
});
