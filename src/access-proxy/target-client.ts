import { lookup } from "node:dns";
import http, { type ClientRequest, type IncomingMessage } from "node:http";
import https from "node:https";
import { isIP, type LookupFunction } from "node:net";
import type { Destination } from "./destinations.ts";
import { type EdgeAccess, edgeFields, edgePath, unlessOfEdge } from "./edge.ts";
import { AccessProxyError } from "./errors.ts";
import { guardedLookup, lookupAhead, type Resolve } from "./guarded-lookup.ts";
import { HeadLimits } from "./head-limits.ts";
import { trusting } from "./trust.ts";

export interface TargetClientOptions {
  readonly connectTimeoutMs: number;
  /** From the last byte of the request that could be sent to the head of the answer; 0 for no limit. */
  readonly headTimeoutMs: number;
  /** Certificates in PEM, beside those of Node's list, that targets are checked against; null for none. */
  readonly ca: string | null;
  /** How targets behind devices are reached; null where none are. */
  readonly edge: EdgeAccess | null;
}

/** A request to a target whose body is still to be written. */
export interface TargetRequest {
  readonly out: ClientRequest;
  /**
   * The head of the answer; its body is the caller's to read or to destroy.
   *
   * @throws AccessProxyError rows E3 and E22 to E24
   */
  readonly response: Promise<IncomingMessage>;
}

/** Failures of a connection that is there; whatever else goes wrong on one before a head is the target's doing. */
const NETWORK: ReadonlySet<string> = new Set([
  "ECONNRESET",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "EPIPE",
  "ETIMEDOUT",
]);
/** A connection that cannot be made for want of descriptors or memory is nothing that the target can help. */
const OUR_OWN: ReadonlySet<string> = new Set(["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"]);

/** Connections to one target at a time; more requests wait for one. */
const SOCKETS_PER_TARGET_MAX = 1_024;

/** Whether the target was not reached, or was lost: row E22. The others are E23. */
function isUnreachable(error: NodeJS.ErrnoException): boolean {
  const { code = "", syscall } = error;
  // Several addresses were tried; the first error stands for them.
  if (error instanceof AggregateError) return isUnreachable(error.errors[0] ?? new Error());
  // No name, no route, nobody there, no address of ours to go out from: whatever the system calls it.
  if (syscall === "getaddrinfo" || syscall === "connect") return !OUR_OWN.has(code);
  if (code === "ENOTFOUND") return true;
  // Node says ECONNRESET of a connection that was closed without an answer, too: but of no call of the system.
  return NETWORK.has(code) && (code !== "ECONNRESET" || syscall !== undefined);
}

function failure(error: NodeJS.ErrnoException): AccessProxyError {
  if (error instanceof AccessProxyError) return error;
  const code = isUnreachable(error)
    ? "ERR_ACCESS_PROXY_UNREACHABLE"
    : "ERR_ACCESS_PROXY_BAD_ANSWER";
  return new AccessProxyError(code, [], { cause: error });
}

/** What a reason phrase may hold, on its way to the caller too. RFC 9112, section 4. */
const REASON = /^[\t\x20-\x7e\x80-\xff]*$/;

/** Whether a head is one of an answer: no status of less than three digits, none that leaves HTTP, and a reason that can be said again. */
function isAnswer({ statusCode = 0, statusMessage = "" }: IncomingMessage): boolean {
  return statusCode >= 200 && REASON.test(statusMessage);
}

type Agents = Readonly<Record<"http:" | "https:", http.Agent>>;

/**
 * Requests to targets, over connections that are kept. Redirects are not followed, proxies of the environment not asked, and a name
 * is resolved once: what is connected to is what was checked.
 *
 * @see TA cooperation, sections 4.6, 4.9 and 14.2
 */
export class TargetClient {
  readonly #options: TargetClientOptions;
  /** A connection to an address that was not checked is never used where one must be. */
  readonly #open: Agents;
  readonly #guarded: Agents;
  readonly #guardedLookup: LookupFunction;
  readonly #limits: HeadLimits;

