import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import fc from "fast-check";
import { ACCESS_PROXY_ERRORS, writeUnsignedJwt } from "../../../src/access-proxy/index.ts";
import {
  exchange,
  PRINCIPAL,
  type ProxyRig,
  startRig,
  TO_TA,
} from "../../support/access-proxy/rig.ts";
import { seedFromEnvironment } from "../../support/mux/prng.ts";

/**
 * Whatever the proxy's own fields hold, the whole server answers: what the target gave, where the call was good, and else an OAuth
 * 2.0 error of the table. A rejection that nobody handles fails the file.
 */

const seed = seedFromEnvironment(5);
const TO = "X-Access-Proxy-To";
const TO_ID = "X-Access-Proxy-To-Id";
const USERS = "X-Access-Proxy-Users";
const GOOD_USERS = writeUnsignedJwt(PRINCIPAL);
/** Errors of heads that are not read: they come before the table. */
const UNREAD = new Set(["request is malformed", "request head is too large"]);
const TEXTS = Object.values(ACCESS_PROXY_ERRORS).map(
  ({ text }) => new RegExp(`^${text.split("{}").map(escaped).join(".*")}$`),
);

let rig: ProxyRig;
before(async () => {
  rig = await startRig();
});
after(() => rig.stop());

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

/** Any bytes that leave a line a line. */
const bytes = fc.uint8Array({ maxLength: 200 }).map((of) =>
  Buffer.from(of)
    .toString("latin1")
    .replace(/[\r\n]/g, "?"),
);

const encoded = (text: string): string => Buffer.from(text).toString("base64url");

const account = fc.oneof(
  fc.record(
    {
      at_tag: fc.oneof(fc.constantFrom("tag-1", "", "other"), fc.string(), fc.anything()),
      iss: fc.oneof(
        fc.constantFrom("https://idp-a.example", "https://idp-b.example", ""),
        fc.string(),
      ),
      sub: fc.oneof(fc.string(), fc.integer()),
    },
    { requiredKeys: [] },
  ),
  fc.jsonValue(),
);
const claims = fc.oneof(
  fc.dictionary(
    fc.oneof(fc.constantFrom("me", "you", "__proto__", "constructor"), fc.string()),
    account,
    {
      maxKeys: 40,
    },
  ),
  fc.jsonValue(),
);
const header = fc.oneof(
  { weight: 4, arbitrary: fc.constant({ alg: "none" } as unknown) },
  {
    weight: 1,
    arbitrary: fc.oneof(
      fc.constantFrom<unknown>({ alg: "None" }, { alg: "HS256" }, {}),
      fc.jsonValue(),
    ),
  },
);

/** What JSON makes of a value; of what it makes nothing of, `null`. */
function jsonOf(value: unknown): string {
  try {
    return JSON.stringify(value) ?? "null";
  } catch {
    return "null";
  }
}

const jwt = fc
  .tuple(header, claims, fc.oneof({ weight: 4, arbitrary: fc.constant("") }, bytes))
  .map(
    ([head, body, signature]) => `${encoded(jsonOf(head))}.${encoded(jsonOf(body))}.${signature}`,
  );

/** A good one with one place changed. */
const spoiled = fc
  .tuple(fc.nat(GOOD_USERS.length - 1), fc.nat(3), bytes)
  .map(
    ([at, removed, added]) =>
      GOOD_USERS.slice(0, at) + added.slice(0, 3) + GOOD_USERS.slice(at + removed),
  );
const long = fc.nat(220_000).map((length) => `${encoded('{"alg":"none"}')}.${"e".repeat(length)}.`);
const users = fc.oneof(
  { weight: 6, arbitrary: jwt },
  { weight: 3, arbitrary: spoiled },
  { weight: 2, arbitrary: bytes },
  { weight: 1, arbitrary: long },
);

const targets = (): fc.Arbitrary<string> =>
  fc.oneof(
    { weight: 5, arbitrary: fc.constantFrom(`${rig.target}/x`, `${rig.target}/../%2e/x?#y`) },
    { weight: 2, arbitrary: fc.webUrl({ validSchemes: ["http", "https", "ftp", "file"] }) },
    {
      weight: 2,
      arbitrary: fc
        .tuple(fc.constantFrom("http://", "https:", "//", "http:\\\\", "HTTP://", ""), bytes)
        .map(([scheme, rest]) => scheme + rest),
    },
  );
const ids = fc.oneof({ weight: 5, arbitrary: fc.constant(TO_TA) }, { weight: 1, arbitrary: bytes });

/** Mostly one line of a field; sometimes none, or two. */
function linesOf(name: string, value: fc.Arbitrary<string>): fc.Arbitrary<string[]> {
  const count = fc.oneof(
    { weight: 9, arbitrary: fc.constant(1) },
    { weight: 1, arbitrary: fc.nat(2) },
  );
  return fc
    .tuple(count, value, value)
    .map(([lines, ...values]) => values.slice(0, lines).map((text) => `${name}: ${text}`));
}

interface Seen {
  readonly status: number;
  readonly error: string | undefined;
  readonly body: string;
}

async function seenFor(lines: readonly string[]): Promise<Seen> {
  const head = ["GET / HTTP/1.1", "Host: h", ...lines, "Connection: close"];
  const text = await exchange(rig.port, `${head.join("\r\n")}\r\n\r\n`);
  const [answerHead = "", body = ""] = text.split("\r\n\r\n", 2);
  const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(answerHead)?.[1]);
  return { status, error: /^X-Access-Proxy-Error: (.*)$/m.exec(answerHead)?.[1]?.trimEnd(), body };
}

/** One answer, and one of the two kinds that there are. */
function assertAnswered({ status, error, body }: Seen, wasForwarded: boolean): void {
  if (wasForwarded) {
    assert.deepEqual([status, error], [200, undefined]);
    return;
  }
  assert.ok(status >= 400 && status < 600, `status ${status}`);
  assert.ok(error !== undefined, `status ${status} without a reason`);
  const known = UNREAD.has(error) || TEXTS.some((text) => text.test(error));
  assert.ok(known, `no error of the table: ${error}`);
  const { error: code, error_description: description } = JSON.parse(body);
  assert.match(code, /^(?:invalid_(?:request|client|grant|scope)|access_denied|server_error)$/);
  assert.equal(description, error);
}

test("any fields of the proxy's own are answered, by the target or by an error of the table", async (t) => {
  t.diagnostic(`HAWSER_SEED=${seed}`);
  const lines = fc
    .tuple(linesOf(TO, targets()), linesOf(TO_ID, ids), linesOf(USERS, users))
    .map((of) => of.flat());
  const kinds = new Set<string>();
  await fc.assert(
    fc.asyncProperty(lines, async (fields) => {
      const before = rig.received.length;
      const seen = await seenFor(fields);
      assertAnswered(seen, rig.received.length > before);
      kinds.add(seen.error?.replace(/account .* lacks/, "account lacks") ?? "none");
    }),
    { seed, numRuns: 800 },
  );
  t.diagnostic(`${kinds.size} kinds of answers`);
  // It would say nothing if every head failed at the first check.
  assert.ok(kinds.size >= 8, [...kinds].join("\n"));
});

test("after all that, a good call is served", async () => {
  const seen = await seenFor([
    `${TO}: ${rig.target}/x`,
    `${TO_ID}: ${TO_TA}`,
    `${USERS}: ${GOOD_USERS}`,
  ]);
  assert.deepEqual(seen, { status: 200, error: undefined, body: seen.body });
  assert.match(seen.body, /done/);
});
