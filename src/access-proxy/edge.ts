import type { IncomingMessage } from "node:http";
import { AccessProxyError, type AccessProxyErrorCode } from "./errors.ts";

/** The edge of a relay, and what this proxy identifies itself with there. */
export interface EdgeAccess {
  readonly url: URL;
  /** API key. */
  readonly key: string;
}

/** The fields for the edge: it alone is told which device is meant, and by whom; the caller has no say in that. */
export function edgeFields(fields: readonly string[], device: string, key: string): string[] {
  const out: string[] = [];
  for (let at = 0; at < fields.length; at += 2) {
    const field = fields[at] as string;
    if (!/^x-hawser-/i.test(field)) out.push(field, fields[at + 1] as string);
  }
  out.push("X-Hawser-Device", device, "Proxy-Authorization", `Bearer ${key}`);
  return out;
}

/** Paths that mean something at the edge itself. */
const OF_EDGE = /^\/(?:d|tunnel|\.hawser)(?:\/|$)/;

/** A destination's path as the edge is asked for it: behind the device's own, where the edge would take it for one of its paths. */
export function edgePath(path: string, device: string): string {
  return OF_EDGE.test(path) ? `/d/${device}${path}` : path;
}

/** What an answer of the edge's own says of the destination, by its status; all others are a bad answer. */
const FAILURES: Readonly<Record<number, AccessProxyErrorCode>> = {
  404: "ERR_ACCESS_PROXY_UNREACHABLE",
  502: "ERR_ACCESS_PROXY_UNREACHABLE",
  503: "ERR_ACCESS_PROXY_UNREACHABLE",
  504: "ERR_ACCESS_PROXY_TIMEOUT",
};

/**
 * The message, unless the edge answered in place of the device: it names itself in `Via` where it passes an answer on, and not in
 * its own.
 *
 * @throws AccessProxyError rows E22 to E24
 */
export function unlessOfEdge(message: IncomingMessage): IncomingMessage {
  const { statusCode = 0, headers } = message;
  const isProblem = headers["content-type"] === "application/problem+json";
  if (!isProblem || (headers.via ?? "").includes("hawser")) return message;
  message.resume();
  throw new AccessProxyError(FAILURES[statusCode] ?? "ERR_ACCESS_PROXY_BAD_ANSWER", [], {
    cause: new Error(`the edge answered ${statusCode}`),
  });
}
