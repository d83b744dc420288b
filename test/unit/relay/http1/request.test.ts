import assert from "node:assert/strict";
import { test } from "node:test";
import {
  checkMethod,
  checkTarget,
  RequestFields,
  type RequestHop,
  requestHead,
} from "../../../../src/relay/http1/index.ts";

type Field = readonly [string, string];

const HOP: RequestHop = {
  host: "x.example:3800",
  clientAddress: "10.0.0.1",
  proto: "http",
  forwardedPrefix: "",
  forwardAuthorization: false,
  trustForwarded: false,
  requestId: "r1",
};

function collect(...received: readonly Field[]): RequestFields {
  const fields = new RequestFields();
  fields.add("x-before", "1");
  fields.add("host", "before");
  fields.reset();
  for (const [name, value] of received) fields.add(name, value);
  fields.finish();
  return fields;
}

function code(...received: readonly Field[]): string | null {
  return collect(...received).problem?.code ?? null;
}

test("the head of a plain request, byte for byte", () => {
  const fields = collect(["host", "x.example:3800"], ["user-agent", "curl/8"], ["accept", "*/*"]);
  assert.equal(fields.problem, null);
  assert.equal(
    requestHead("GET", "/a?b", fields, HOP),
    "GET /a?b HTTP/1.1\r\nhost: x.example:3800\r\n" +
      "x-forwarded-for: 10.0.0.1\r\nx-forwarded-host: x.example:3800\r\nx-forwarded-proto: http\r\n" +
      'forwarded: for=10.0.0.1;host="x.example:3800";proto=http\r\n' +
      "via: 1.1 hawser\r\nx-request-id: r1\r\nuser-agent: curl/8\r\naccept: */*\r\n\r\n",
  );
});

test("fields of this hop, of identity and of routing are picked out", () => {
  const fields = collect(
    ["host", "h"],
    ["connection", "keep-alive"],
    ["keep-alive", "timeout=5"],
    ["proxy-connection", "x"],
    ["te", "trailers"],
    ["trailer", "x"],
    ["upgrade", "h2c"],
    ["http2-settings", "x"],
    ["expect", "100-Continue"],
    ["authorization", "Bearer a"],
    ["proxy-authorization", "Bearer b"],
    ["x-hawser-device", "d"],
    ["x-request-id", "r"],
    ["x-forwarded-for", "1.1.1.1"],
    ["x-forwarded-for", "2.2.2.2"],
    ["x-forwarded-host", "evil"],
    ["x-forwarded-proto", "https"],
    ["x-forwarded-prefix", "/evil"],
    ["x-forwarded-port", "1"],
    ["forwarded", "for=1.1.1.1"],
    ["via", "1.0 a"],
    ["via", "1.1 b"],
    ["cookie", "c"],
  );
  assert.equal(fields.problem, null);
  assert.equal(fields.text, "cookie: c\r\n");
  assert.equal(fields.host, "h");
  assert.equal(fields.authorization, "Bearer a");
  assert.equal(fields.proxyAuthorization, "Bearer b");
  assert.equal(fields.deviceSelector, "d");
  assert.equal(fields.requestId, "r");
  assert.equal(fields.expectContinue, true);
  assert.equal(fields.upgrade, "h2c");
  assert.equal(fields.forwardedFor, "1.1.1.1, 2.2.2.2");
  const head = requestHead("GET", "/", fields, HOP);
  assert.match(head, /\r\nx-forwarded-for: 10\.0\.0\.1\r\n/);
  assert.match(head, /\r\nvia: 1\.0 a, 1\.1 b, 1\.1 hawser\r\n/);
  assert.doesNotMatch(head, /evil|authorization|Bearer|trailers|100-c|1\.1\.1\.1|hawser-device/i);
});

