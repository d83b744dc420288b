/**
 * Every secret that a full run issues, looked for in everything that the run leaves behind: log lines of every level, the
 * audit log, the database, and each byte on the wires. What remains must be the one answer that issues a secret, and the
 * fields that present it.
 */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { UserAgent } from "../../support/oidc/real-idp.ts";
import { CLIENT_SECRET } from "../../support/oidc/rig.ts";
import { makeHoldings } from "../../support/product/holdings.ts";
import {
  INTERNAL_SECRET,
  type Person,
  type Product,
  startProduct,
} from "../../support/product/product.ts";
import { ask } from "../../support/relay/start-relay.ts";
import { until } from "../../support/until.ts";

/** A secret, and where it may be seen. In a pattern `SECRET` stands for its text. */
interface Canary {
  readonly name: string;
  readonly text: string;
  readonly places: readonly Place[];
}

interface Place {
  readonly wire: WireName;
  /** What stands around it there. */
  readonly pattern: string;
  /** How often at most; the one answer that issues it is 1. */
  readonly timesMax?: number;
}

type WireName =
  | "to the API"
  | "from the API"
  | "to the edge"
  | "from the edge"
  | "to the relay"
  | "from the relay"
  | "to authorize"
  | "from authorize";

const issued = (member: string): Place => ({
  wire: "from the API",
  pattern: `"${member}":"SECRET"`,
  timesMax: 1,
});
const presented = (wire: WireName): Place => ({
  wire,
  pattern: "authorization: Bearer SECRET\\r\\n",
});
const cookiePlaces: readonly Place[] = [
  { wire: "to the API", pattern: "cookie: hawser_sid=v1\\.[A-Za-z0-9_-]+\\.COOKIE\\r\\n" },
  { wire: "from the API", pattern: "set-cookie: hawser_sid=v1\\.[A-Za-z0-9_-]+\\.COOKIE;" },
];

function wiresOf({ taps }: Product): Readonly<Record<WireName, string>> {
  const { api, edge, relay, authorize } = taps;
  return {
    "to the API": api?.sent() ?? "",
    "from the API": api?.answered() ?? "",
    "to the edge": edge?.sent() ?? "",
    "from the edge": edge?.answered() ?? "",
    "to the relay": relay?.sent() ?? "",
    "from the relay": relay?.answered() ?? "",
    "to authorize": authorize?.sent() ?? "",
    "from authorize": authorize?.answered() ?? "",
  };
}

/** Everything that lies in the database's files. */
function databaseBytes(product: Product): string {
  return readdirSync(product.folder)
    .filter((name) => name.startsWith("hawser.db"))
    .map((name) => readFileSync(join(product.folder, name), "latin1"))
    .join("");
}

function quoted(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&");
}

/** Where a secret is found although it may not be. */
function findLeaks(product: Product, canary: Canary): string[] {
  const leaks: string[] = [];
  const stores: Readonly<Record<string, string>> = {
    "the log": product.logs.join(""),
    "the audit log": product.auditLines.join(""),
    "the database": databaseBytes(product),
    "a request to a device": product.deviceHeads.join("\n"),
  };
  for (const [name, text] of Object.entries(stores)) {
    if (text.includes(canary.text)) leaks.push(`${canary.name} in ${name}`);
  }
  for (const [wire, bytes] of Object.entries(wiresOf(product))) {
    let rest = bytes;
    for (const place of canary.places.filter((each) => each.wire === wire)) {
      const pattern = new RegExp(place.pattern.replace("SECRET", quoted(canary.text)), "gi");
      const times = rest.match(pattern)?.length ?? 0;
      if (times > (place.timesMax ?? Number.POSITIVE_INFINITY)) {
        leaks.push(`${canary.name} ${times} times ${wire}`);
      }
      rest = rest.replace(pattern, "");
    }
    const at = rest.indexOf(canary.text);
    if (at >= 0) leaks.push(`${canary.name} ${wire}: …${rest.slice(Math.max(0, at - 60), at)}`);
  }
  return leaks;
}

