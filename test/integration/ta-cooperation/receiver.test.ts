import assert from "node:assert/strict";
import test from "node:test";
import { CODE_TOKENS_MAX } from "../../../examples/ta-cooperation/receiver/index.ts";
import {
  ALICE,
  BOB,
  FROM_TA,
  IDP_A,
  IDP_B,
  newSigner,
  TO_TA,
} from "../../../examples/ta-cooperation/stack.ts";
import type { Json } from "../../../examples/ta-cooperation/wire/json-http.ts";
import { signJwt } from "../../../examples/ta-cooperation/wire/signed-jwt.ts";
import { writeUnsignedJwt } from "../../../src/access-proxy/index.ts";
import { rawCall } from "../../support/ta-cooperation/raw-call.ts";
import {
  assertProtocolError,
  type ReceiverParties,
  sessionOf,
  startReceiver,
  unsignedClaims,
} from "../../support/ta-cooperation/receiver.ts";

const FORGED = [
  ...["X-Auth-User", writeUnsignedJwt({ sub: "root", iss: IDP_A })],
  ...["x-auth-users", writeUnsignedJwt({ writer: { sub: "root", iss: IDP_A } })],
  ...["X-AUTH-User-Tag", "root", "X-Auth-From-Id", "https://evil.example"],
  ...["X-Auth-Role", "admin"],
];

/** Code tokens of both ID providers that belong together. */
async function pair({ idpA, idpB }: ReceiverParties): Promise<string[]> {
  const refHash = { ref_hash: "98dP4MfN3Hxdr0TWELBMBQ" };
  return [await idpA.codeToken(refHash), await idpB.codeToken(refHash)];
}

test("receiver: the content handler learns of the call from fields, and sees no code token", async (t) => {
  const parties = await startReceiver(t);
  const fields = ["Accept", "text/plain", "Accept", "text/html", "Cookie", "theme=dark"];
  const { status, text } = await parties.call(await pair(parties), fields, "/a?b=1&b=2");
  assert.deepEqual([status, text], [200, "content"]);
  const [content] = parties.contents;
  assert.ok(content !== undefined);
  assert.equal(content.url, "/a?b=1&b=2");
  assert.equal(content.headers.accept, "text/plain, text/html");
  assert.equal(content.headers.cookie, "theme=dark");
  assert.equal(content.headers["x-edo-code-tokens"], undefined);
  assert.equal(content.headers["x-auth-user-tag"], "reader");
  assert.equal(content.headers["x-auth-from-id"], FROM_TA);
  const { at_tag: atTag, ...user } = unsignedClaims(content.headers["x-auth-user"]);
  assert.match(String(atTag), /^[\w-]{10}$/);
  const atExp = parties.clock.now / 1_000 + 3_600;
  assert.deepEqual(user, { sub: ALICE, iss: IDP_A, at_exp: atExp });
  assert.deepEqual(unsignedClaims(content.headers["x-auth-users"]), {
    observer: { sub: BOB, iss: IDP_B },
  });
  assert.deepEqual(
    content.rawHeaders.filter((_, at) => at % 2 === 0),
    [
      ...["Host", "Accept", "Accept", "Cookie", "Connection"],
      ...["X-Auth-User", "X-Auth-User-Tag", "X-Auth-Users", "X-Auth-From-Id"],
    ],
  );
});

test("receiver: further claims of accounts are told, and cannot pass for the receiver's own", async (t) => {
  const parties = await startReceiver(t);
  const { idpA, idpB, contents } = parties;
  const forged = { iss: "https://evil.example", at_tag: "x", at_exp: 1 };
  idpA.script.claims = { ids: { reader: { ...forged, sub: ALICE, name: "Alice" } } };
  idpB.script.claims = { ids: { observer: { ...forged, sub: BOB, name: "Bob" } } };
  await parties.call(await pair(parties));
  const { at_tag: atTag, ...user } = unsignedClaims(contents[0]?.headers["x-auth-user"]);
  assert.notEqual(atTag, "x");
  const atExp = parties.clock.now / 1_000 + 3_600;
  assert.deepEqual(user, { sub: ALICE, iss: IDP_A, at_exp: atExp, name: "Alice" });
  assert.deepEqual(unsignedClaims(contents[0]?.headers["x-auth-users"]), {
    observer: { sub: BOB, iss: IDP_B, name: "Bob" },
  });
});

test("receiver: forged X-Auth fields are stripped on the way of code tokens", async (t) => {
  const { call, idpA, contents } = await startReceiver(t);
  assert.equal((await call([await idpA.codeToken()], FORGED)).status, 200);
  const headers = contents[0]?.headers ?? {};
  assert.equal(unsignedClaims(headers["x-auth-user"])["sub"], ALICE);
  assert.equal(headers["x-auth-users"], undefined);
  assert.equal(headers["x-auth-role"], undefined);
  assert.equal(headers["x-auth-user-tag"], "reader");
  assert.equal(headers["x-auth-from-id"], FROM_TA);
  assert.doesNotMatch(String(contents[0]?.rawHeaders.join()), /root|evil|admin/);
});