test("a stranger says nothing that the API server alone may say, in no spelling", () => {
  const ours = [
    ...["x-hawser-user", "x-hawser-tenant", "x_hawser_user", "x-hawser_tenant", "x.hawser.user"],
    ...["x-hawser", "x_hawser_device", "x-hawser-authorization", "x~hawser!anything"],
    ...["x_forwarded_for", "x-forwarded_host", "x_forwarded-prefix", "x-forwarded"],
  ];
  const others = ["x-hawserx", "xhawser-user", "my-x-hawser-user", "x-hawse-r", "x-forwardedfor"];
  const fields = new RequestFields({ ofStranger: true });
  const named = [...ours, ...others].map((name) => [name, "v"] as const);
  for (const [name, value] of [["host", "h"] as const, ...named]) fields.add(name, value);
  fields.finish();
  assert.equal(fields.problem, null);
  assert.equal(fields.text, others.map((name) => `${name}: v\r\n`).join(""));
  // The API server says them, and they reach the device.
  assert.equal(collect(["x-hawser-user", "u1"]).text, "x-hawser-user: u1\r\n");
});

test("the login cookie of an API server on the same host goes to no device, other cookies do", () => {
  const cases: readonly (readonly [string, string | null])[] = [
    ["hawser_sid=v1.k.s.m", null],
    ["__Host-hawser_sid=v1.k.s.m; hawser_sid=x;", null],
    ["a=b; __Host-hawser_sid=v1.k.s.m; c=d", "a=b; c=d"],
    ["hawser_sid=v1.k.s.m;a=b", "a=b"],
    ["a=b; \thawser_sid =x; hawser_sid", "a=b"],
    [
      "a=hawser_sid; my_hawser_sid=1; hawser_sid2=2",
      "a=hawser_sid; my_hawser_sid=1; hawser_sid2=2",
    ],
    ["a=b; c=d", "a=b; c=d"],
  ];
  for (const [sent, passed] of cases) {
    const text = passed === null ? "" : `cookie: ${passed}\r\n`;
    assert.equal(collect(["cookie", sent]).text, text, sent);
  }
});

test("a trusted proxy's word is kept and added to", () => {
  const fields = collect(
    ["host", "h"],
    ["x-forwarded-for", "9.9.9.9"],
    ["x-forwarded-host", "outer"],
    ["x-forwarded-proto", "https"],
    ["forwarded", "for=9.9.9.9"],
  );
  const head = requestHead("GET", "/", fields, { ...HOP, host: "h", trustForwarded: true });
  assert.match(head, /\r\nx-forwarded-for: 9\.9\.9\.9, 10\.0\.0\.1\r\n/);
  assert.match(head, /\r\nx-forwarded-host: outer\r\nx-forwarded-proto: https\r\n/);
  assert.match(head, /\r\nforwarded: for=9\.9\.9\.9, for=10\.0\.0\.1;host=h;proto=http\r\n/);
});

test("an IPv6 client is quoted in Forwarded, and the prefix and Authorization are passed on when asked", () => {
  const fields = collect(["host", "h"], ["authorization", "Basic x"]);
  const head = requestHead("POST", "/", fields, {
    ...HOP,
    clientAddress: "2001:db8::1",
    forwardedPrefix: "/d/abc",
    forwardAuthorization: true,
  });
  assert.match(head, /\r\nx-forwarded-for: 2001:db8::1\r\n/);
  assert.match(head, /\r\nforwarded: for="\[2001:db8::1\]";/);
  assert.match(head, /\r\nx-forwarded-prefix: \/d\/abc\r\nauthorization: Basic x\r\n/);
});

test("what this hop says is remembered for no other client, host or scheme", () => {
  const fields = collect(["host", "a"]);
  const told = (hop: Partial<RequestHop>): string =>
    requestHead("GET", "/", fields, { ...HOP, host: "a", ...hop });
  const expected = (host: string, client: string, proto: string): string =>
    `GET / HTTP/1.1\r\nhost: ${host}\r\nx-forwarded-for: ${client}\r\nx-forwarded-host: ${host}\r\n` +
    `x-forwarded-proto: ${proto}\r\nforwarded: for=${client};host=${host};proto=${proto}\r\n` +
    "via: 1.1 hawser\r\nx-request-id: r1\r\n\r\n";
  for (let round = 0; round < 2; round++) {
    assert.equal(told({}), expected("a", "10.0.0.1", "http"));
    assert.equal(told({ host: "b" }), expected("b", "10.0.0.1", "http"));
    assert.equal(told({ clientAddress: "10.0.0.2" }), expected("a", "10.0.0.2", "http"));
    assert.equal(told({ proto: "https" }), expected("a", "10.0.0.1", "https"));
  }
});

