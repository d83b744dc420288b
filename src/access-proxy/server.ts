import http, { type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { AccessProxyError } from "./errors.ts";
import { type AccessProxy, answerError } from "./handler.ts";

export interface AccessProxyServerOptions {
  /** Where the proxy is mounted; `/` takes each path that is not the health path. */
  readonly pathProx: string;
  /** Answers 200 with an empty body. */
  readonly pathOk: string;
}

/** Bytes of a request's head: the largest set of accounts that is allowed takes 93,000, and the target comes beside it. */
const HEAD_BYTES_MAX = 192 * 1024;

/** Absolute targets have one, too. RFC 9112, section 3.2.2. */
function pathOf({ url = "/" }: IncomingMessage): string {
  if (!url.startsWith("/")) return URL.canParse(url) ? new URL(url).pathname : url;
  const query = url.indexOf("?");
  return query < 0 ? url : url.slice(0, query);
}

const MALFORMED = "request is malformed";

/** Whether a head that could be parsed still is none that may be acted on. RFC 9112, sections 3.2 and 6.1. */
function isMalformed({ headers, httpVersion }: IncomingMessage): boolean {
  if (headers.host === undefined && httpVersion === "1.1") return true;
  const coding = headers["transfer-encoding"];
  // A body in another coding would be forwarded without a word of that.
  return coding !== undefined && coding.toLowerCase() !== "chunked";
}

function refuse(answer: ServerResponse): void {
  answer.writeHead(400, {
    Connection: "close",
    "Content-Type": "application/json",
    "X-Access-Proxy-Error": MALFORMED,
  });
  answer.end(JSON.stringify({ error: "invalid_request", error_description: MALFORMED }));
}

/** What a head that cannot be read is answered: the connection ends with it. */
const BAD_HEAD = Buffer.from(
  "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: application/json\r\n" +
    `X-Access-Proxy-Error: ${MALFORMED}\r\n\r\n{"error":"invalid_request","error_description":"${MALFORMED}"}`,
);
const LARGE_HEAD = Buffer.from(
  "HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Type: application/json\r\n" +
    'X-Access-Proxy-Error: request head is too large\r\n\r\n{"error":"invalid_request","error_description":"request head is too large"}',
);

/** How long a connection whose head was refused is read on, so that its answer is not lost. */
const LINGER_MS = 2_000;

/**
 * Answers a head that cannot be read. What comes behind it is read and thrown away for a while: a connection that is closed with
 * bytes unread is reset, and its peer may never see the answer. Each further piece leads here again.
 */
function refuseHead(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (socket.writableEnded && error.code !== "ECONNRESET") return;
  if (!socket.writable || error.code === "ECONNRESET") {
    socket.destroy();
    return;
  }
  socket.end(error.code === "HPE_HEADER_OVERFLOW" ? LARGE_HEAD : BAD_HEAD);
  const timer = setTimeout(() => socket.destroy(), LINGER_MS);
  timer.unref();
  socket.once("close", () => clearTimeout(timer));
}

/**
 * Tells of the end of an answer that waits behind that of an earlier request of the same connection: Node tells no such one that the
 * connection is gone.
 */
function closeWithSocket({ socket }: IncomingMessage, answer: ServerResponse): void {
  const onClose = (): void => {
    answer.destroy();
    answer.emit("close");
  };
  // As many as the sender has in flight.
  socket.setMaxListeners(0);
  socket.once("close", onClose);
  answer.once("socket", () => socket.off("close", onClose));
}

/**
 * A server of `node:http` for the proxy, not listening yet.
 *
 * @see TA cooperation, sections 4.1 and 14.1
 */
export function accessProxyServer(proxy: AccessProxy, options: AccessProxyServerOptions): Server {
  const { pathProx, pathOk } = options;
  const isMounted = (path: string): boolean =>
    pathProx === "/" || path === pathProx || path.startsWith(`${pathProx.replace(/\/$/, "")}/`);
  const serve = (request: IncomingMessage, answer: ServerResponse): void => {
    if (answer.socket === null) closeWithSocket(request, answer);
    const path = pathOf(request);
    if (isMalformed(request)) refuse(answer);
    else if (path === pathOk) {
      request.resume();
      answer.writeHead(200, { "Content-Length": 0 }).end();
    } else if (!isMounted(path)) {
      request.resume();
      answerError(answer, new AccessProxyError("ERR_ACCESS_PROXY_ENDPOINT"));
    } else proxy.handle(request, answer);
  };
  // A head has a minute; a body takes as long as it takes, as long as somebody reads and writes it.
  const server = http.createServer(
    {
      maxHeaderSize: HEAD_BYTES_MAX,
      noDelay: true,
      headersTimeout: 60_000,
      requestTimeout: 0,
      // Node's own refusal would be no OAuth 2.0 error.
      requireHostHeader: false,
    },
    serve,
  );
  // Node would leave out lines beyond a thousand, the length of a body among them; their bytes are limited already.
  server.maxHeadersCount = 0;
  // What is expected beside 100-continue is not ours to judge.
  server.on("checkExpectation", (request, answer) => server.emit("request", request, answer));
  server.on("clientError", refuseHead);
  server.on("connect", (_request, socket) => {
    const { message, error } = new AccessProxyError("ERR_ACCESS_PROXY_METHOD");
    const body = JSON.stringify({ error, error_description: message });
    socket.on("error", () => undefined);
    socket.end(
      `HTTP/1.1 405 Method Not Allowed\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n` +
        `X-Access-Proxy-Error: ${message}\r\nAllow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n\r\n${body}`,
    );
  });
  return server;
}
