import type { ServerResponse } from "node:http";
import { pipeline } from "node:stream";
import { assert } from "../core/assert.ts";
import { isBodiless } from "../core/http1/rules.ts";
import type { Exchange } from "./exchange.ts";
import { type Reply, setHeaders } from "./reply.ts";
import { securityHeaders } from "./security-headers.ts";

/** Writes what a handler answered. A handler may not loosen a security header; only a public route may be cached. */
export function sendReply(exchange: Exchange, reply: Reply, isHttps: boolean): void {
  if (reply.kind === "taken") return;
  const response = exchange.preparedResponse;
  const fixed = securityHeaders(
    reply.kind === "html" ? "html" : "api",
    isHttps,
    reply.kind === "html" ? reply.styleHashes : [],
  );
  for (const name of Object.keys(reply.headers)) {
    const mayCache = exchange.route?.class === "public" && !("set-cookie" in reply.headers);
    const isAllowed = !(name in fixed) || (name === "cache-control" && mayCache);
    assert(isAllowed && name === name.toLowerCase(), `a reply leaves ${name} alone`);
  }
  setHeaders(response, fixed);
  setHeaders(response, reply.headers);
  response.statusCode = reply.status;
  switch (reply.kind) {
    case "json":
      sendText(response, "application/json", JSON.stringify(reply.value));
      return;
    case "html":
      sendText(response, "text/html; charset=utf-8", reply.text);
      return;
    case "text":
      sendText(response, reply.mediaType, reply.text);
      return;
    case "stream":
      response.setHeader("content-type", reply.mediaType);
      if (exchange.method === "HEAD") {
        reply.source.destroy();
        response.end();
      } else {
        // A source that fails destroys the response: the client sees that it is not complete.
        pipeline(reply.source, response, () => {});
      }
      return;
    case "empty":
      if (!isBodiless(reply.status, false)) response.setHeader("content-length", 0);
      response.end();
  }
}

function sendText(response: ServerResponse, mediaType: string, text: string): void {
  response.setHeader("content-type", mediaType);
  response.setHeader("content-length", Buffer.byteLength(text));
  response.end(text);
}
