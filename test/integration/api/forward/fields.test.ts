import assert from "node:assert/strict";
import type { IncomingMessage, RequestListener } from "node:http";
import { test } from "node:test";
import { wireTenant } from "../../../../src/api/relay-link/index.ts";
import { TENANT } from "../../../support/api-store/people.ts";
import { COOKIE, startForwardRig } from "../../../support/forward/api-rig.ts";

/** Answers with what it was sent. */
const echo: RequestListener = (request, response) => {
  const pieces: Buffer[] = [];
  request.on("data", (piece: Buffer) => pieces.push(piece));
  request.on("end", () => {
    const { method, url, rawHeaders } = request;
    const body = Buffer.concat(pieces).toString("latin1");
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ method, url, rawHeaders, body }));
  });
};

interface Echoed extends Pick<IncomingMessage, "method" | "url" | "rawHeaders"> {
  readonly body: string;
}

function fieldsOf({ rawHeaders }: Echoed): Map<string, string[]> {
  const fields = new Map<string, string[]>();
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = (rawHeaders[at] ?? "").toLowerCase();
    fields.set(name, [...(fields.get(name) ?? []), rawHeaders[at + 1] ?? ""]);
  }
  return fields;
}

test("request fields: credentials, the session and spoofed identity do not reach the device, in no spelling", async (t) => {
  const { send, ann } = await startForwardRig(t, echo);
  const canary = "canary-of-the-client";
  const names = [
    "Cookie",
    "cookie",
    "X-Hawser-User",
    "x-hawser-user",
    "X_Hawser_User",
    "x_hawser-user",
    "X-Hawser_Tenant",
    "x.hawser.tenant",
    "X-Hawser-Authorization",
    "X-Hawser-Device",
    "X-Hawser-Anything",
    "Proxy-Authorization",
    "Proxy_Authorization",
    "Proxy-Connection",
    "Proxy-Anything",
    "X_Forwarded_For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Forwarded-Prefix",
    "X-Forwarded-User",
    "Forwarded",
    "X-Forwarded",
    "X-Real-IP",
    "X_Real_IP",
    "X-Client-IP",
    "X-Cluster-Client-IP",
    "True-Client-IP",
    "CF-Connecting-IP",
    "Fastly-Client-IP",
    "Keep-Alive",
    "HTTP2-Settings",
    "Trailer",
    "TE",
    "X-Nominated",
  ];
  const lines = names.map((name) => `${name}: ${canary}`);
  const answer = await send("GET", "/a", [
    ...lines,
    "Connection: keep-alive, X-Nominated",
    "Accept: text/x-own",
    "X-Original-URL: /elsewhere",
    "X-Own: one",
    "X-Own: two",
  ]);
  assert.equal(answer.status, 200);
  const text = answer.body.toString();
  assert.ok(!text.includes(canary), text);
  assert.ok(!text.includes("key-of-ann"), text);
  const fields = fieldsOf(JSON.parse(text));
  assert.deepEqual(fields.get("x-hawser-user"), [ann.id]);
  assert.deepEqual(fields.get("x-hawser-tenant"), [wireTenant(TENANT)]);
  assert.deepEqual(fields.get("accept"), ["text/x-own"]);
  assert.deepEqual(fields.get("x-own"), ["one", "two"]);
  assert.deepEqual(fields.get("x-original-url"), ["/elsewhere"]);
  assert.equal(fields.get("authorization"), undefined);
});

test("request fields: host, scheme and prefix are those of the configured URL, whatever the client says", async (t) => {
  const { send, root } = await startForwardRig(t, echo);
  const answer = await send("GET", "/a?b=c", ["X-Request-Id: id-of-the-client"]);
  const fields = fieldsOf(JSON.parse(answer.body.toString()));
  assert.deepEqual(fields.get("host"), ["hawser.test"]);
  assert.deepEqual(fields.get("x-forwarded-host"), ["hawser.test"]);
  assert.deepEqual(fields.get("x-forwarded-proto"), ["https"]);
  assert.deepEqual(fields.get("x-forwarded-prefix"), [root]);
  assert.deepEqual(fields.get("x-request-id"), ["id-of-the-client"]);
  assert.match(fields.get("x-forwarded-for")?.[0] ?? "", /^127\.0\.0\.1, /);
});

