import { createHash, timingSafeEqual } from "node:crypto";
import http, { type IncomingMessage, type Server, type ServerResponse } from "node:http";

/** What the internal listener tells. */
export interface InternalServerParts {
  /** Shared secret that `/metrics` asks for. */
  readonly secret: string;
  readonly isReady: () => boolean;
  readonly metrics: () => Promise<string>;
  readonly metricsType: string;
}

function digestOf(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}

function send(answer: ServerResponse, status: number, type: string, text: string): void {
  answer.writeHead(status, {
    "Content-Type": type,
    "Content-Length": Buffer.byteLength(text),
    "Cache-Control": "no-store",
  });
  answer.end(text);
}

function sendJson(answer: ServerResponse, status: number, value: object): void {
  send(answer, status, "application/json", JSON.stringify(value));
}

/**
 * A server for those who watch the proxy, not listening yet: `/healthz` and `/readyz` for all, `/metrics` for who has the
 * secret, as at the relay and the API server.
 */
export function internalServer(parts: InternalServerParts): Server {
  const digest = digestOf(parts.secret);
  const isKnown = ({ headers }: IncomingMessage): boolean => {
    const [, secret = ""] = /^bearer +(\S+) *$/i.exec(headers.authorization ?? "") ?? [];
    return timingSafeEqual(digestOf(secret), digest);
  };
  const serve = async (request: IncomingMessage, answer: ServerResponse): Promise<void> => {
    request.resume();
    const isRead = request.method === "GET" || request.method === "HEAD";
    const [path] = (request.url ?? "/").split("?", 1);
    if (!isRead) return sendJson(answer, 405, { status: "method_not_allowed" });
    switch (path) {
      case "/healthz":
        return sendJson(answer, 200, { status: "ok" });
      case "/readyz":
        return parts.isReady()
          ? sendJson(answer, 200, { status: "ready" })
          : sendJson(answer, 503, { status: "not_ready" });
      case "/metrics":
        if (!isKnown(request)) return sendJson(answer, 401, { status: "unauthorized" });
        return send(answer, 200, parts.metricsType, await parts.metrics());
      default:
        return sendJson(answer, 404, { status: "not_found" });
    }
  };
  return http.createServer((request, answer) => {
    serve(request, answer).catch(() => answer.destroy());
  });
}