test("a host that was right before is still refused when it comes twice", () => {
  const fields = new RequestFields();
  const problemOf = (...hosts: string[]): string | undefined => {
    fields.reset();
    for (const host of hosts) fields.add("host", host);
    fields.finish();
    return fields.problem?.code;
  };
  assert.equal(problemOf("a"), undefined);
  assert.equal(problemOf("a", "a"), "ERR_HTTP_REQUEST_HOST");
  assert.equal(problemOf("a"), undefined);
});

test("the framing is said anew", () => {
  const length = collect(["host", "h"], ["content-length", "0012"]);
  assert.equal(length.contentLength, 12);
  assert.match(requestHead("POST", "/", length, HOP), /\r\ncontent-length: 12\r\n\r\n$/);
  const chunked = collect(["host", "h"], ["transfer-encoding", "Chunked"]);
  assert.equal(chunked.chunked, true);
  assert.match(requestHead("POST", "/", chunked, HOP), /\r\ntransfer-encoding: chunked\r\n\r\n$/);
});

const LENGTH = "ERR_HTTP_REQUEST_CONTENT_LENGTH";
const CODING = "ERR_HTTP_REQUEST_TRANSFER_ENCODING";
const OTHER_CODING = "ERR_HTTP_REQUEST_TRANSFER_CODING";
const TWICE = "ERR_HTTP_REQUEST_DUPLICATE_FIELD";
const BYTES = "ERR_HTTP_REQUEST_FIELD_BYTES";
const HOST = "ERR_HTTP_REQUEST_HOST";

const REFUSED: ReadonlyArray<readonly [string, number, readonly Field[]]> = [
  [
    LENGTH,
    400,
    [
      ["content-length", "3"],
      ["content-length", "4"],
    ],
  ],
  [
    LENGTH,
    400,
    [
      ["content-length", "3"],
      ["content-length", "3"],
    ],
  ],
  ...["", " ", "3 4", "3,3", "+3", "-3", "0x3", "1e3", "3a", "9999999999999999"].map(
    (value) => [LENGTH, 400, [["content-length", value]]] as const,
  ),
  [
    "ERR_HTTP_REQUEST_LENGTH_AND_CODING",
    400,
    [
      ["content-length", "3"],
      ["transfer-encoding", "chunked"],
    ],
  ],
  ...[
    "",
    "identity",
    "xchunked",
    "chunked, gzip",
    "chunked, chunked",
    "chunked,",
    ",",
    "chunked;q=1",
  ].map((value) => [CODING, 400, [["transfer-encoding", value]]] as const),
  [
    CODING,
    400,
    [
      ["transfer-encoding", "chunked"],
      ["transfer-encoding", "chunked"],
    ],
  ],
  [
    CODING,
    400,
    [
      ["transfer-encoding", ""],
      ["transfer-encoding", "chunked"],
    ],
  ],
  [OTHER_CODING, 501, [["transfer-encoding", "gzip, chunked"]]],
  [
    OTHER_CODING,
    501,
    [
      ["transfer-encoding", "gzip"],
      ["transfer-encoding", "chunked"],
    ],
  ],
  [
    TWICE,
    400,
    [
      ["authorization", "a"],
      ["authorization", "a"],
    ],
  ],
  [
    TWICE,
    400,
    [
      ["proxy-authorization", "a"],
      ["proxy-authorization", "b"],
    ],
  ],
  [
    TWICE,
    400,
    [
      ["x-hawser-device", "a"],
      ["x-hawser-device", "a"],
    ],
  ],
  [
    HOST,
    400,
    [
      ["host", "a"],
      ["host", "b"],
    ],
  ],
  ...["a b", "a/b", "a@b", "a\\b", 'a"b', "\u00e9", "a#b"].map(
    (host) => [HOST, 400, [["host", host]]] as const,
  ),
  ...["a\0b", "a\rb", "a\nb", "a\u007fb", "a\ufffdb", "\ud800", "\ud83d", "a\r\nx: y"].map(
    (value) => [BYTES, 400, [["x-a", value]]] as const,
  ),
  ...["", "a b", "a\r\nb", "a:", "A", "\u00e9", "\u010a"].map(
    (name) => [BYTES, 400, [[name, "v"]]] as const,
  ),
];

