import { HttpError, ProtocolError } from "../../core/errors.ts";

/** What a request is refused for: code, status and the text that the client gets. */
const REQUEST_ERRORS = {
  ERR_HTTP_REQUEST_METHOD: [400, "The method is not a token."],
  ERR_HTTP_REQUEST_TARGET: [400, "The request target contains bytes that are not visible ASCII."],
  ERR_HTTP_REQUEST_TARGET_TOO_LONG: [414, "The request target is too long."],
  ERR_HTTP_REQUEST_PATH: [400, "The path contains a dot segment, a NUL or a backslash."],
  ERR_HTTP_REQUEST_HOST: [400, "The Host field is not a host."],
  ERR_HTTP_REQUEST_CONTENT_LENGTH: [400, "Content-Length must be there once, as a decimal number."],
  ERR_HTTP_REQUEST_LENGTH_AND_CODING: [
    400,
    "Content-Length and Transfer-Encoding exclude each other.",
  ],
  ERR_HTTP_REQUEST_TRANSFER_ENCODING: [400, "Transfer-Encoding must be chunked, and nothing else."],
  ERR_HTTP_REQUEST_TRANSFER_CODING: [501, "No transfer coding but chunked is supported."],
  ERR_HTTP_REQUEST_DUPLICATE_FIELD: [400, "A field that may stand once stands twice."],
  ERR_HTTP_REQUEST_FIELD_BYTES: [
    400,
    "A field contains control characters or text that is not UTF-8.",
  ],
} as const satisfies Record<string, readonly [number, string]>;

/** What a device's response is refused for. The request fails with stage `open`, or `mid_stream` after the head. */
const RESPONSE_ERRORS = {
  ERR_HTTP_RESPONSE_STATUS_LINE: "The device's status line is malformed.",
  ERR_HTTP_RESPONSE_VERSION: "The device's response is neither HTTP/1.1 nor HTTP/1.0.",
  ERR_HTTP_RESPONSE_LINE_END: "A line of the device's response does not end in CR LF.",
  ERR_HTTP_RESPONSE_FOLDED: "A field of the device's response is folded over lines.",
  ERR_HTTP_RESPONSE_FIELD_NAME: "A field name of the device's response is malformed.",
  ERR_HTTP_RESPONSE_FIELD_VALUE: "A field of the device's response contains a control character.",
  ERR_HTTP_RESPONSE_HEAD_TOO_LARGE: "The head of the device's response is too large.",
  ERR_HTTP_RESPONSE_CONTENT_LENGTH: "The device's Content-Length is malformed or there twice.",
  ERR_HTTP_RESPONSE_LENGTH_AND_CODING: "The device sent Content-Length with Transfer-Encoding.",
  ERR_HTTP_RESPONSE_TRANSFER_ENCODING: "The device's Transfer-Encoding is not exactly chunked.",
  ERR_HTTP_RESPONSE_CODING_IN_1_0: "The device sent Transfer-Encoding in an HTTP/1.0 response.",
  ERR_HTTP_RESPONSE_INTERIM: "The device sent too many interim responses.",
  ERR_HTTP_RESPONSE_UPGRADE: "The device switched protocols, which was not asked for.",
  ERR_HTTP_RESPONSE_CHUNK_SIZE: "A chunk size of the device's response is malformed.",
  ERR_HTTP_RESPONSE_CHUNK_EXTENSION: "The chunk extensions of the device's response are not valid.",
  ERR_HTTP_RESPONSE_CHUNK_END: "A chunk of the device's response does not end where it says.",
  ERR_HTTP_RESPONSE_TRAILER: "The trailer of the device's response is malformed or too large.",
  ERR_HTTP_RESPONSE_TRUNCATED: "The device's response broke off.",
} as const;

export type RequestErrorCode = keyof typeof REQUEST_ERRORS;
export type ResponseErrorCode = keyof typeof RESPONSE_ERRORS;

/** Every code that this folder raises, with its text. */
export const HTTP1_ERRORS: Readonly<Record<RequestErrorCode | ResponseErrorCode, string>> = {
  ...RESPONSE_ERRORS,
  ...mapTexts(REQUEST_ERRORS),
};

function mapTexts(
  table: Readonly<Record<RequestErrorCode, readonly [number, string]>>,
): Record<RequestErrorCode, string> {
  const texts = Object.entries(table).map(([code, [, text]]) => [code, text] as const);
  return Object.fromEntries(texts) as Record<RequestErrorCode, string>;
}

/** The error that a client is told of for a request that is refused. */
export function requestError(code: RequestErrorCode): HttpError {
  const [status, text] = REQUEST_ERRORS[code];
  return new HttpError(status, code, text);
}

/** The error for a response that breaks a rule of RFC 9112. It concerns the one stream. */
export function responseError(code: ResponseErrorCode): ProtocolError {
  return new ProtocolError(code, RESPONSE_ERRORS[code], { scope: "stream" });
}