test("receiver: forged X-Auth fields are stripped on the way of a session", async (t) => {
  const { call, idpA, contents } = await startReceiver(t);
  const id = sessionOf(await call([await idpA.codeToken()]));
  await call([], ["Cookie", `Edo-Cooperation=${id}`, ...FORGED]);
  const [mediated, withSession] = contents;
  assert.ok(withSession !== undefined);
  assert.doesNotMatch(withSession.rawHeaders.join(), /root|evil|admin/);
  for (const name of ["x-auth-user", "x-auth-user-tag", "x-auth-from-id"]) {
    assert.equal(withSession.headers[name], mediated?.headers[name]);
  }
});

test("receiver: an unknown session is refused, code tokens beside it or not", async (t) => {
  const { call, idpA, contents } = await startReceiver(t);
  const cookie = ["Cookie", "theme=dark; Edo-Cooperation=s8Kd2PfXw7LmQz0VcRt4YbNh6JgEaU"];
  for (const tokens of [[], [await idpA.codeToken()]]) {
    const told = assertProtocolError(await call(tokens, cookie), "403 access_denied");
    assert.equal(told, "invalid session");
  }
  assert.deepEqual([idpA.asked.length, contents.length], [0, 0]);
});

test("receiver: neither session nor code tokens is refused", async (t) => {
  const { call, contents } = await startReceiver(t);
  for (const fields of [[], FORGED, ["X-Edo-Code-Tokens", " , "], ["Cookie", "theme=dark"]]) {
    const told = assertProtocolError(await call([], fields), "403 access_denied");
    assert.equal(told, "no code tokens");
  }
  assert.equal(contents.length, 0);
});

test("receiver: code tokens come on several lines, in one with commas, and in both", async (t) => {
  const parties = await startReceiver(t);
  const [main = "", sub = ""] = await pair(parties);
  for (const lines of [[main, sub], [sub, main], [`${main},${sub}`], [` ${sub} ,\t${main}, `]]) {
    assert.equal((await parties.call(lines)).status, 200, lines.join("|"));
  }
  assert.equal(parties.idpB.asked.length, 4);
});

test("receiver: code tokens come in the query, which the content handler sees without them", async (t) => {
  const parties = await startReceiver(t);
  const [main, sub] = await pair(parties);
  const paths = [
    [`/x?a=1&code_tokens=${main}%20${sub}&b=%20`, "/x?a=1&b=%20"],
    [`/x?code_tokens=${main}+${sub}`, "/x"],
  ] as const;
  for (const [path, seen] of paths) {
    assert.equal((await parties.call([], [], path)).status, 200);
    assert.equal(parties.contents.at(-1)?.url, seen);
  }
});

test("receiver: code tokens of the fields go before those of the query", async (t) => {
  const { call, idpA, contents } = await startReceiver(t);
  const { status } = await call([await idpA.codeToken()], [], "/x?code_tokens=nonsense&a=1");
  assert.equal(status, 200);
  assert.equal(contents[0]?.url, "/x?a=1");
});

/** Each rule about one code token, with a token that breaks it. */
const ONE_TOKEN: ReadonlyArray<
  readonly [rule: string, make: (of: ReceiverParties) => string | Promise<string>]
> = [
  ["it is a JWT", () => "nonsense"],
  ["it has iss", ({ idpA }) => idpA.codeToken({ iss: undefined })],
  ["it has sub", ({ idpA }) => idpA.codeToken({ sub: undefined })],
  ["sub is not empty", ({ idpA }) => idpA.codeToken({ sub: "" })],
  ["it has aud", ({ idpA }) => idpA.codeToken({ aud: undefined })],
  ["aud has this TA", ({ idpA }) => idpA.codeToken({ aud: ["https://other.example"] })],
  ["its issuer is known", ({ idpA }) => idpA.codeToken({ iss: "https://idp-c.example" })],
  ["its issuer signed it", ({ idpA }) => idpA.codeToken({ iss: IDP_B })],
  [
    "its signature verifies",
    async () =>
      signJwt(
        { iss: IDP_A, sub: "code", aud: TO_TA, from_client: FROM_TA, user_tag: "reader" },
        await newSigner("idp-a.example-1"),
      ),
  ],
  [
    "it is signed",
    () =>
      writeUnsignedJwt({
        ...{ iss: IDP_A, sub: "code", aud: TO_TA },
        ...{ from_client: FROM_TA, user_tag: "reader" },
      }),
  ],
  ["it has user_tag, being the only one", ({ idpA }) => idpA.codeToken({ user_tag: undefined })],
  ["the main one has from_client", ({ idpA }) => idpA.codeToken({ from_client: undefined })],
  ["user_tags is an array of tags", ({ idpA }) => idpA.codeToken({ user_tags: "writer" })],
  ["its tags are not empty", ({ idpA }) => idpA.codeToken({ user_tags: [""] })],
  ["no tag occurs twice in it", ({ idpA }) => idpA.codeToken({ user_tags: ["a", "b", "a"] })],
  ["the principal's tag counts", ({ idpA }) => idpA.codeToken({ user_tags: ["reader"] })],
];