/** Signs in step by step, as `product.signIn` does, and gives what passed on the way. */
async function observedSignIn(product: Product) {
  const person = await product.signIn("carol");
  const sent = product.taps.api?.sent() ?? "";
  const answered = product.taps.api?.answered() ?? "";
  const tokens = product.idp.tokenRequests.at(-1);
  const location = new URL(/\r\nlocation: (http[^\r]+state=[^\r]+)/i.exec(answered)?.[1] ?? "");
  const callback = new URL(`http://x${/GET (\/api\/auth\/callback\?[^ ]+)/.exec(sent)?.[1] ?? ""}`);
  const answer = JSON.parse(tokens?.answer ?? "{}") as Record<string, string>;
  const text = (value: string | null | undefined, name: string): string => {
    assert.ok(value !== null && value !== undefined && value.length >= 16, `${name} is seen`);
    return value;
  };
  const inLocation = (name: string): Place => ({
    wire: "from the API",
    pattern: `location: [^\\r]*[?&]${name}=SECRET`,
    timesMax: 1,
  });
  const inCallback = (name: string): Place => ({
    wire: "to the API",
    pattern: `GET /api/auth/callback\\?[^ ]*${name}=SECRET`,
    timesMax: 1,
  });
  const canaries: Canary[] = [
    {
      name: "state",
      text: text(location.searchParams.get("state"), "state"),
      places: [inLocation("state"), inCallback("state")],
    },
    {
      name: "nonce",
      text: text(location.searchParams.get("nonce"), "nonce"),
      places: [inLocation("nonce")],
    },
    {
      name: "code",
      text: text(callback.searchParams.get("code"), "code"),
      places: [inCallback("code")],
    },
    {
      name: "code verifier",
      text: text(new URLSearchParams(tokens?.body).get("code_verifier"), "verifier"),
      places: [],
    },
    {
      name: "ID token",
      text: text(answer["id_token"], "ID token"),
      places: [inLocation("id_token_hint")],
    },
    { name: "access token", text: text(answer["access_token"], "access token"), places: [] },
  ];
  return { person, canaries };
}

/** The parts of each cookie of a session that are secret. */
function cookieCanaries(product: Product): Canary[] {
  const answered = product.taps.api?.answered() ?? "";
  const found = new Map<string, Canary>();
  const values = answered.matchAll(/set-cookie: hawser_sid=v1\.[^.;]+\.([^.;]+)\.([^.;]+);/gi);
  for (const [, sid = "", mac = ""] of values) {
    const places = cookiePlaces.map((place) => ({
      ...place,
      pattern: place.pattern.replace("COOKIE", `${quoted(sid)}\\.${quoted(mac)}`),
    }));
    found.set(sid, { name: "session id", text: sid, places });
    found.set(mac, { name: "session's signature", text: mac, places });
  }
  return [...found.values()];
}

