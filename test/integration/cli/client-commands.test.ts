import assert from "node:assert/strict";
import test, { type TestContext } from "node:test";
import { mintToken } from "../../../src/core/token.ts";
import { CliProcess, runCli } from "../../support/cli.ts";
import { type Asked, type Scripted, startScriptedApi } from "../../support/scripted-api.ts";

const KEY = mintToken("key").text;
const ID = "abcdefgh234567ab";
const TIME = "2027-01-15T08:00:00.000Z";

const DEVICE = {
  id: ID,
  name: "press 7",
  tags: ["floor-2"],
  model: "m1",
  serial: null,
  owner_id: "0".repeat(24),
  state: "active",
  created_at: TIME,
  activate_by: null,
  first_connected_at: TIME,
  connected: true,
  connected_at: TIME,
  last_seen_at: TIME,
  last_close_reason: null,
  address: "192.0.2.1",
  agent_version: "0.1.0",
  edge_url: `https://relay.test/d/${ID}/`,
};
const TOKEN = {
  ref: "vAc_0aB1cD2e",
  created_at: TIME,
  expires_at: null,
  good_until: null,
  last_used_at: TIME,
};
const ISSUED = {
  device_id: ID,
  token: mintToken("device").text,
  token_ref: "vAc_0aB1cD2e",
  tunnel_url: "wss://relay.test",
  expires_at: null,
};
const CODE = {
  id: "0123456789abcdef01234567",
  prefix: "hwp_0123",
  state: "unused",
  creator_id: "0".repeat(24),
  created_at: TIME,
  expires_at: TIME,
  used_at: null,
  device_id: null,
};
const ENROLMENT = {
  ref: "hwe_0aB1cD2e",
  name: "batch 12",
  tags: [],
  creator_id: "0".repeat(24),
  uses: 3,
  uses_max: 500,
  created_at: TIME,
  expires_at: TIME,
  revoked_at: null,
};

/** Runs a command with a key in its variable against a server that gives one answer. */
async function against(
  t: TestContext,
  words: readonly string[],
  answer: (asked: Asked) => Scripted,
) {
  const api = await startScriptedApi(t, answer);
  const variables = { HAWSER_API_URL: api.url, HAWSER_API_KEY: KEY };
  const finished = await runCli(t, words, variables);
  for (const { authorization } of api.asked) assert.equal(authorization, `Bearer ${KEY}`);
  assert.ok(!(finished.stdout + finished.stderr).includes(KEY.slice(13)));
  const calls = api.asked.map(({ method, target, body }) =>
    body === undefined ? `${method} ${target}` : `${method} ${target} ${JSON.stringify(body)}`,
  );
  return { ...finished, calls, url: api.url };
}

const gone: Scripted = { status: 204 };

