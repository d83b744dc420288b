import assert from "node:assert/strict";
import { createServer } from "node:net";
import { after, before, test } from "node:test";
import {
  ACCESS_PROXY_ERRORS,
  type AccessProxyErrorCode,
  writeUnsignedJwt,
} from "../../../src/access-proxy/index.ts";
import {
  type Answered,
  type CallOf,
  exchange,
  ID,
  IDP_A,
  onlyTo,
  PRINCIPAL,
  type ProxyRig,
  SELF,
  startRig,
  T0,
  TO_TA,
} from "../../support/access-proxy/rig.ts";
import { lendPort } from "../../support/ports.ts";

/** TA cooperation, section 4.9: each row that the proxy answers, over the wire. */

const IDP_B = "https://idp-b.example";

let rig: ProxyRig;
before(async () => {
  rig = await startRig();
});
after(() => rig.stop());

function idp(issuer: string): NonNullable<ReturnType<ProxyRig["idps"]["get"]>> {
  const found = rig.idps.get(issuer);
  assert.ok(found);
  return found;
}

const asked = () => [...rig.idps.values()].reduce((sum, one) => sum + one.asked.length, 0);

/** Checks a whole error answer against the table. */
function assertError(answer: Answered, code: AccessProxyErrorCode, text?: string): void {
  const row = ACCESS_PROXY_ERRORS[code];
  const body: unknown = JSON.parse(answer.body.toString() || "{}");
  const told = text ?? row.text;
  assert.equal(answer.status, row.status);
  assert.deepEqual(body, { error: row.error, error_description: told });
  assert.equal(answer.headers["x-access-proxy-error"], told);
  assert.equal(answer.headers["content-type"], "application/json");
  assert.equal(answer.headers["cache-control"], "no-store");
  assert.equal(answer.headers["pragma"], "no-cache");
}

type Row = readonly [row: string, call: Partial<CallOf>, code: AccessProxyErrorCode, text?: string];

const B64_HEAD = Buffer.from('{"alg":"RS256"}').toString("base64url");
const related = { iss: IDP_B, sub: "u2" };

const EARLY: readonly Row[] = [
  ["E1", { headers: ["X-Access-Proxy-To", ""] }, "ERR_ACCESS_PROXY_NO_TARGET"],
  ["E2 a relative target", { to: "/x" }, "ERR_ACCESS_PROXY_TARGET"],
  ["E2 user info", { to: "https://a:b@to.example/" }, "ERR_ACCESS_PROXY_TARGET"],
  [
    "E2 two targets",
    {
      headers: ["X-Access-Proxy-To", "https://a.example", "X-Access-Proxy-To", "https://a.example"],
    },
    "ERR_ACCESS_PROXY_TARGET",
  ],
  ["E3 another origin", { to: "https://other.example/" }, "ERR_ACCESS_PROXY_DESTINATION"],
  [
    "E3 another TA",
    { headers: ["X-Access-Proxy-To-Id", "https://x.example"] },
    "ERR_ACCESS_PROXY_DESTINATION",
  ],
  ["E4", { headers: ["X-Access-Proxy-Users", ""] }, "ERR_ACCESS_PROXY_NO_USERS"],
  ["E5 no JWT", { headers: ["X-Access-Proxy-Users", "x"] }, "ERR_ACCESS_PROXY_USERS"],
  [
    "E5 two sets of accounts",
    {
      headers: [
        ...["X-Access-Proxy-Users", writeUnsignedJwt(PRINCIPAL)],
        ...["X-Access-Proxy-Users", writeUnsignedJwt(PRINCIPAL)],
      ],
    },
    "ERR_ACCESS_PROXY_USERS",
  ],
  [
    "E6",
    { headers: ["X-Access-Proxy-Users", `${B64_HEAD}.e30.`] },
    "ERR_ACCESS_PROXY_USERS_SIGNED",
  ],
  [
    "E7 iss",
    { users: { ...PRINCIPAL, o: { sub: "s" } } },
    "ERR_ACCESS_PROXY_NO_ISS",
    "account o lacks iss",
  ],
  [
    "E7 sub",
    { users: { ...PRINCIPAL, o: { iss: "i" } } },
    "ERR_ACCESS_PROXY_NO_SUB",
    "account o lacks sub",
  ],
  ["E8", { users: { o: related } }, "ERR_ACCESS_PROXY_NO_PRINCIPAL"],
  ["E9", { users: { ...PRINCIPAL, you: { at_tag: "x" } } }, "ERR_ACCESS_PROXY_TWO_PRINCIPALS"],
  [
    "E10 accounts",
    {
      users: {
        ...PRINCIPAL,
        ...Object.fromEntries(Array.from({ length: 32 }, (_, i) => [`r${i}`, related])),
      },
    },
    "ERR_ACCESS_PROXY_ACCOUNTS_MAX",
  ],
  ["E10 tag", { users: { ["t".repeat(129)]: { at_tag: "x" } } }, "ERR_ACCESS_PROXY_TAG"],
  ["E11", { headers: ["X-Access-Proxy-To-Id", SELF] }, "ERR_ACCESS_PROXY_SELF"],
  ["E12", { users: { me: { at_tag: "nobody" } } }, "ERR_ACCESS_PROXY_NO_TOKEN"],
  ["E13", { users: { me: { at_tag: "old" } } }, "ERR_ACCESS_PROXY_TOKEN_EXPIRED"],
  [
    "E14",
    { users: { me: { at_tag: "lost" } } },
    "ERR_ACCESS_PROXY_MAIN_IDP",
    "unknown main ID provider https://idp-x.example",
  ],
  [
    "E15",
    { users: { ...PRINCIPAL, o: { iss: "https://idp-ü.example", sub: "s" } } },
    "ERR_ACCESS_PROXY_SUB_IDP",
    "unknown ID provider https://idp-?.example",
  ],
  ["E27", { method: "TRACE" }, "ERR_ACCESS_PROXY_METHOD"],
];

