import { createServer, type Server, type ServerOptions } from "node:http";
import { createServer as createTlsServer, type Server as TlsServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import type { Logger } from "pino";
import { ClientAddressRule, canonicalAddress } from "../core/client-address.ts";
import { type Clock, monotonicClock } from "../core/clock.ts";
import { ConfigError, type ConfigProblem } from "../core/errors.ts";
import { RequestIds } from "../core/request-ids.ts";
import { logRefusal } from "./access-log.ts";
import { AuthFailures } from "./auth-failures.ts";
import { sessionCookieName } from "./credential.ts";
import type { Origins } from "./csrf.ts";
import type { ApiErrorCode } from "./errors.ts";
import { RouteGuard } from "./guard.ts";
import type { ApiOptions } from "./options.ts";
import { Pipeline } from "./pipeline.ts";
import type { Authenticator, HttpAudit, HttpObserver, PrincipalGate } from "./ports.ts";
import { answerRaw, codeOfParserError } from "./raw-answer.ts";
import type { Router } from "./router.ts";
import { processTimers, type Timers } from "./timers.ts";
import { readTlsPair } from "./tls.ts";

/** What an API listener is given besides its options. */
export interface ApiServerDeps {
  readonly router: Router;
  readonly authenticator: Authenticator;
  readonly logger: Logger;
  readonly audit: HttpAudit;
  /** Gives the error to answer with in place of one that comes from below a handler; others come back as they are. */
  readonly translate?: (error: unknown) => unknown;
  /** Is told of each request that is over. */
  readonly observer?: HttpObserver;
  /** Counts the requests of each caller; without it they are not limited. */
  readonly gate?: PrincipalGate;
  /** Default: the process's monotonic clock and timers. Time-outs of heads and idle connections are node:http's. */
  readonly clock?: Clock;
  readonly timers?: Timers;
}

/** A running API listener. */
export interface ApiServer {
  readonly port: number;
  /** Requests whose response is not over. */
  readonly running: number;
  /**
   * Reads certificate and key again, for connections from now on; no effect without TLS. A pair that cannot be used is
   * logged, and the old one stays in force.
   */
  reloadTls(): void;
  /**
   * Stops accepting, lets running requests finish for up to `drainMs`, then cuts what is left. A second call gives
   * the same promise.
   */
  stop(): Promise<void>;
  /** Cuts everything at once. Idempotent. */
  close(): Promise<void>;
}

/**
 * Starts an API listener.
 *
 * @throws ConfigError for a base URL, an origin or an address block that is none; the system's error where the port
 *   cannot be had
 */
export async function startApiServer(options: ApiOptions, deps: ApiServerDeps): Promise<ApiServer> {
  const listener = new ApiListener(options, deps);
  await listener.listen();
  return listener;
}

/** Every setting of the options that cannot be used. */
export function apiOptionsProblems(options: ApiOptions): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  if (originOf(options.publicBaseUrl) === "") {
    problems.push({ setting: "publicBaseUrl", problem: "must be an http or https URL" });
  }
  const wrong = options.corsOrigins.filter((origin) => originOf(origin) !== origin);
  if (wrong.length > 0) {
    problems.push({ setting: "corsOrigins", problem: `not an origin: ${wrong.join(", ")}` });
  }
  try {
    readTlsPair(options);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    problems.push(...error.problems);
  }
  return problems;
}

/** The origin of an http or https URL, "" for anything else. */
function originOf(text: string): string {
  if (!URL.canParse(text)) return "";
  const { protocol, origin } = new URL(text);
  return protocol === "https:" || protocol === "http:" ? origin : "";
}

const TLS_VERSION_MIN = "TLSv1.2";

class ApiListener implements ApiServer {
  readonly #options: ApiOptions;
  readonly #logger: Logger;
  readonly #timers: Timers;
  readonly #isHttps: boolean;
  readonly #requestIds = new RequestIds();
  readonly #pipeline: Pipeline;
  readonly #server: Server;
  /** The same server where it speaks TLS, else null. */
  readonly #tlsServer: TlsServer | null;
  /** Connections that got a raw answer: whatever else comes on them is dropped. */
  readonly #refused = new WeakSet<Duplex>();
  /** TCP connections, and the TLS connections on them. */
  readonly #sockets = new Set<Socket>();
  #stopped: Promise<void> | null = null;