/** Words, the answers by method and path, the calls that are made, and what is printed. */
const CASES: readonly [string, Record<string, Scripted>, string[], RegExp][] = [
  [
    "devices list --tag floor-2 --connected",
    { "GET /api/devices": { body: { devices: [DEVICE] } } },
    ["GET /api/devices?limit=1000&tag=floor-2&connected=true"],
    /^ID +NAME +STATE .*\nabcdefgh234567ab +press 7 +connected +2027/,
  ],
  [
    "devices list --offline",
    { "GET /api/devices": { body: { devices: [] } } },
    ["GET /api/devices?limit=1000&connected=false"],
    /^No devices\.\n$/,
  ],
  [
    `devices show ${ID}`,
    {
      [`GET /api/devices/${ID}`]: { body: DEVICE },
      [`GET /api/devices/${ID}/tokens`]: { body: { tokens: [TOKEN] } },
    },
    [`GET /api/devices/${ID}`, `GET /api/devices/${ID}/tokens`],
    /at the edge +https:\/\/relay\.test\/d\/[\s\S]*vAc_0aB1cD2e +2027\S+ +2027\S+ +never/,
  ],
  [
    `devices rename ${ID} lathe`,
    { [`PATCH /api/devices/${ID}`]: { body: { ...DEVICE, name: "lathe" } } },
    [`PATCH /api/devices/${ID} {"name":"lathe"}`],
    /name +lathe/,
  ],
  [
    `devices tag ${ID} --add a b --remove floor-2`,
    {
      [`GET /api/devices/${ID}`]: { body: DEVICE },
      [`PATCH /api/devices/${ID}`]: { body: { ...DEVICE, tags: ["a", "b"] } },
    },
    [`GET /api/devices/${ID}`, `PATCH /api/devices/${ID} {"tags":["a","b"]}`],
    /tags +a,b/,
  ],
  [
    `devices tag ${ID} --clear`,
    { [`PATCH /api/devices/${ID}`]: { body: { ...DEVICE, tags: [] } } },
    [`PATCH /api/devices/${ID} {"tags":[]}`],
    /tags +-/,
  ],
  [
    `devices disconnect ${ID} --drain 5`,
    { [`POST /api/devices/${ID}/disconnect`]: { body: { disconnected: true } } },
    [`POST /api/devices/${ID}/disconnect {"drain_s":5}`],
    /^The tunnel is closed/,
  ],
  [
    `devices delete ${ID}`,
    { [`DELETE /api/devices/${ID}`]: gone },
    [`DELETE /api/devices/${ID}`],
    /is deleted/,
  ],
  [
    `devices rotate ${ID}`,
    { [`POST /api/devices/${ID}/token:rotate`]: { body: ISSUED } },
    [`POST /api/devices/${ID}/token:rotate`],
    new RegExp(`token +${ISSUED.token}\n +shown once`),
  ],
  [
    `devices revoke ${ID}`,
    { [`POST /api/devices/${ID}/token:revoke`]: { body: { revoked: ["vAc_0aB1cD2e"] } } },
    [`POST /api/devices/${ID}/token:revoke`],
    /ended +vAc_0aB1cD2e/,
  ],
  [
    `devices revoke ${ID} --token vAc_0aB1cD2e`,
    { [`DELETE /api/devices/${ID}/tokens/vAc_0aB1cD2e`]: gone },
    [`DELETE /api/devices/${ID}/tokens/vAc_0aB1cD2e`],
    /has ended/,
  ],
  [
    `devices revoke ${ID} --and-rotate`,
    {
      [`POST /api/devices/${ID}/token:revoke-and-rotate`]: {
        body: { ...ISSUED, revoked: ["vAc_0aB1cD2e"] },
      },
    },
    [`POST /api/devices/${ID}/token:revoke-and-rotate`],
    new RegExp(`ended +vAc_0aB1cD2e\ntoken +${ISSUED.token}`),
  ],
  [
    "pair create",
    {
      "POST /api/pairing-codes": {
        status: 201,
        body: { code: "hwp_ABC", id: CODE.id, expires_at: TIME },
      },
    },
    ["POST /api/pairing-codes"],
    /code +hwp_ABC\n[\s\S]*HAWSER_CODE=hwp_ABC hawser agent pair --api http:\/\/127/,
  ],
  [
    "pair list",
    { "GET /api/pairing-codes": { body: { pairing_codes: [CODE] } } },
    ["GET /api/pairing-codes?limit=50"],
    /0123456789abcdef01234567 +hwp_0123… +unused/,
  ],
  [
    `pair cancel ${CODE.id}`,
    { [`DELETE /api/pairing-codes/${CODE.id}`]: gone },
    [`DELETE /api/pairing-codes/${CODE.id}`],
    /is cancelled/,
  ],
  [
    "enrolment create --name batch --uses 500 --days 30 --tag a",
    { "POST /api/enrolment-keys": { status: 201, body: { ...ENROLMENT, key: "hwe_SECRET" } } },
    ['POST /api/enrolment-keys {"name":"batch","uses_max":500,"expires_in_days":30,"tags":["a"]}'],
    /key +hwe_SECRET\n +shown once/,
  ],
  [
    "enrolment list",
    { "GET /api/enrolment-keys": { body: { enrolment_keys: [ENROLMENT] } } },
    ["GET /api/enrolment-keys?limit=50"],
    /hwe_0aB1cD2e +batch 12 +3\/500/,
  ],
  [
    "enrolment revoke hwe_0aB1cD2e",
    { "DELETE /api/enrolment-keys/hwe_0aB1cD2e": gone },
    ["DELETE /api/enrolment-keys/hwe_0aB1cD2e"],
    /is revoked/,
  ],
  [
    "keys list --all",
    {
      "GET /api/keys": {
        body: { keys: [{ ref: "hwk_0aB1cD2e", name: "ci", scopes: ["a", "b"], expires_at: TIME }] },
      },
    },
    ["GET /api/keys?limit=100&all=true"],
    /hwk_0aB1cD2e +ci +a,b/,
  ],
];