for (const [row, call, code, text] of EARLY) {
  test(`${row}: answered before anybody is asked`, async () => {
    const token = { token: "t", issuer: IDP_A };
    rig.tokens.set("old", { ...token, tag: "old", expiresAt: T0 - 1 });
    rig.tokens.set("lost", {
      ...token,
      tag: "lost",
      issuer: "https://idp-x.example",
      expiresAt: T0 + 1_000,
    });
    const before = [asked(), rig.received.length];
    const headers = call.headers ?? [];
    const toId = headers.includes("X-Access-Proxy-To-Id") ? [] : ["X-Access-Proxy-To-Id", TO_TA];
    assertError(await rig.call({ ...call, headers: [...headers, ...toId] }), code, text);
    assert.deepEqual([asked(), rig.received.length], before);
    assert.equal(rig.outcomes.at(-1)?.code, code);
  });
}

test("E13: a token is good up to its last moment", async () => {
  rig.tokens.set("last", { token: "t", issuer: IDP_A, tag: "last", expiresAt: T0 });
  const users = { me: { at_tag: "last" } };
  assert.equal((await rig.call({ headers: ID, users })).status, 200);
});

test("E16: without a key that fits nobody is asked", async () => {
  const keyless = await startRig({ parts: { keys: { get: () => [] } } });
  assertError(await keyless.call({ headers: ID }), "ERR_ACCESS_PROXY_SIGNING");
  assert.equal(
    [...keyless.idps.values()].some((one) => one.asked.length > 0),
    false,
  );
  await keyless.stop();
});

/** What an ID provider answers, and what the caller is told of it. */
const IDP_ANSWERS: ReadonlyArray<
  readonly [
    row: string,
    status: number,
    type: string,
    body: string,
    code: AccessProxyErrorCode,
    told: string,
  ]
