import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type ForwardFields,
  forwardFields,
  relayFields,
} from "../../../src/access-proxy/forward-fields.ts";

const forward = (fields: string[], extra: Partial<ForwardFields> = {}) =>
  forwardFields({
    fields,
    connection: fields[fields.indexOf("Connection") + 1 || fields.length],
    host: "to.example",
    sessLabel: "Edo-Cooperation",
    credentialField: null,
    sessionId: null,
    codeTokens: [],
    framing: "kept",
    ...extra,
  });

test("forwarded fields: order, spelling and duplicates stay; the host is the target's", () => {
  const fields = [
    "X-B",
    "1",
    "accept",
    "a",
    "X-B",
    "2",
    "Accept-Encoding",
    "gzip",
    "Range",
    "bytes=0-",
  ];
  assert.deepEqual(forward(["Host", "127.0.0.1:16050", ...fields]), [
    "Host",
    "to.example",
    ...fields,
  ]);
});

test("forwarded fields: what is this proxy's own, or of this hop, stays here", () => {
  const own = [
    "X-Access-Proxy-Users",
    "X-ACCESS-PROXY-TO",
    "x-access-proxy-to-id",
    "X-Edo-Code-Tokens",
  ];
  const hop = [
    "Keep-Alive",
    "Proxy-Connection",
    "Proxy-Authorization",
    "Proxy-Authenticate",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
    "Expect",
  ];
  const fields = [...own, ...hop].flatMap((name) => [name, "x"]);
  assert.deepEqual(
    forward([...fields, "Connection", "close, X-Named", "x-named", "y", "X-Kept", "z"]),
    ["Host", "to.example", "X-Kept", "z"],
  );
});

test("forwarded fields: the caller's credential stays here", () => {
  const fields = ["Authorization", "Bearer theirs", "X-Gate", "secret"];
  assert.deepEqual(forward(fields, { credentialField: "x-gate" }), [
    "Host",
    "to.example",
    "Authorization",
    "Bearer theirs",
  ]);
});

test("forwarded fields: a session is one more cookie, and a forged one is taken out", () => {
  const fields = ["Cookie", "theme=dark; Edo-Cooperation=forged"];
  assert.deepEqual(forward(fields, { sessionId: "s1" }), [
    "Host",
    "to.example",
    "Cookie",
    "theme=dark; Edo-Cooperation=s1",
  ]);
  assert.deepEqual(forward(fields), ["Host", "to.example", "Cookie", "theme=dark"]);
  assert.deepEqual(forward(["Cookie", "Edo-Cooperation=forged"]), ["Host", "to.example"]);
  assert.deepEqual(forward([], { sessionId: "s1" }).slice(2), ["Cookie", "Edo-Cooperation=s1"]);
});

test("forwarded fields: each code token has a line of its own", () => {
  assert.deepEqual(forward([], { codeTokens: ["main", "sub"] }).slice(2), [
    "X-Edo-Code-Tokens",
    "main",
    "X-Edo-Code-Tokens",
    "sub",
  ]);
});

test("forwarded fields: a length stays; without one a body is sent in chunks, and none is told", () => {
  assert.deepEqual(forward(["Content-Length", "5"]).slice(2), ["Content-Length", "5"]);
  assert.deepEqual(forward([], { framing: "chunked" }).slice(2), ["Transfer-Encoding", "chunked"]);
  assert.deepEqual(forward([], { framing: "empty" }).slice(2), ["Content-Length", "0"]);
});

test("fields: Connection cannot take the length of a body away, in either direction", () => {
  const named = "X-A, Content-Length";
  const fields = ["X-A", "1", "Content-Length", "5", "Connection", named];
  assert.deepEqual(forward(fields).slice(2), ["Content-Length", "5"]);
  assert.deepEqual(relayFields(fields, named, null), ["Content-Length", "5"]);
});

test("relayed fields: all values, without what is of that hop or would pass for this proxy's error", () => {
  const fields = ["Set-Cookie", "a=1", "Date", "x", "Set-Cookie", "Edo-Cooperation=s; Max-Age=1"];
  const dropped = [
    "Connection",
    "X-Hop",
    "x-hop",
    "1",
    "Transfer-Encoding",
    "chunked",
    "X-Access-Proxy-Error",
    "no",
  ];
  assert.deepEqual(relayFields([...fields, ...dropped], "x-hop", null), fields);
  assert.deepEqual(relayFields(fields, undefined, "Edo-Cooperation"), [
    "Set-Cookie",
    "a=1",
    "Date",
    "x",
  ]);
});