for (const [line, answers, calls, printed] of CASES) {
  test(`hawser ${line}: what it asks for, and what it prints`, async (t) => {
    const answer = ({ method, target }: Asked): Scripted =>
      answers[`${method} ${target.split("?")[0]}`] ?? { status: 500 };
    const people = await against(t, line.split(" "), answer);
    assert.equal(people.code, 0, people.stderr);
    assert.deepEqual(people.calls, calls);
    assert.match(people.stdout, printed);
    const json = await against(t, [...line.split(" "), "--json"], answer);
    assert.equal(json.code, 0, json.stderr);
    assert.equal(typeof JSON.parse(json.stdout), "object");
  });
}

test("client commands: a listing is read page after page", async (t) => {
  const { code, stdout, calls } = await against(t, ["devices", "list", "--json"], ({ target }) =>
    target.includes("cursor=next")
      ? { body: { devices: [{ ...DEVICE, name: "second" }] } }
      : { body: { devices: [DEVICE], next: "next" } },
  );
  assert.equal(code, 0);
  assert.equal(calls.length, 2);
  assert.deepEqual(
    JSON.parse(stdout).devices.map(({ name }: { name: string }) => name),
    ["press 7", "second"],
  );
});

test("client commands: a name that a device chose cannot steer the terminal", async (t) => {
  const name = "\u001b[2Jevil\n\u202eroot";
  const { stdout } = await against(t, ["devices", "list"], () => ({
    body: { devices: [{ ...DEVICE, name }] },
  }));
  assert.match(stdout, / \[2Jevil root /);
  assert.ok(!stdout.includes("\u001b") && !stdout.includes("\u202e"));
});

test("client commands: a refusal is told with the server's code and request, exit code 1", async (t) => {
  const problem = {
    type: "about:blank",
    status: 403,
    detail: "These credentials have not the scope that is needed.",
    code: "insufficient_scope",
    request_id: "r-1",
  };
  const refuse = (): Scripted => ({ status: 403, body: problem });
  const people = await against(t, ["devices", "list"], refuse);
  assert.deepEqual(
    [people.code, people.stdout, people.stderr],
    [
      1,
      "",
      "error: These credentials have not the scope that is needed. [request r-1]\n`hawser login --scope …` gets a key that may do this.\n",
    ],
  );
  const json = await against(t, ["devices", "list", "--json"], refuse);
  assert.equal(JSON.parse(json.stderr).error.code, "insufficient_scope");
});

test("client commands: reads are tried again where the server is overloaded, changes are not", async (t) => {
  let count = 0;
  const busy = { status: 503, body: { code: "unavailable", detail: "Not now.", request_id: "r" } };
  const read = await against(t, ["devices", "list"], () => {
    count += 1;
    return count === 1 ? busy : { body: { devices: [] } };
  });
  assert.deepEqual([read.code, read.calls.length], [0, 2]);
  const change = await against(t, ["devices", "delete", ID], () => busy);
  assert.deepEqual([change.code, change.calls.length], [1, 1]);
  const long = await against(t, ["devices", "list"], () => ({
    ...busy,
    headers: { "retry-after": "60" },
  }));
  assert.deepEqual([long.code, long.calls.length], [1, 1]);
  assert.match(long.stderr, /Try again in 60 s/);
});

test("client commands: what is not Hawser's API is told as that", async (t) => {
  const { code, stderr } = await against(t, ["devices", "list", "--json"], () => ({
    status: 404,
    body: { error: "no such page" },
  }));
  assert.equal(code, 1);
  assert.equal(JSON.parse(stderr).error.code, "ERR_CLI_API_ANSWER");
});

test("client commands: a server that is away is told as that, without the key", async (t) => {
  const variables = { HAWSER_API_KEY: KEY, HAWSER_API_URL: "http://127.0.0.1:9" };
  const { code, stderr } = await runCli(t, ["devices", "delete", ID], variables);
  assert.equal(code, 1);
  assert.match(stderr, /^error: http:\/\/127\.0\.0\.1:9 cannot be reached \(ECONNREFUSED\)\.\n/);
  assert.ok(!stderr.includes(KEY));
});

test("client commands: wrong usage ends with 2 and asks nobody", async (t) => {
  for (const words of [
    ["devices", "list", "--connected", "--offline"],
    ["devices", "show", "../keys"],
    ["devices", "tag", ID],
    ["devices", "tag", ID, "--add", "a", "--set", "b"],
    ["devices", "revoke", ID, "--token", "vAc_0aB1cD2e", "--and-rotate"],
    ["devices", "list", "--limit", "0"],
    ["devices", "list", "--timeout", "soon"],
    ["enrolment", "create", "--name", "x"],
    ["audit", "--since", "yesterday"],
    ["audit", "--follow", "--until", "1h"],
    ["devices"],
  ]) {
    const { code, calls } = await against(t, words, () => ({ body: {} }));
    assert.deepEqual([code, calls], [2, []], words.join(" "));
  }
});

const EVENT = {
  id: "1",
  time: TIME,
  event: "key_created",
  actor: "u1",
  object_id: "hwk_0aB1cD2e",
  request_id: "r1",
  ip: "192.0.2.1",
  user_agent: null,
  session_ref: null,
  detail: { name: "ci\nfake line" },
};

test("hawser audit: filters, the oldest first, one line an event", async (t) => {
  const words = [
    "audit",
    "--event",
    "key_created",
    "--since",
    "2027-01-01T00:00:00Z",
    "--limit",
    "2",
  ];
  const events = [{ ...EVENT, id: "2", event: "key_revoked" }, EVENT];
  const { code, stdout, calls } = await against(t, words, () => ({ body: { events } }));
  assert.equal(code, 0);
  assert.deepEqual(calls, [
    "GET /api/audit?event=key_created&since=2027-01-01T00%3A00%3A00.000Z&limit=2",
  ]);
  const lines = stdout.split("\n");
  assert.equal(lines.length, 3);
  assert.match(
    lines[0] ?? "",
    /key_created {2}by u1 {2}on hwk_0aB1cD2e {2}from 192\.0\.2\.1 {2}name=ci fake line$/,
  );
  assert.match(lines[1] ?? "", /key_revoked/);
});

test("hawser audit --follow: prints each new event once, until it is stopped", async (t) => {
  const looks: string[] = [];
  // With the third look comes one that happened before the second one's, and was written after it.
  const late = { ...EVENT, id: "late", time: "2027-01-15T08:00:01.500Z" };
  const api = await startScriptedApi(t, ({ target }) => {
    looks.push(new URL(target, "http://x").searchParams.get("since") ?? "");
    const fresh = {
      ...EVENT,
      id: String(looks.length),
      time: `2027-01-15T08:00:0${looks.length}.000Z`,
    };
    if (looks.length > 2) return { body: { events: [fresh, late] } };
    return { body: { events: [fresh, EVENT] } };
  });
  const variables = { HAWSER_API_URL: api.url, HAWSER_API_KEY: KEY };
  const command = new CliProcess(t, ["audit", "--follow", "--every", "1", "--json"], variables);
  await command.printed(/"id":"3"/);
  command.child.kill("SIGTERM");
  const { code, stdout } = await command.finished();
  assert.equal(code, 0);
  const ids = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line).id);
  assert.deepEqual(ids.slice(0, 4), ["1", "1", "2", "late"]);
  assert.equal(ids.filter((id) => id === "late").length, 1);
  // From the second look on it asks for what came after the first one's last event, or ten seconds before the last.
  assert.deepEqual(looks.slice(0, 3), ["", "2027-01-15T08:00:01.000Z", "2027-01-15T08:00:01.000Z"]);
});