> = [
  [
    "E19",
    403,
    "application/json",
    '{"error":"access_denied","error_description":"s3cret"}',
    "ERR_ACCESS_PROXY_IDP_STATUS",
    "answered 403 access_denied",
  ],
  [
    "E19 no JSON",
    502,
    "text/html",
    "<h1>s3cret</h1>",
    "ERR_ACCESS_PROXY_IDP_STATUS",
    "answered 502",
  ],
  ["E19 a redirect", 302, "application/json", "{}", "ERR_ACCESS_PROXY_IDP_STATUS", "answered 302"],
  [
    "E19 another success",
    201,
    "application/json",
    '{"code_token":"x"}',
    "ERR_ACCESS_PROXY_IDP_STATUS",
    "answered 201",
  ],
  [
    "E19 too long a refusal",
    400,
    "application/json",
    `{"error":"${"x".repeat(262_144)}"}`,
    "ERR_ACCESS_PROXY_IDP_STATUS",
    "answered 400",
  ],
  [
    "E20 another type",
    200,
    "text/plain",
    '{"code_token":"x"}',
    "ERR_ACCESS_PROXY_IDP_ANSWER",
    "sent a bad response",
  ],
  [
    "E20 no JSON",
    200,
    "application/json",
    "{",
    "ERR_ACCESS_PROXY_IDP_ANSWER",
    "sent a bad response",
  ],
  [
    "E20 no object",
    200,
    "application/json",
    "[]",
    "ERR_ACCESS_PROXY_IDP_ANSWER",
    "sent a bad response",
  ],
  [
    "E20 no code token",
    200,
    "application/json",
    "{}",
    "ERR_ACCESS_PROXY_IDP_ANSWER",
    "sent a bad response",
  ],
  [
    "E20 a code token that is no text",
    200,
    "application/json",
    '{"code_token":1}',
    "ERR_ACCESS_PROXY_IDP_ANSWER",
    "sent a bad response",
  ],
  [
    "E20 too long an answer",
    200,
    "application/json",
    `{"x":"${"x".repeat(262_144)}"}`,
    "ERR_ACCESS_PROXY_IDP_ANSWER",
    "sent a bad response",
  ],
  [
    "E21 no JWT",
    200,
    "application/json",
    '{"code_token":"a.b"}',
    "ERR_ACCESS_PROXY_CODE_TOKEN",
    "sent a bad code token",
  ],
  [
    "E21 lines",
    200,
    "application/json",
    '{"code_token":"e30.e30.e30\\r\\nX-A: 1"}',
    "ERR_ACCESS_PROXY_CODE_TOKEN",
    "sent a bad code token",
  ],
];

for (const [row, status, type, body, code, told] of IDP_ANSWERS) {
  for (const issuer of [IDP_A, IDP_B]) {
    test(`${row}: of ${issuer}; the target is not called`, async () => {
      const before = rig.received.length;
      idp(issuer).instead = (message, answer) => {
        message.resume();
        answer.writeHead(status, { "Content-Type": type, Location: "/elsewhere" }).end(body);
      };
      const users = issuer === IDP_A ? PRINCIPAL : { ...PRINCIPAL, o: related };
      const answer = await rig.call({ headers: ID, users });
      idp(issuer).instead = null;
      assertError(answer, code, `ID provider ${issuer} ${told}`);
      assert.equal(rig.received.length, before);
      assert.doesNotMatch(rig.logs.join(""), /s3cret/);
    });
  }
}

test("E20: a main ID provider that gives no referral where one was asked for", async () => {
  idp(IDP_A).instead = (message, answer) => {
    message.resume();
    answer.writeHead(200, { "Content-Type": "application/json" }).end('{"code_token":"a.b.c"}');
  };
  const answer = await rig.call({ headers: ID, users: { ...PRINCIPAL, o: related } });
  idp(IDP_A).instead = null;
  assertError(answer, "ERR_ACCESS_PROXY_IDP_ANSWER", `ID provider ${IDP_A} sent a bad response`);
});

test("E18: an ID provider that closes the connection, and one that does not answer in time", async () => {
  idp(IDP_A).instead = (message) => message.socket.destroy();
  const told = `ID provider ${IDP_A} is unreachable`;
  assertError(await rig.call({ headers: ID }), "ERR_ACCESS_PROXY_IDP_UNREACHABLE", told);
  idp(IDP_A).instead = null;
  const hasty = await startRig({ options: { idpTimeoutMs: 200 } });
  const silent = hasty.idps.get(IDP_A);
  assert.ok(silent);
  silent.instead = (message) => message.resume();
  assertError(await hasty.call({ headers: ID }), "ERR_ACCESS_PROXY_IDP_UNREACHABLE", told);
  await hasty.stop();
});

/** Claims that a code token must not have. */
const WRONG_CLAIMS: ReadonlyArray<
  readonly [what: string, issuer: string, claims: Record<string, unknown>]