for (const [rule, make] of ONE_TOKEN) {
  test(`receiver, a code token: ${rule}`, async (t) => {
    const parties = await startReceiver(t);
    const answer = await parties.call([await make(parties)]);
    assertProtocolError(answer, "400 invalid_request");
    assert.deepEqual([parties.idpA.asked.length, parties.contents.length], [0, 0]);
  });
}

const HASH = "98dP4MfN3Hxdr0TWELBMBQ";

/** Each rule about the code tokens of a call, with claims of both that break it. */
const TWO_TOKENS: ReadonlyArray<readonly [rule: string, ofMain: Json, ofSub: Json]> = [
  ["one has user_tag", { user_tag: undefined, user_tags: ["reader"] }, {}],
  ["one alone has user_tag", {}, { user_tag: "writer" }],
  ["one without user_tag has user_tags", {}, { user_tags: undefined }],
  ["its user_tags are not empty", {}, { user_tags: [] }],
  ["no tag occurs in both", { user_tags: ["observer"] }, {}],
  ["the principal's tag does not occur in the other", {}, { user_tags: ["reader"] }],
  ["the main one has ref_hash", { ref_hash: undefined }, {}],
  ["the other one has ref_hash", {}, { ref_hash: undefined }],
  ["none lacks ref_hash", { ref_hash: undefined }, { ref_hash: undefined }],
  ["all ref_hash are equal", {}, { ref_hash: "ovp3banffboIq7zeLboYLw" }],
];

for (const [rule, ofMain, ofSub] of TWO_TOKENS) {
  test(`receiver, several code tokens: ${rule}`, async (t) => {
    const { call, idpA, idpB, contents } = await startReceiver(t);
    const main = await idpA.codeToken({ ref_hash: HASH, ...ofMain });
    const sub = await idpB.codeToken({ ref_hash: HASH, ...ofSub });
    for (const tokens of [
      [main, sub],
      [sub, main],
    ]) {
      assertProtocolError(await call(tokens), "400 invalid_request");
    }
    assert.deepEqual([idpA.asked.length, idpB.asked.length, contents.length], [0, 0, 0]);
  });
}

test("receiver: as many code tokens as a call can have are taken, and no more", async (t) => {
  const { call, idpA, idpB, contents } = await startReceiver(t);
  const tags = Array.from({ length: CODE_TOKENS_MAX }, (_, index) => `tag-${index}`);
  idpB.script.claims = { ids: Object.fromEntries(tags.map((tag) => [tag, { sub: tag }])) };
  const main = await idpA.codeToken({ ref_hash: HASH });
  const subs = await Promise.all(
    tags.map((tag) => idpB.codeToken({ ref_hash: HASH, user_tags: [tag] })),
  );
  assertProtocolError(await call([main, ...subs]), "400 invalid_request");
  assert.equal(idpB.asked.length, 0);
  assert.equal((await call([main, ...subs.slice(1)])).status, 200);
  assert.equal(contents.length, 1);
});

test("receiver: what the content handler answers is no protocol error", async (t) => {
  const { call, idpA } = await startReceiver(t, {
    content: (_request, answer) => void answer.writeHead(403).end("mine"),
  });
  const { status, headers, text } = await call([await idpA.codeToken()]);
  assert.deepEqual([status, text], [403, "mine"]);
  assert.equal(headers["x-edo-cooperation-error"], undefined);
});

test("receiver: a content handler that fails is 500, and no protocol error", async (t) => {
  const { call, idpA } = await startReceiver(t, {
    content: () => Promise.reject(new Error("secret")),
  });
  const { status, headers, text } = await call([await idpA.codeToken()]);
  assert.equal(status, 500);
  assert.equal(headers["x-edo-cooperation-error"], undefined);
  assert.doesNotMatch(text, /secret/);
});

test("receiver: a body goes to the content handler whole", async (t) => {
  const { receiver, idpA, contents } = await startReceiver(t);
  const body = "x".repeat(100_000);
  const fields = ["X-Edo-Code-Tokens", await idpA.codeToken()];
  const { status } = await rawCall(receiver.url, fields, { method: "PUT", body });
  assert.equal(status, 200);
  assert.equal(contents[0]?.body, body);
});