  /** @param resolve resolves names whose addresses are checked; default that of the system */
  constructor(options: TargetClientOptions, resolve?: Resolve) {
    this.#options = options;
    this.#limits = new HeadLimits(options);
    this.#guardedLookup = guardedLookup(resolve);
    this.#open = this.#agents();
    this.#guarded = this.#agents();
  }

  #agents(): Agents {
    const options = {
      keepAlive: true,
      maxSockets: SOCKETS_PER_TARGET_MAX,
      scheduling: "lifo" as const,
    };
    const { ca } = this.#options;
    return {
      "http:": new http.Agent(options),
      "https:": new https.Agent({
        ...options,
        ...(ca === null ? {} : { secureContext: trusting(ca) }),
      }),
    };
  }

  /**
   * Resolves a target's name ahead of a request, if its addresses have to be checked: what is refused is refused before anybody
   * else is asked. What it gives is for `send`; null where there is nothing to check.
   *
   * @throws AccessProxyError row E3, and E22 where it takes longer than a connection may
   */
  async resolve(url: URL, { allowPrivate, device }: Destination): Promise<LookupFunction | null> {
    const { hostname } = url;
    const isAddress = hostname.startsWith("[") || isIP(hostname) !== 0;
    if (allowPrivate || device !== null || isAddress) return null;
    let timer: NodeJS.Timeout | undefined;
    const limit = new Promise<never>((_resolve, reject) => {
      const late = Object.assign(new Error("lookup timeout"), { code: "ETIMEDOUT" });
      timer = setTimeout(() => reject(failure(late)), this.#options.connectTimeoutMs);
    });
    try {
      return await Promise.race([lookupAhead(hostname, this.#guardedLookup), limit]);
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * Begins a request.
   *
   * @param url its host, where it is an address, is checked already; a name's addresses are checked here
   * @param fields of the request, names and values in turn, `Host` among them
   * @param resolved what `resolve` gave, if it was asked
   * @throws AccessProxyError row E22 for a device where there is no edge
   */
  send(
    method: string,
    url: URL,
    fields: readonly string[],
    { allowPrivate, device }: Destination,
    resolved: LookupFunction | null,
  ): TargetRequest {
    const edge = device === null ? null : this.#options.edge;
    const isViaEdge = edge !== null;
    // Whoever has the address of a device's origin is not the device.
    if (device !== null && !isViaEdge) throw new AccessProxyError("ERR_ACCESS_PROXY_UNREACHABLE");
    const base = isViaEdge ? edge.url : url;
    const protocol = base.protocol === "http:" ? "http:" : "https:";
    const { hostname } = base;
    const isOpen = isViaEdge || allowPrivate;
    const out = (protocol === "http:" ? http : https).request({
      agent: (isOpen ? this.#open : this.#guarded)[protocol],
      lookup: isOpen ? lookup : (resolved ?? this.#guardedLookup),
      protocol,
      host: hostname.startsWith("[") ? hostname.slice(1, -1) : hostname,
      port: base.port,
      method,
      path: (isViaEdge ? edgePath(url.pathname, device as string) : url.pathname) + url.search,
      // Node takes them as they are: order and duplicates stay.
      headers: (isViaEdge
        ? edgeFields(fields, device as string, edge.key)
        : fields) as unknown as http.OutgoingHttpHeaders,
    });
    // Lines beyond a thousand would be left out; their bytes are limited already.
    out.maxHeadersCount = 0;
    const response = this.#response(out);
    return { out, response: isViaEdge ? response.then(unlessOfEdge) : response };
  }

  close(): void {
    this.#limits.close();
    for (const agents of [this.#open, this.#guarded]) {
      for (const agent of Object.values(agents)) agent.destroy();
    }
  }

  #response(out: ClientRequest): Promise<IncomingMessage> {
    const isAwaited = this.#limits.begin(out);
    return new Promise((resolve, reject) => {
      out.on("response", (message) => {
        this.#limits.end(isAwaited);
        if (isAnswer(message)) resolve(message);
        else {
          reject(failure(new Error("no status line that can be relayed")));
          message.destroy();
        }
      });
      out.on("error", (error) => {
        this.#limits.end(isAwaited);
        reject(failure(error));
      });
      out.on("close", () => {
        if (this.#limits.end(isAwaited)) reject(failure(new Error("closed without an answer")));
      });
    });
  }
}