for (const [expected, status, received] of REFUSED) {
  test(`refuses ${JSON.stringify(received)}`, () => {
    const { problem } = collect(...received);
    assert.equal(problem?.code, expected);
    assert.equal(problem?.status, status);
  });
}

test("text beyond ASCII goes to the device as the bytes it came as", () => {
  const fields = collect(["x-a", "p\u00e9\u20ac\u{1f600}q"], ["x-b", "\u010a\u010d"]);
  assert.equal(fields.problem, null);
  const bytes = Buffer.from(fields.text, "latin1").toString("utf8");
  assert.equal(bytes, "x-a: p\u00e9\u20ac\u{1f600}q\r\nx-b: \u010a\u010d\r\n");
  assert.equal(fields.text.split("\r\n").length, 3, "no character became a line end");
});

test("Connection removes the fields it names, but none that was picked out", () => {
  const fields = collect(
    ["x-a", "1"],
    ["connection", "close, X-A"],
    ["connection", "x-b, host, authorization, content-length, x-forwarded-for"],
    ["host", "h"],
    ["authorization", "z"],
    ["content-length", "3"],
    ["x-b", "2"],
    ["x-ab", "3"],
  );
  assert.equal(fields.problem, null);
  assert.equal(fields.text, "x-ab: 3\r\n");
  assert.equal(fields.host, "h");
  assert.equal(fields.authorization, "z");
  assert.equal(fields.contentLength, 3);
});

test("an empty Host and an empty field pass", () => {
  assert.equal(code(["host", ""], ["x-a", ""]), null);
  assert.equal(code(["host", "[::1]:80"]), null);
});

const TARGETS: ReadonlyArray<readonly [string | null, readonly string[]]> = [
  [
    null,
    [
      "/",
      "/a",
      "/a/",
      "//",
      "/a//b",
      "/...",
      "/.a",
      "/a.",
      "/..a/b",
      "/a..b",
      "/%2e%2ea",
      "/a%2fb",
      "/%2",
      "/%zz",
      "/%252e%252e/",
      "/?..",
      "/?/../",
      "/a?b=../c",
      "/a?%00",
      "/a?\\",
      "/a?%5c",
      "/a;b=c",
      "/.;/",
      "/%c3%a9",
      "/%0d%0a",
      "/a#b",
      "/~a'()*!,@$&+=:|{}^`\"<>",
    ],
  ],
  [
    "ERR_HTTP_REQUEST_PATH",
    [
      "/.",
      "/..",
      "/./",
      "/../",
      "/a/.",
      "/a/..",
      "/a/./b",
      "/a/../b",
      "/%2e",
      "/%2E%2e",
      "/.%2e",
      "/%2E./a",
      "/a/%2e%2E/b",
      "/a/..?x",
      "/a%2f..",
      "/a%2F.%2fb",
      "/%2f%2e%2e%2f",
      "/a\\b",
      "/a%5cb",
      "/a%5C..",
      "/%00",
      "/a%00b",
    ],
  ],
  [
    "ERR_HTTP_REQUEST_TARGET",
    [
      "",
      "a",
      "*",
      "http://x/",
      "/a b",
      "/a\tb",
      "/a\r\nb",
      "/\0",
      "/a\u007f",
      "/\u00e9",
      "/\ufffd",
      "/a?\u010a",
      "/a?b c",
    ],
  ],
  ["ERR_HTTP_REQUEST_TARGET_TOO_LONG", [`/${"a".repeat(16_384)}`]],
];

for (const [expected, targets] of TARGETS) {
  for (const target of targets) {
    test(`target ${JSON.stringify(target.slice(0, 40))}: ${expected ?? "passes"}`, () => {
      assert.equal(checkTarget(target)?.code ?? null, expected);
    });
  }
}

test("a target at the limit passes", () => {
  assert.equal(checkTarget(`/${"a".repeat(16_383)}`), null);
});

test("a method is a token", () => {
  for (const method of ["GET", "PROPFIND", "x!y"]) assert.equal(checkMethod(method), null);
  for (const method of ["", "G T", "G(T", "G\r\n", "G\ufffdT"]) {
    assert.equal(checkMethod(method)?.code, "ERR_HTTP_REQUEST_METHOD");
  }
});
