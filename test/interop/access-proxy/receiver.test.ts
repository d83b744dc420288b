import assert from "node:assert/strict";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { startChild } from "../../../bench/support/child.ts";
import { referralHash } from "../../../src/access-proxy/index.ts";
import {
  type Answered,
  type CallOf,
  PRINCIPAL,
  type ProxyRig,
  SELF,
  startRig,
  TO_TA,
} from "../../support/access-proxy/rig.ts";
import { buildGo, skipWithout } from "../../support/go.ts";
import { root } from "../../support/root.ts";

/** A receiving TA in Go, with net/http: it reads one code token for each line, and splits none on commas. */

const needed = { skip: skipWithout("go"), timeout: 55_000 };
const ID = ["X-Access-Proxy-To-Id", TO_TA];
const IDP_A = "https://idp-a.example";
const IDP_B = "https://idp-b.example";

/** What the receiver saw of a request. */
interface Seen {
  readonly method: string;
  readonly target: string;
  readonly host: string;
  readonly fields: Readonly<Record<string, readonly string[]>>;
  readonly cookies: readonly (readonly [name: string, value: string])[];
  readonly tokens: readonly { readonly claims: Readonly<Record<string, unknown>> }[];
  readonly body: string;
  readonly contentLength: number;
}

interface Receiver {
  readonly rig: ProxyRig;
  readonly host: string;
  call(of: Partial<CallOf>): Promise<Answered & { readonly seen: Seen }>;
}

async function startReceiver(t: TestContext): Promise<Receiver> {
  const folder = join(root, "test", "interop", "access-proxy", "receiver");
  const child = startChild({
    name: "receiver",
    command: await buildGo({ sourceFolder: folder, moduleFolder: folder }),
    args: [],
    endBy: "stdin",
  });
  t.after(() => child.stop());
  const host = `127.0.0.1:${(await child.line("listens ")).split(" ")[1]}`;
  const origin = `http://${host}`;
  const open = { pathPrefix: "/", allowHttp: true, allowPrivate: true, device: null };
  const destinations = [{ origin, taId: TO_TA, ...open }];
  const rig = await startRig({
    options: { destinationPolicy: { allowAny: false, destinations } },
  });
  t.after(() => rig.stop());
  const call: Receiver["call"] = async ({ at = "/", headers = [], ...of }) => {
    const answer = await rig.call({ to: origin + at, headers: [...ID, ...headers], ...of });
    assert.equal(answer.status, 200, answer.body.toString());
    return { ...answer, seen: JSON.parse(answer.body.toString()) };
  };
  return { rig, host, call };
}

test(
  "two ID providers: Go gets a line for each code token, the main one's first, and the request whole",
  needed,
  async (t) => {
    const { rig, host, call } = await startReceiver(t);
    const { seen } = await call({
      method: "POST",
      at: "/api/invite?room=blue&x=%20",
      headers: ["Cookie", "a=1; Edo-Cooperation=forged; b=2", "X-Own", "1", "X-Own", "2"],
      body: '{"room":"blue"}',
      users: {
        inviter: { at_tag: "tag-1" },
        observer: { iss: IDP_B, sub: "u-2002" },
        friend: { iss: IDP_A, sub: "u-3003" },
      },
    });
    const referral = rig.idps.get(IDP_B)?.asked[0]?.["referral"];
    assert.ok(typeof referral === "string");
    const shared = { aud: TO_TA, from_client: SELF, ref_hash: referralHash("SHA256", referral) };
    assert.deepEqual(
      seen.tokens.map(({ claims: { sub: _code, ...claims } }) => claims),
      [
        { iss: IDP_A, ...shared, user_tag: "inviter", user_tags: ["friend"] },
        { iss: IDP_B, ...shared, user_tags: ["observer"] },
      ],
    );
    assert.equal(seen.fields["X-Edo-Code-Tokens"]?.length, 2);
    assert.deepEqual([seen.method, seen.target], ["POST", "/api/invite?room=blue&x=%20"]);
    assert.deepEqual([seen.host, seen.body, seen.contentLength], [host, '{"room":"blue"}', 15]);
    assert.deepEqual(seen.cookies, [
      ["a", "1"],
      ["b", "2"],
    ]);
    assert.deepEqual(seen.fields["X-Own"], ["1", "2"]);
    const ours = Object.keys(seen.fields).filter((name) => /^X-Access-Proxy/i.test(name));
    assert.deepEqual(ours, []);
  },
);

test(
  "a session that Go grants comes back to it as one more cookie of one line",
  needed,
  async (t) => {
    const { rig, call } = await startReceiver(t);
    const headers = ["Cookie", "a=1; b=2"];
    const granting = await call({ users: PRINCIPAL, headers });
    assert.equal(granting.seen.tokens.length, 1);
    assert.match(granting.headers["set-cookie"]?.[0] ?? "", /^Edo-Cooperation=session-of-go;/);
    const { seen } = await call({ users: PRINCIPAL, headers, method: "PUT", body: "again" });
    assert.deepEqual([seen.tokens, seen.body], [[], "again"]);
    assert.deepEqual(seen.fields["Cookie"], ["a=1; b=2; Edo-Cooperation=session-of-go"]);
    assert.deepEqual(seen.cookies.at(-1), ["Edo-Cooperation", "session-of-go"]);
    assert.deepEqual(
      rig.outcomes.map(({ path }) => path),
      ["mediated", "session"],
    );
  },
);

test("a body in chunks, and none", needed, async (t) => {
  const { call } = await startReceiver(t);
  const pieces = async function* (): AsyncGenerator<Buffer> {
    yield Buffer.from("one ");
    yield Buffer.from("two");
  };
  const chunked = await call({ method: "POST", body: pieces() });
  assert.deepEqual([chunked.seen.body, chunked.seen.contentLength], ["one two", -1]);
  const none = await call({ method: "DELETE" });
  assert.deepEqual([none.seen.body, none.seen.contentLength], ["", 0]);
});