test("request fields: a cookie's request reaches the device without the cookie", async (t) => {
  const { raw, root } = await startForwardRig(t, echo);
  const answer = await raw(`GET ${root}/`, [`Cookie: a=b; ${COOKIE}`]);
  assert.equal(answer.status, 200);
  assert.ok(!answer.body.toString().includes("cookie-of-ann"));
  assert.equal(fieldsOf(JSON.parse(answer.body.toString())).get("cookie"), undefined);
});

test("target: what follows the prefix reaches the device byte for byte, and no other host", async (t) => {
  const { send } = await startForwardRig(t, echo);
  for (const target of [
    "/",
    "/a//b/",
    "/http://169.254.169.254/latest",
    "/a%20b%2Fc;d=e?x=%zz&y=/../",
    "/caf%C3%A9?q",
    "/?",
  ]) {
    const answer = await send("GET", target);
    assert.equal(answer.status, 200, target);
    assert.equal(JSON.parse(answer.body.toString()).url, target === "/?" ? "/" : target);
  }
});

test("target: what could climb out of it, or names a host, is 400 and reaches nobody", async (t) => {
  let reached = 0;
  const { send, raw, root } = await startForwardRig(t, (_request, response) => {
    reached += 1;
    response.end();
  });
  for (const target of [
    "/..%2f",
    "/%2e%2e/x",
    "/a/../b",
    "/./",
    "/a%5cb",
    "/a\\b",
    "/%00",
    "/a%zz",
  ]) {
    assert.equal((await send("GET", target)).status, 400, target);
  }
  const bearer = "Authorization: Bearer key-of-ann";
  for (const target of [`http://169.254.169.254${root}/`, `https://hawser.test${root}/`]) {
    assert.equal((await raw(`GET ${target}`, [bearer])).status, 400, target);
  }
  assert.equal(reached, 0);
});

test("framing: a request that could be read in two ways, or wants another protocol, smuggles nothing", async (t) => {
  const seen: string[] = [];
  const { send } = await startForwardRig(t, (request, response) => {
    seen.push(`${request.method} ${request.url} ${request.headers.upgrade ?? ""}`);
    request.resume();
    request.on("end", () => response.end("ok"));
  });
  const inner = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
  const both = ["Content-Length: 5", "Transfer-Encoding: chunked"];
  assert.equal((await send("POST", "/", both, `0\r\n\r\n${inner}`)).status, 400);
  const twice = ["Content-Length: 5", "Content-Length: 6"];
  assert.equal((await send("POST", "/", twice, "aaaaa")).status, 400);
  assert.equal((await send("POST", "/", ["Transfer-Encoding: gzip, chunked"], "")).status, 501);
  const upgrade = ["Connection: upgrade", "Upgrade: websocket", "Content-Length: 0"];
  assert.equal((await send("POST", "/up", upgrade)).status, 200);
  assert.deepEqual(seen, ["POST /up "]);
});