> = [
  ["aud", IDP_A, { aud: "https://other.example" }],
  ["iss", IDP_A, { iss: IDP_B }],
  ["sub", IDP_A, { sub: "" }],
  ["user_tag", IDP_A, { user_tag: "you" }],
  ["user_tags", IDP_A, { user_tags: ["o"] }],
  ["ref_hash", IDP_A, { ref_hash: "x" }],
  ["user_tag of a sub ID provider", IDP_B, { user_tag: "me" }],
  ["user_tags of a sub ID provider", IDP_B, { user_tags: ["o", "p"] }],
  ["doubled user_tags", IDP_B, { user_tags: ["o", "o"] }],
  ["no user_tags", IDP_B, { user_tags: undefined }],
  ["ref_hash of a sub ID provider", IDP_B, { ref_hash: "x" }],
];

for (const [what, issuer, claims] of WRONG_CLAIMS) {
  test(`E21: a code token with a wrong ${what}`, async () => {
    const before = rig.received.length;
    idp(issuer).alter = (right) => ({ ...right, ...claims });
    const answer = await rig.call({ headers: ID, users: { ...PRINCIPAL, o: related } });
    idp(issuer).alter = (right) => right;
    assertError(
      answer,
      "ERR_ACCESS_PROXY_CODE_TOKEN",
      `ID provider ${issuer} sent a bad code token`,
    );
    assert.equal(rig.received.length, before);
  });
}

test("E21: a code token that another key signed, or none", async () => {
  const { signingKey, signed } = await import("../../support/access-proxy/rig.ts");
  const claims = { iss: IDP_A, sub: "c", aud: TO_TA, user_tag: "me" };
  const { jwk } = signingKey(`${IDP_A}-1`);
  const unsigned = writeUnsignedJwt(claims);
  for (const token of [
    await signed(jwk, claims),
    await signed({ ...jwk, kid: "x" }, claims),
    unsigned,
    `${unsigned}AA`,
  ]) {
    idp(IDP_A).instead = (message, answer) => {
      message.resume();
      answer
        .setHeader("Content-Type", "application/json")
        .end(JSON.stringify({ code_token: token }));
    };
    const answer = await rig.call({ headers: ID });
    idp(IDP_A).instead = null;
    assertError(
      answer,
      "ERR_ACCESS_PROXY_CODE_TOKEN",
      `ID provider ${IDP_A} sent a bad code token`,
    );
  }
});

/** A rig whose target's port is closed, or whose target is a plain socket. */
async function rigTo(port: number): Promise<ProxyRig> {
  const destinationPolicy = onlyTo(`http://127.0.0.1:${port}`);
  return startRig({ options: { headTimeoutMs: 300, destinationPolicy } });
}

test("E22: a target whose port is closed", async () => {
  const port = await lendPort();
  const closed = await rigTo(port);
  assertError(
    await closed.call({ headers: ID, to: `http://127.0.0.1:${port}/` }),
    "ERR_ACCESS_PROXY_UNREACHABLE",
  );
  await closed.stop();
});

test("E22: targets that this host cannot even dial, whatever the system calls that", async () => {
  const open = await startRig({
    options: { destinationPolicy: { allowAny: true, destinations: [] } },
  });
  // Link-local without a link, a group, and no name: EINVAL or EADDRNOTAVAIL, ENETUNREACH, ENOTFOUND.
  for (const host of ["[fe80::1]", "224.0.0.1", "nobody.invalid"]) {
    const answer = await open.call({ to: `http://${host}:9/`, headers: ID });
    assertError(answer, "ERR_ACCESS_PROXY_UNREACHABLE");
  }
  await open.stop();
});

const SOCKET_TARGETS: ReadonlyArray<
  readonly [row: string, act: string, code: AccessProxyErrorCode]
> = [
  ["E22 a reset", "reset", "ERR_ACCESS_PROXY_UNREACHABLE"],
  ["E23 closed without an answer", "end", "ERR_ACCESS_PROXY_BAD_ANSWER"],
  ["E23 no HTTP", "SSH-2.0-x\r\n", "ERR_ACCESS_PROXY_BAD_ANSWER"],
  ["E23 a broken head", "HTTP/1.1 200 OK\r\nA", "ERR_ACCESS_PROXY_BAD_ANSWER"],
  ["E24 silence", "", "ERR_ACCESS_PROXY_TIMEOUT"],
];

