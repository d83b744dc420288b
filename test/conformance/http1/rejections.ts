/** A rule that a device's response may not break. */
export interface Rejection {
  readonly rule: string;
  /** Section of RFC 9112, unless another one is named. */
  readonly section: string;
  readonly code: string;
  /** Responses that break it, each a latin1 text. */
  readonly cases: readonly string[];
  readonly headBytesMax?: number;
  /** The fault lies behind the head, hence the head is told first. */
  readonly afterHead?: boolean;
  /** The stream ends behind the last byte. */
  readonly fin?: boolean;
}

const OK = "HTTP/1.1 200 OK\r\n";
const CHUNKED = `${OK}transfer-encoding: chunked\r\n\r\n`;
const controls = Array.from({ length: 33 }, (_, i) => String.fromCharCode(i === 32 ? 0x7f : i));
const forbidden = controls.filter((c) => c !== "\t" && c !== "\r" && c !== "\n");

/** The rejections of RFC 9112 and our limits, each with the code it is told by. */
export const REJECTIONS: readonly Rejection[] = [
  {
    rule: "the status line starts with HTTP/",
    section: "4",
    code: "ERR_HTTP_RESPONSE_STATUS_LINE",
    cases: [
      "http/1.1 200 OK\r\n\r\n",
      "HTP/1.1 200 OK\r\n\r\n",
      "\r\nHTTP/1.1 200 OK\r\n\r\n",
      " HTTP/1.1 200 OK\r\n\r\n",
      "\0",
      "<html>",
      "ICY 200 OK\r\n\r\n",
    ],
  },
  {
    rule: "the version is 1.1 or 1.0",
    section: "2.3",
    code: "ERR_HTTP_RESPONSE_VERSION",
    cases: [
      "HTTP/2.0 200 OK\r\n\r\n",
      "HTTP/2 200\r\n\r\n",
      "HTTP/0.9 200 OK\r\n\r\n",
      "HTTP/1.2 200 OK\r\n\r\n",
      "HTTP/1.: 200 OK\r\n\r\n",
    ],
  },
  {
    rule: "one space stands behind the version, three digits from 100 to 599 are the status",
    section: "4; RFC 9110 15",
    code: "ERR_HTTP_RESPONSE_STATUS_LINE",
    cases: [
      "HTTP/1.1  200 OK\r\n\r\n",
      "HTTP/1.1\t200 OK\r\n\r\n",
      "HTTP/1.10 200 OK\r\n\r\n",
      "HTTP/1.1 20 OK\r\n\r\n",
      "HTTP/1.1 2000 OK\r\n\r\n",
      "HTTP/1.1 099 x\r\n\r\n",
      "HTTP/1.1 600 x\r\n\r\n",
      "HTTP/1.1 999 x\r\n\r\n",
      "HTTP/1.1 +20 OK\r\n\r\n",
      "HTTP/1.1 2x0 OK\r\n\r\n",
      "HTTP/1.1 200OK\r\n\r\n",
      "HTTP/1.1 200\tOK\r\n\r\n",
      "HTTP/1.1 \r\n\r\n",
    ],
  },
  {
    rule: "the reason has no control character",
    section: "4",
    code: "ERR_HTTP_RESPONSE_STATUS_LINE",
    cases: forbidden.map((c) => `HTTP/1.1 200 O${c}K\r\n\r\n`),
  },
  {
    rule: "every line of the head ends in CR LF: no bare LF",
    section: "2.2",
    code: "ERR_HTTP_RESPONSE_LINE_END",
    cases: [
      "HTTP/1.1 200 OK\n\n",
      "HTTP/1.1 200\n\n",
      `${OK}a: b\n\r\n`,
      `${OK}a: b\nc: d\r\n\r\n`,
      `${OK}\n`,
      `${OK}a\n\r\n`,
      `${OK}a:\n\r\n`,
    ],
  },
  {
    rule: "every line of the head ends in CR LF: no bare CR",
    section: "2.2",
    code: "ERR_HTTP_RESPONSE_LINE_END",
    cases: [
      "HTTP/1.1 200 OK\rx\r\n\r\n",
      "HTTP/1.1 200 OK\r\r\n\r\n",
      `${OK}a: b\rc: d\r\n\r\n`,
      `${OK}a: b\r\r\n\r\n`,
      `${OK}\r\r\n`,
      `${OK}\rx`,
      `${OK}a: b\r\n\rx`,
    ],
  },
  {
    rule: "no field is folded over lines",
    section: "5.2",
    code: "ERR_HTTP_RESPONSE_FOLDED",
    cases: [
      `${OK}a: b\r\n c\r\n\r\n`,
      `${OK}a: b\r\n\tc\r\n\r\n`,
      `${OK} a: b\r\n\r\n`,
      `${OK}a:\r\n \r\n\r\n`,
    ],
  },
  {
    rule: "a field name is a token, and no space stands before the colon",
    section: "5.1",
    code: "ERR_HTTP_RESPONSE_FIELD_NAME",
    cases: [
      `${OK}a : b\r\n\r\n`,
      `${OK}a\t: b\r\n\r\n`,
      `${OK}: b\r\n\r\n`,
      `${OK}a b: c\r\n\r\n`,
      `${OK}abc\r\n\r\n`,
      `${OK}a\x80: b\r\n\r\n`,
      `${OK}content-length\0: 5\r\n\r\n`,
      ...[...'"(),/;<=>?@[\\]{}\x7f\0'].map((c) => `${OK}a${c}b: c\r\n\r\n`),
    ],
  },
  {
    rule: "a field value has no control character but HTAB",
    section: "RFC 9110 5.5",
    code: "ERR_HTTP_RESPONSE_FIELD_VALUE",
    cases: forbidden.flatMap((c) => [`${OK}a: b${c}c\r\n\r\n`, `${OK}a:${c}\r\n\r\n`]),
  },
  {
    rule: "the head is no longer than the limit",
    section: "limit",
    code: "ERR_HTTP_RESPONSE_HEAD_TOO_LARGE",
    headBytesMax: 64,
    cases: [
      `${OK}a: ${"b".repeat(41)}\r\n\r\n`,
      `${OK}${"a".repeat(60)}`,
      `HTTP/1.1 200 ${"x".repeat(70)}`,
      `${OK}${"a: b\r\n".repeat(8)}\r\n`,
    ],
  },
  {
    rule: "Content-Length stands once",
    section: "6.3",
    code: "ERR_HTTP_RESPONSE_CONTENT_LENGTH",
    cases: [
      `${OK}content-length: 3\r\ncontent-length: 4\r\n\r\nabcd`,
      `${OK}content-length: 3\r\nContent-Length: 3\r\n\r\nabc`,
      `${OK}content-length: 3, 3\r\n\r\nabc`,
      `${OK}content-length: 3,4\r\n\r\nabc`,
    ],
  },
  {
    rule: "Content-Length is a decimal number, exact",
    section: "6.2; RFC 9110 8.6",
    code: "ERR_HTTP_RESPONSE_CONTENT_LENGTH",
    cases: [
      "",
      " ",
      "+3",
      "-3",
      "0x3",
      "3 3",
      "3a",
      "3.0",
      "1e3",
      "\x803",
      "3;",
      "9007199254740993",
      "99999999999999999999999",
    ].map((v) => `${OK}content-length: ${v}\r\n\r\nabc`),
  },
  {
    rule: "Content-Length and Transfer-Encoding exclude each other",
    section: "6.3",
    code: "ERR_HTTP_RESPONSE_LENGTH_AND_CODING",
    cases: [
      `${OK}content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n`,
      `${OK}transfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n`,
    ],
  },
  {
    rule: "Transfer-Encoding is exactly chunked, once",
    section: "6.1",
    code: "ERR_HTTP_RESPONSE_TRANSFER_ENCODING",
    cases: [
      "",
      "identity",
      "xchunked",
      "chunkedx",
      "gzip, chunked",
      "chunked, gzip",
      "chunked, chunked",
      "chunked,",
      ",chunked",
      "chunked;q=1",
      "chunked\x80",
      "chun ked",
      '"chunked"',
      "CHUNKE\xc4",
    ]
      .map((v) => `${OK}transfer-encoding: ${v}\r\n\r\n`)
      .concat(`${OK}transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n`),
  },
  {
    rule: "HTTP/1.0 knows no Transfer-Encoding",
    section: "6.1",
    code: "ERR_HTTP_RESPONSE_CODING_IN_1_0",
    cases: ["HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"],
  },
  {
    rule: "101 was not asked for",
    section: "RFC 9110 15.2.2",
    code: "ERR_HTTP_RESPONSE_UPGRADE",
    cases: [
      "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 x\r\n\r\n",
    ],
  },
  {
    rule: "interim responses are bounded",
    section: "limit",
    code: "ERR_HTTP_RESPONSE_INTERIM",
    cases: [`${"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(33)}HTTP/1.1 204 No Content\r\n\r\n`],
  },
  {
    rule: "a chunk size is 1 to 16 hexadecimal digits, exact",
    section: "7.1",
    code: "ERR_HTTP_RESPONSE_CHUNK_SIZE",
    afterHead: true,
    cases: [
      "\r\n",
      "x\r\n",
      " 3\r\nabc",
      "+3\r\nabc",
      "-3\r\nabc",
      "0x3\r\nabc",
      "3g\r\n",
      "3 \r\nabc",
      "3 x\r\n",
      "3\t\r\n",
      ";a\r\n",
      "3,\r\n",
      "\0",
      "3\0",
      "00000000000000003\r\n",
      "20000000000000\r\n",
      "ffffffffffffffff\r\n",
    ].map((c) => CHUNKED + c),
  },
  {
    rule: "lines of the chunked coding end in CR LF",
    section: "2.2, 7.1",
    code: "ERR_HTTP_RESPONSE_LINE_END",
    afterHead: true,
    cases: [
      "3\nabc\r\n0\r\n\r\n",
      "\n",
      "3;a\nabc",
      "3\rabc",
      "3 \nabc",
      "3;a\r\rabc",
      "0\r\n\n",
      "0\r\n\rx",
      "0\r\na: b\n\r\n",
      "0\r\na: b\rc\r\n",
      "0\r\na\n",
    ].map((c) => CHUNKED + c),
  },
  {
    rule: "chunk extensions are text",
    section: "7.1.1",
    code: "ERR_HTTP_RESPONSE_CHUNK_EXTENSION",
    afterHead: true,
    cases: ["3;\0\r\n", "3;a\x7f\r\n", "3 ;\x01\r\n"].map((c) => CHUNKED + c),
  },
  {
    rule: "chunk extensions are bounded for the message",
    section: "7.1.1; limit",
    code: "ERR_HTTP_RESPONSE_CHUNK_EXTENSION",
    afterHead: true,
    cases: [
      `1;${"a".repeat(4_097)}\r\n`,
      `${`1;${"a".repeat(1_000)}\r\nx\r\n`.repeat(5)}`,
      `1${" ".repeat(4_097)};a\r\n`,
    ].map((c) => CHUNKED + c),
  },
  {
    rule: "chunk data is followed by CR LF",
    section: "7.1",
    code: "ERR_HTTP_RESPONSE_CHUNK_END",
    afterHead: true,
    cases: ["3\r\nabcd\r\n", "3\r\nabc\n", "3\r\nabc\rx", "3\r\nabc0\r\n\r\n"].map(
      (c) => CHUNKED + c,
    ),
  },
  {
    rule: "trailer fields are fields, and bounded",
    section: "7.1.2; limit",
    code: "ERR_HTTP_RESPONSE_TRAILER",
    afterHead: true,
    cases: [
      "0\r\n a: b\r\n\r\n",
      "0\r\na : b\r\n\r\n",
      "0\r\n: b\r\n\r\n",
      "0\r\nabc\r\n\r\n",
      "0\r\na: \0\r\n\r\n",
      "0\r\na\x80: b\r\n\r\n",
      `0\r\n${"a: b\r\n".repeat(3_000)}\r\n`,
      `0\r\na: ${"b".repeat(16_384)}\r\n\r\n`,
    ].map((c) => CHUNKED + c),
  },
  {
    rule: "a head must be whole",
    section: "8",
    code: "ERR_HTTP_RESPONSE_TRUNCATED",
    fin: true,
    cases: ["", "H", OK, `${OK}a: b\r\n`, `${OK}a: b\r\n\r`, "HTTP/1.1 100 Continue\r\n\r\n"],
  },
  {
    rule: "a body must be whole",
    section: "8",
    code: "ERR_HTTP_RESPONSE_TRUNCATED",
    fin: true,
    afterHead: true,
    cases: [
      `${OK}content-length: 3\r\n\r\n`,
      `${OK}content-length: 3\r\n\r\nab`,
      ...[
        "",
        "3",
        "3\r\n",
        "3\r\nab",
        "3\r\nabc",
        "3\r\nabc\r\n",
        "0",
        "0\r\n",
        "0\r\na: b\r\n",
        "0\r\n\r",
      ].map((c) => CHUNKED + c),
    ],
  },
];