/** `hawser login` as it goes over the wire. */
async function commandLineLogin(product: Product, person: Person): Promise<Canary[]> {
  const verifier = randomBytes(32).toString("base64url");
  const state = randomBytes(16).toString("base64url");
  const query = new URLSearchParams({
    redirect_uri: "http://127.0.0.1:9/callback",
    code_challenge: createHash("sha256").update(verifier).digest("base64url"),
    code_challenge_method: "S256",
    state,
    name: "laptop",
  });
  const page = await person.browser.step(`${product.baseUrl}/cli-login?${query}`);
  const consent = /name="consent" value="([^"]+)"/.exec(page.body)?.[1] ?? "";
  assert.notEqual(consent, "", page.body);
  const back = await person.browser.submitStep(`${product.baseUrl}/cli-login`, product.baseUrl, {
    consent,
    decision: "allow",
  });
  const code = new URL(back.headers.location ?? "http://x").searchParams.get("code") ?? "";
  assert.notEqual(code, "");
  const answer = await fetch(`${product.baseUrl}/api/cli-login/exchange`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ code, code_verifier: verifier }),
  });
  assert.equal(answer.status, 201);
  const { key } = (await answer.json()) as { key: string };
  return [
    {
      name: "consent",
      text: consent,
      places: [
        { wire: "from the API", pattern: 'name="consent" value="SECRET"', timesMax: 1 },
        { wire: "to the API", pattern: "consent=SECRET", timesMax: 1 },
      ],
    },
    {
      name: "code of the command line",
      text: code,
      places: [
        { wire: "from the API", pattern: "location: [^\\r]*code=SECRET", timesMax: 1 },
        { wire: "to the API", pattern: '"code":"SECRET"', timesMax: 1 },
      ],
    },
    {
      name: "verifier of the command line",
      text: verifier,
      places: [{ wire: "to the API", pattern: '"code_verifier":"SECRET"', timesMax: 1 }],
    },
    {
      name: "key of the command line",
      text: key,
      places: [issued("key"), presented("to the API")],
    },
  ];
}