for (const [row, act, code] of SOCKET_TARGETS) {
  test(`${row}: a target that`, async () => {
    const server = createServer((socket) => {
      socket.on("error", () => undefined);
      socket.once("data", () => {
        if (act === "reset") socket.resetAndDestroy();
        else if (act === "end") socket.end();
        else if (act !== "") socket.end(act);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as { port: number };
    const broken = await rigTo(port);
    assertError(await broken.call({ headers: ID, to: `http://127.0.0.1:${port}/` }), code);
    await broken.stop();
    server.close();
  });
}

test("E26: a caller that may not, and one that names the listener by another name", async () => {
  const { namingUs, localCallers } = await import("../../../src/access-proxy/index.ts");
  const callers = { credentialField: null, scopeOf: () => null };
  const strict = await startRig({ parts: { callers } });
  assertError(await strict.call({ headers: ID }), "ERR_ACCESS_PROXY_CALLER");
  await strict.stop();
  const named = await startRig({
    parts: { callers: namingUs(new Set(["localhost:1"]), localCallers) },
  });
  assertError(await named.call({ headers: ID }), "ERR_ACCESS_PROXY_CALLER");
  await named.stop();
});

test("E27: CONNECT", async () => {
  const answer = await exchange(
    rig.port,
    "CONNECT to.example:443 HTTP/1.1\r\nHost: to.example\r\n\r\n",
  );
  assert.match(
    answer,
    /^HTTP\/1\.1 405 .*X-Access-Proxy-Error: method is not supported.*"error":"invalid_request"/s,
  );
});

test("E28: a session store that fails is an error at the look-up, and a log line later", async () => {
  const fail = (): never => {
    throw new Error("disk of s3cret is full");
  };
  const kept = { get: () => undefined, save: fail, deleteIf: fail, delete: fail };
  const later = await startRig({ parts: { sessions: kept } });
  later.answer = (_message, answer) => {
    answer.setHeader("Set-Cookie", "Edo-Cooperation=s; Max-Age=60").end("done");
  };
  assert.equal((await later.call({ headers: ID })).status, 200);
  assert.match(later.logs.join(""), /session store failed/);
  await later.stop();
  const broken = await startRig({ parts: { sessions: { ...kept, get: fail } } });
  const answer = await broken.call({ headers: ID });
  assertError(answer, "ERR_ACCESS_PROXY_INTERNAL");
  assert.doesNotMatch(answer.body.toString(), /s3cret/);
  await broken.stop();
  const tokens = { getByTag: fail };
  const tokenless = await startRig({ parts: { tokens } });
  assertError(await tokenless.call({ headers: ID }), "ERR_ACCESS_PROXY_INTERNAL");
  await tokenless.stop();
});

test("E30: paths where the proxy is not mounted; the health path", async () => {
  const mounted = await startRig({ pathProx: "/proxy" });
  for (const path of ["/", "/proxyx", "/prox", "/x/proxy"]) {
    assertError(await mounted.call({ path, headers: ID }), "ERR_ACCESS_PROXY_ENDPOINT");
  }
  for (const path of ["/proxy", "/proxy/", "/proxy/a?b", "/proxy?c"]) {
    assert.equal((await mounted.call({ path, headers: ID })).status, 200, path);
  }
  const ok = await mounted.call({ path: "/ok" });
  assert.deepEqual([ok.status, ok.body.length], [200, 0]);
  await mounted.stop();
});

test("errors: none is told with a token, and no log line has one", async () => {
  const text = rig.logs.join("");
  assert.doesNotMatch(text, /access-token-secret/);
  assert.doesNotMatch(text, /eyJ/, "no JWT");
  assert.match(text, /"code":"ERR_ACCESS_PROXY_IDP_STATUS"/);
});

test("errors: the largest set of accounts that is allowed is read, and one that is larger still answered", async () => {
  const long = "x".repeat(1_024);
  const users: Record<string, object> = { ["m".repeat(128)]: { at_tag: long } };
  for (let i = 0; i < 31; i++) users[`${i}`.padStart(128, "r")] = { iss: long, sub: long };
  assert.ok(writeUnsignedJwt(users).length > 90_000);
  assertError(await rig.call({ headers: ID, users }), "ERR_ACCESS_PROXY_NO_TOKEN");
  const answer = await exchange(rig.port, `GET / HTTP/1.1\r\nX-A: ${"x".repeat(300_000)}\r\n\r\n`);
  assert.match(answer, /^HTTP\/1\.1 431 .*"error":"invalid_request"/s);
});