test("answer fields: what would speak for our origin does not leave, and what protects it is set", async (t) => {
  const hostile: readonly (readonly [string, string])[] = [
    ["Set-Cookie", "__Host-hawser_sid=canary"],
    ["Set_Cookie", "a=canary"],
    ["Clear-Site-Data", '"canary"'],
    ["Service-Worker-Allowed", "/canary"],
    ["Access-Control-Allow-Origin", "https://canary.test"],
    ["Access-Control-Allow-Credentials", "canary"],
    ["Strict-Transport-Security", "max-age=0; canary"],
    ["Refresh", "0; url=https://canary.test"],
    ["Alt-Svc", 'h3="canary.test:443"'],
    ["NEL", "canary"],
    ["Report-To", "canary"],
    ["WWW-Authenticate", 'Basic realm="canary"'],
    ["Proxy-Authenticate", "Basic canary"],
    ["X-Hawser-Anything", "canary"],
    ["X-Accel-Redirect", "/canary"],
    ["Content-Security-Policy", "script-src canary"],
    ["X-Content-Type-Options", "canary"],
    ["Referrer-Policy", "canary"],
    ["Cross-Origin-Resource-Policy", "canary"],
    ["Cross-Origin-Opener-Policy", "canary"],
    ["Cache-Control", "public, max-age=canary"],
    ["CDN-Cache-Control", "canary"],
    ["Vary", "canary"],
    ["X-Request-Id", "canary"],
    ["RateLimit-Remaining", "canary"],
    ["Server", "canary"],
    ["X-Powered-By", "canary"],
    ["Location", "https://canary.test/"],
    ["Content-Location", "//canary.test/"],
  ];
  const page = "<script>parent.location='https://evil.test'</script>";
  const { send } = await startForwardRig(t, (_request, response) => {
    const lines = hostile.flat();
    response.writeHead(200, [...lines, "Content-Type", "text/html", "X-Own", "1", "X-Own", "2"]);
    response.end(page);
  });
  const answer = await send("GET", "/");
  const head = answer.raw.toString("latin1", 0, answer.raw.indexOf("\r\n\r\n"));
  assert.equal(answer.status, 200);
  assert.doesNotMatch(head, /canary/);
  assert.doesNotMatch(head, /^(set-cookie|server|www-authenticate|location|refresh):/im);
  assert.equal(answer.fields.get("content-security-policy"), "sandbox; frame-ancestors 'none'");
  assert.equal(answer.fields.get("x-content-type-options"), "nosniff");
  assert.equal(answer.fields.get("cross-origin-resource-policy"), "same-origin");
  assert.equal(answer.fields.get("cache-control"), "no-store");
  assert.equal(answer.fields.get("vary"), "Cookie, Authorization");
  assert.equal(answer.fields.get("content-type"), "text/html");
  assert.equal(answer.fields.get("x-own"), "1, 2");
  assert.equal(answer.body.toString(), page);
});

test("answer fields: a redirect stays on the device, whether it knows its prefix or not", async (t) => {
  let location = "";
  const { send, root } = await startForwardRig(t, (_request, response) => {
    response.writeHead(302, { location }).end();
  });
  for (const [said, told] of [
    ["/login?next=%2F", `${root}/login?next=%2F`],
    ["other", `${root}/dir/other`],
    [`${root}/x`, `${root}/x`],
    ["/api/auth/me", `${root}/api/auth/me`],
    ["https://evil.test/", undefined],
    ["/\\evil.test/", undefined],
  ] as const) {
    location = said;
    const answer = await send("GET", "/dir/page");
    assert.equal(answer.status, 302);
    assert.equal(answer.fields.get("location"), told, said);
  }
});

test("answers: a device that poses as the relay stays a device's answer", async (t) => {
  const { send, tunnel } = await startForwardRig(t, (_request, response) => {
    const body = JSON.stringify({ code: "ERR_RELAY_OFFLINE", status: 503 });
    response.writeHead(503, {
      connection: "via",
      via: "1.0 nobody",
      "content-type": "application/problem+json",
      "retry-after": "7",
      "x-device": "yes",
    });
    response.end(body);
  });
  const posed = await send("GET", "/");
  assert.equal(posed.fields.get("x-device"), "yes");
  assert.equal(posed.fields.get("content-security-policy"), "sandbox; frame-ancestors 'none'");
  tunnel?.close();
  await tunnel?.closed;
  const own = await send("GET", "/");
  assert.equal(own.status, 503);
  assert.notEqual(
    own.fields.get("content-security-policy"),
    posed.fields.get("content-security-policy"),
  );
  const problem = JSON.parse(own.body.toString());
  assert.deepEqual([problem.code, problem.stage], ["ERR_RELAY_OFFLINE", "offline"]);
  assert.equal(problem.request_id, own.fields.get("x-request-id"));
  assert.equal(own.fields.get("retry-after"), "1");
});