test("no secret of a full run is seen but where it is issued and presented", async (t) => {
  const product = await startProduct(t, { tapped: true });
  const { person, canaries } = await observedSignIn(product);
  canaries.push(...(await commandLineLogin(product, person)));
  const holdings = await makeHoldings(person);

  // A device is paired by a code, another by the fleet's key; both connect, one rotates its token by itself.
  const exchange = async (code: string): Promise<{ device_id: string; token: string }> => {
    const answer = await fetch(`${product.baseUrl}/api/pairing/exchange`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ code, device: { name: "lamp", serial: "s-1" } }),
    });
    assert.equal(answer.status, 201);
    return (await answer.json()) as { device_id: string; token: string };
  };
  const paired = await exchange(holdings.code);
  const enrolled = await exchange(holdings.enrolmentKey);
  // Refused: used, and never made.
  for (const code of [holdings.code, `hwp_${"0".repeat(26)}`]) {
    const refused = await fetch(`${product.baseUrl}/api/pairing/exchange`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ code, device: {} }),
    });
    assert.equal(refused.status, 404);
  }
  const agents = [await product.connect(paired.token), await product.connect(enrolled.token)];
  for (const agent of agents) await agent.ready();
  const rotated = await fetch(`${product.baseUrl}/api/device/token:rotate`, {
    method: "POST",
    headers: { authorization: `Bearer ${enrolled.token}`, "content-type": "application/json" },
    body: "{}",
  });
  assert.equal(rotated.status, 200);
  const { token: newToken } = (await rotated.json()) as { token: string };

  // Calls by every way, good ones and refused ones.
  const bearer = { authorization: `Bearer ${holdings.key}` };
  const edgePort = Number(new URL(product.edgeUrl).port);
  const apiPort = Number(new URL(product.baseUrl).port);
  const path = `/d/${paired.device_id}/hello?token=of-the-service`;
  assert.equal((await ask(edgePort, path, { headers: bearer })).status, 200);
  assert.equal((await ask(edgePort, path, { headers: { authorization: "Bearer x" } })).status, 401);
  const forward = `/api/devices/${paired.device_id}/http/hello`;
  assert.equal((await ask(apiPort, forward, { headers: bearer })).status, 200);
  assert.equal((await person.call("GET", forward)).status, 200);
  assert.equal((await ask(apiPort, "/api/devices", { headers: bearer })).status, 200);
  for (const wrong of [paired.token, holdings.code, INTERNAL_SECRET]) {
    const headers = { authorization: `Bearer ${wrong}` };
    assert.equal((await ask(apiPort, "/api/devices", { headers })).status, 401);
    assert.equal((await ask(edgePort, path, { headers })).status, 401);
  }
  for (const listed of ["devices", "pairing-codes", "enrolment-keys", "keys", "audit", "users"]) {
    assert.equal((await person.call("GET", `/api/${listed}`)).status, 200);
  }

  // The end of all: token and key are revoked, the person signs out at both.
  await person.json("POST", `/api/devices/${paired.device_id}/token:revoke`, {});
  await until(() => agents[0]?.state !== "connected", "the revoked device is cut off");
  await person.json("DELETE", `/api/keys/${holdings.keyRef}`);
  const out = await person.json("POST", "/api/auth/logout");
  const ticket = new URL(String(out["continue"]), product.baseUrl).searchParams.get("t") ?? "";
  const leave = await person.browser.step(`${product.baseUrl}${out["continue"]}`);
  assert.equal(leave.status, 303);
  await new UserAgent(product.idp.issuer).signOut(leave.headers.location ?? "");

  canaries.push(...cookieCanaries(product), {
    name: "ticket of the sign-out",
    text: ticket,
    places: [
      { wire: "from the API", pattern: '"continue":"[^"]*SECRET"', timesMax: 1 },
      { wire: "to the API", pattern: "GET /api/auth/logout/continue\\?t=SECRET", timesMax: 1 },
    ],
  });
  const inExchange: Place = { wire: "to the API", pattern: '"code":"SECRET"' };
  for (const [name, text] of [
    ["token of a paired device", paired.token],
    ["token of an enrolled device", enrolled.token],
    ["token of a rotation", newToken],
    ["token of a device made by the API", holdings.deviceToken],
  ] as const) {
    const places = [issued("token"), presented("to the edge"), presented("to the API")];
    canaries.push({ name, text, places });
  }
  canaries.push(
    {
      name: "API key",
      text: holdings.key,
      places: [issued("key"), presented("to the API"), presented("to the edge")],
    },
    {
      name: "pairing code",
      text: holdings.code,
      // Shown as it is typed, too.
      places: [issued("code"), inExchange, presented("to the API"), presented("to the edge")],
    },
    {
      name: "enrolment key",
      text: holdings.enrolmentKey,
      places: [issued("key"), inExchange],
    },
    { name: "client secret", text: CLIENT_SECRET, places: [] },
    {
      name: "internal secret",
      text: INTERNAL_SECRET,
      places: [
        presented("to the relay"),
        presented("to authorize"),
        // Where this test has tried it.
        presented("to the API"),
        presented("to the edge"),
      ],
    },
  );
  for (const name of ["sessionSecrets", "tokenEncKeys"] as const) {
    const [, key = ""] = product.options.auth[name].split(":");
    canaries.push({ name, text: key, places: [] });
  }
  // What was written must be there to be looked at.
  await product.app.stop();
  assert.ok(product.logs.length > 50, `the log has lines: ${product.logs.length}`);
  assert.ok(product.auditLines.length > 10, "the audit log has lines");
  const control: Canary = { name: "control", text: paired.device_id, places: [] };
  const found = findLeaks(product, control).join("\n");
  for (const place of ["the log", "the audit log", "the database", "to the API", "from the API"]) {
    assert.ok(found.includes(place), `a device's id is found in ${place}`);
  }
  assert.match(product.deviceHeads.join("\n"), /\/hello/);
  const leaks = canaries.flatMap((canary) => findLeaks(product, canary));
  assert.deepEqual(leaks, []);
  // Each one that is issued over the API was issued: else the patterns above have nothing to do with the wire.
  for (const { name, text, places } of canaries) {
    const issuing = places.filter(
      ({ wire, timesMax }) => wire === "from the API" && timesMax === 1,
    );
    const seen = issuing.filter(({ pattern }) =>
      new RegExp(pattern.replace("SECRET", quoted(text)), "i").test(
        wiresOf(product)["from the API"],
      ),
    );
    assert.ok(issuing.length === 0 || seen.length > 0, `${name} is issued where it should be`);
  }
  t.diagnostic(`${canaries.length} secrets, each in its places and nowhere else`);
});