  constructor(options: ApiOptions, deps: ApiServerDeps) {
    const problems = apiOptionsProblems(options);
    if (problems.length > 0) throw new ConfigError(problems);
    const { clock = monotonicClock, timers = processTimers } = deps;
    const own = originOf(options.publicBaseUrl);
    const origins: Origins = { own, others: new Set(options.corsOrigins) };
    this.#options = options;
    this.#logger = deps.logger;
    this.#timers = timers;
    this.#isHttps = own.startsWith("https:");
    const limits = {
      failuresMax: options.authFailuresMax,
      windowMs: options.authFailureWindowMs,
      addressesMax: options.authFailureAddressesMax,
    };
    const guard = new RouteGuard({
      authenticator: deps.authenticator,
      audit: deps.audit,
      failures: new AuthFailures(limits, clock),
      origins,
      cookieName: sessionCookieName(this.#isHttps),
      ...(deps.gate === undefined ? {} : { gate: deps.gate }),
    });
    this.#pipeline = new Pipeline({
      router: deps.router,
      guard,
      options,
      origins,
      isHttps: this.#isHttps,
      addresses: new ClientAddressRule(options.trustedProxyCidrs),
      requestIds: this.#requestIds,
      logger: deps.logger,
      clock,
      timers,
      observer: deps.observer ?? null,
      translate: deps.translate ?? ((error) => error),
    });
    const pair = readTlsPair(options);
    this.#tlsServer = pair === null ? null : createTlsServer(this.#serverOptions(pair));
    this.#server = this.#tlsServer ?? createServer(this.#serverOptions({}));
    this.#listenToServer();
  }

  get port(): number {
    return (this.#server.address() as AddressInfo | null)?.port ?? 0;
  }

  get running(): number {
    return this.#pipeline.running;
  }

  reloadTls(): void {
    if (this.#tlsServer === null || this.#stopped !== null) return;
    try {
      const pair = readTlsPair(this.#options);
      if (pair !== null) this.#tlsServer.setSecureContext({ ...pair, minVersion: TLS_VERSION_MIN });
      this.#logger.info("certificate read again");
    } catch (error) {
      const reason = error instanceof Error ? error.message : "";
      this.#logger.error({ reason }, "the certificate cannot be used; the old one stays");
    }
  }

  listen(): Promise<void> {
    const { listenHost: host, listenPort: port } = this.#options;
    return new Promise((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen({ host, port }, () => {
        this.#server.off("error", reject);
        resolve();
      });
    });
  }

  stop(): Promise<void> {
    this.#stopped ??= new Promise((resolve) => {
      const cancel = this.#timers.after(this.#options.drainMs, () => this.#cut());
      this.#server.close(() => {
        cancel();
        resolve();
      });
      this.#pipeline.stop();
      this.#server.closeIdleConnections();
      // For node:http a connection that has not sent a byte yet is busy with its first request.
      for (const socket of this.#sockets) if (socket.bytesRead === 0) socket.destroy();
    });
    return this.#stopped;
  }

  close(): Promise<void> {
    const stopped = this.stop();
    this.#cut();
    return stopped;
  }

  /** Connections that node:http has let go of, after a CONNECT, are among ours alone. */
  #cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  #serverOptions<T extends object>(pair: T): ServerOptions & T {
    const options = this.#options;
    return {
      ...pair,
      ...(options.tlsCertFile === null
        ? {}
        : { minVersion: TLS_VERSION_MIN, handshakeTimeout: options.headTimeoutMs }),
      maxHeaderSize: options.headBytesMax,
      headersTimeout: options.headTimeoutMs,
      // A body that is read whole has a time-out of ours; a streamed one may take as long as it goes on.
      requestTimeout: 0,
      keepAliveTimeout: options.keepAliveMs,
      connectionsCheckingInterval: Math.max(10, Math.min(1_000, options.headTimeoutMs / 4)),
      // Checked by us, so that the answer has the fields that all answers have.
      requireHostHeader: false,
      insecureHTTPParser: false,
    };
  }

  #listenToServer(): void {
    const options = this.#options;
    const server = this.#server;
    // Node drops fields beyond its limit without a word; ours answers 431.
    server.maxHeadersCount = 0;
    server.timeout = options.idleMs;
    server.maxConnections = options.connectionsMax;
    const keep = (socket: Socket): void => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
    };
    server.on("connection", keep);
    server.on("secureConnection", (socket: TLSSocket) => {
      keep(socket);
      // Its handshake went on while the server stopped.
      if (this.#stopped !== null) socket.destroy();
    });
    server.on("request", (request, response) => {
      this.#pipeline.handle(request, response);
    });
    server.on("checkContinue", (request, response) => {
      this.#pipeline.handle(request, response, { awaitsContinue: true });
    });
    server.on("checkExpectation", (request, response) => {
      this.#pipeline.handle(request, response, { refusal: "expectation_failed" });
    });
    server.on("connect", (_request, socket) => this.#refuse(socket, "bad_path"));
    server.on("clientError", (error, socket) => this.#onClientError(error, socket));
  }

  /** What node:http would answer by itself, without our fields. */
  #onClientError(error: Error, socket: Duplex): void {
    if (this.#refused.has(socket)) return;
    const running = this.#pipeline.runningOn(socket);
    // One whose handshake failed has nothing that could be answered.
    const isUnheard = this.#tlsServer !== null && !this.#sockets.has(socket as Socket);
    if (isUnheard || !socket.writable || ("code" in error && error.code === "ECONNRESET")) {
      socket.destroy();
    } else if (running === null) {
      this.#refuse(socket, codeOfParserError(error));
    } else if (!running.request.complete) {
      // Its body is malformed.
      this.#refused.add(socket);
      this.#pipeline.break(running, codeOfParserError(error));
    } else {
      // What is malformed is what comes after it.
      this.#refused.add(socket);
      running.response.once("close", () => socket.destroy());
    }
  }

  #refuse(socket: Duplex, code: ApiErrorCode): void {
    this.#refused.add(socket);
    const requestId = this.#requestIds.next();
    const peer = (socket as Socket).remoteAddress ?? "";
    const status = answerRaw(socket, code, requestId, this.#isHttps);
    logRefusal(this.#logger, requestId, canonicalAddress(peer), status, code);
    socket.on("error", () => {});
    const cancel = this.#timers.after(this.#options.lingerMs, () => socket.destroy());
    socket.once("close", cancel);
  }
}
