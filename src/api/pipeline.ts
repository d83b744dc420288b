import type { IncomingMessage, ServerResponse } from "node:http";
import type { Logger } from "pino";
import { assert } from "../core/assert.ts";
import type { ClientAddressRule } from "../core/client-address.ts";
import type { Clock } from "../core/clock.ts";
import type { RequestIds } from "../core/request-ids.ts";
import { SlotList } from "../core/slot-list.ts";
import { logFailure, RequestLog } from "./access-log.ts";
import { bodyOf, checked, parsePairs } from "./body.ts";
import type { ByteAnswer } from "./byte-answer.ts";
import { corsHeaders, isPreflight } from "./cors.ts";
import type { Origins } from "./csrf.ts";
import { type ApiErrorCode, apiError } from "./errors.ts";
import { Exchange, type FixedFields } from "./exchange.ts";
import type { Admitted, RouteGuard } from "./guard.ts";
import { after, type Later } from "./later.ts";
import type { ApiOptions } from "./options.ts";
import { decidePath, type PathDecision } from "./path.ts";
import type { HttpObserver, Principal } from "./ports.ts";
import { PROBLEM_TYPE, problemOf, problemPage } from "./problem.ts";
import { empty, type Reply, setHeaders } from "./reply.ts";
import { checkFields, fieldOf, hasBody, linesOf } from "./request-fields.ts";
import type { Call, Route } from "./route.ts";
import type { Router } from "./router.ts";
import { securityHeaders } from "./security-headers.ts";
import { sendReply } from "./send.ts";
import type { Timers } from "./timers.ts";

/** What a {@link Pipeline} works with. */
export interface PipelineDeps {
  readonly router: Router;
  readonly guard: RouteGuard;
  readonly options: ApiOptions;
  readonly origins: Origins;
  readonly isHttps: boolean;
  readonly addresses: ClientAddressRule;
  readonly requestIds: RequestIds;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly observer: HttpObserver | null;
  /** Gives the error to answer with in place of one that the HTTP layer does not know; others come back as they are. */
  readonly translate: (error: unknown) => unknown;
}

type Decided = Extract<PathDecision, { ok: true }>;

/** A route that was found, and what of the path is its handler's. */
interface Matched {
  readonly route: Route;
  readonly params: Readonly<Record<string, string>>;
  readonly query: string;
  readonly tail: string;
}

/**
 * What happens to a request, in this order: name, head, path, route, guard, input, handler, answer. Each step may
 * throw; one place maps what was thrown.
 */
export class Pipeline {
  readonly #deps: PipelineDeps;
  readonly #fixed: FixedFields;
  readonly #requestLog: RequestLog;
  readonly #running = new SlotList<Exchange>();
  /** By connection, in the order of their requests. */
  readonly #bySocket = new WeakMap<object, Exchange[]>();
  #isStopping = false;

  constructor(deps: PipelineDeps) {
    this.#deps = deps;
    this.#fixed = fixedFields(deps);
    this.#requestLog = new RequestLog(deps.logger);
  }

  /** Requests whose response is not over. */
  get running(): number {
    return this.#running.size;
  }

  /** The request that was last begun on a connection and is not answered in full. */
  runningOn(socket: object): Exchange | null {
    return this.#bySocket.get(socket)?.at(-1) ?? null;
  }

  /** Answers one request. Never throws. */
  handle(
    request: IncomingMessage,
    response: ServerResponse,
    special: { awaitsContinue?: boolean; refusal?: ApiErrorCode } = {},
  ): void {
    const exchange = this.#begin(request, response, special.awaitsContinue ?? false);
    if ((this.#bySocket.get(request.socket)?.length ?? 0) > this.#deps.options.pipelinedMax) {
      request.socket.destroy();
      return;
    }
    try {
      if (special.refusal !== undefined) throw apiError(special.refusal);
      const served = this.#serve(exchange);
      if (served instanceof Promise) served.catch((error) => this.fail(exchange, error));
    } catch (error) {
      this.fail(exchange, error);
    }
  }

  /** From now on every answer ends its connection. */
  stop(): void {
    this.#isStopping = true;
    for (const { response } of this.#running) closeAfter(response);
  }

  /** Ends a request whose body cannot be read on, and its connection. */
  break(exchange: Exchange, code: ApiErrorCode): void {
    closeAfter(exchange.response);
    this.fail(exchange, apiError(code));
  }

  /** Answers with the problem that an error comes to; cuts the connection where an answer has begun. */
  fail(exchange: Exchange, error: unknown): void {
    const { response, route, requestId } = exchange;
    // What fails behind an answer, or behind a client that left, is no failure of the request.
    if (exchange.isOver) return;
    const problem = problemOf(this.#deps.translate(error), requestId);
    exchange.code = problem.code;
    if (problem.unexpected) logFailure(this.#deps.logger, requestId, error);
    if (response.headersSent) {
      exchange.request.socket.destroy();
      return;
    }
    const isPage = route?.class === "page";
    // What a handler has set so far belongs to an answer that there will not be.
    exchange.resetHeaders();
    if (isPage) setHeaders(response, securityHeaders("html", this.#deps.isHttps));
    const body = isPage ? problemPage(problem) : problem.body;
    setHeaders(response, problem.headers);
    response.setHeader("content-type", isPage ? "text/html; charset=utf-8" : PROBLEM_TYPE);
    response.setHeader("content-length", Buffer.byteLength(body));
    response.statusCode = problem.status;
    response.end(body);
  }

  #begin(request: IncomingMessage, response: ServerResponse, awaitsContinue: boolean): Exchange {
    const { addresses, requestIds, clock, observer } = this.#deps;
    const peer = request.socket.remoteAddress ?? "";
    const forwardedFor = addresses.trusts(peer) ? linesOf(request, "x-forwarded-for") : "";
    const exchange = new Exchange(request, response, {
      requestId: requestIds.accept(fieldOf(request, "x-request-id")),
      address: addresses.clientOf(peer, forwardedFor),
      startedAt: clock.now(),
      awaitsContinue,
      fixed: this.#fixed,
    });
    const running = this.#running.add(exchange);
    const pipelined = this.#pipelinedOn(request.socket);
    pipelined.push(exchange);
    // A client that leaves midway is seen at the response's end; without a listener it would end the process.
    request.on("error", ignore);
    response.on("error", ignore);
    if (hasBody(request)) response.on("finish", () => this.#linger(request));
    response.on("close", () => {
      exchange.ended();
      this.#running.remove(running);
      if (pipelined[0] === exchange) pipelined.shift();
      else pipelined.splice(pipelined.indexOf(exchange), 1);
      const now = clock.now();
      this.#requestLog.write(exchange, now);
      const status = response.headersSent ? response.statusCode : 499;
      observer?.requestOver(exchange.route?.class ?? "", status, now - exchange.startedAt);
      if (this.#isStopping) request.socket.destroySoon();
    });
    if (this.#isStopping) closeAfter(response);
    return exchange;
  }

  #pipelinedOn(socket: object): Exchange[] {
    const known = this.#bySocket.get(socket);
    if (known !== undefined) return known;
    const pipelined: Exchange[] = [];
    this.#bySocket.set(socket, pipelined);
    return pipelined;
  }

  /** The rest of a body that nobody reads is dropped for a while, so that the client gets to read its answer. */
  #linger(request: IncomingMessage): void {
    if (request.complete) return;
    const { timers, options } = this.#deps;
    const cancel = timers.after(options.lingerMs, () => {
      if (!request.complete) request.socket.destroy();
    });
    request.once("close", cancel);
  }

  #serve(exchange: Exchange): Later<void> {
    const { options, origins } = this.#deps;
    checkFields(exchange.request, options.headFieldsMax);
    if (origins.others.size > 0) {
      exchange.addHeaders(corsHeaders(exchange.request, origins.others, ""));
    }
    const matched = this.#match(exchange);
    if (matched === null) return;
    const { route, query } = matched;
    exchange.route = route;
    return after(this.#deps.guard.admit(exchange, route, query), (admitted) =>
      this.#call(exchange, matched, admitted),
    );
  }

  /** Null where the router itself has answered. */
  #match(exchange: Exchange): Matched | null {
    const { router, origins, isHttps } = this.#deps;
    const { request, method } = exchange;
    const decided = this.#decide(exchange);
    const match = router.match(method, decided.path);
    if (match.kind === "none") throw apiError("not_found");
    if (match.kind === "method") {
      throw apiError("method_not_allowed", { headers: { allow: match.allow } });
    }
    if (match.kind === "options") {
      const preflight = isPreflight(request)
        ? corsHeaders(request, origins.others, match.allow)
        : {};
      sendReply(exchange, empty(204, { allow: match.allow, ...preflight }), isHttps);
      return null;
    }
    const { route, params } = match;
    // What a device is asked is its own affair.
    const query = route.isTail ? "" : decided.query;
    return { route, params, query, tail: tailOf(decided) };
  }

  #call(exchange: Exchange, matched: Matched, { principal, cookie }: Admitted): Later<void> {
    const { options, timers } = this.#deps;
    const { route } = matched;
    // Gone, or answered because the rest was malformed, while the caller was looked up: nothing more is to be done.
    if (exchange.isOver) return;
    const params = paramsOf(route, matched.params);
    const query = route.query === null ? undefined : queryOf(route.query, matched.query);
    const read = bodyOf(exchange.request, route.body, {
      timers,
      timeoutMs: options.bodyTimeoutMs,
      onRead: () => exchange.goOn(),
    });
    return after(read, (body) => {
      if (exchange.isOver) return;
      const input = { params, query, body, tail: matched.tail };
      const call = new HandlerCall(exchange, input, { principal, cookie }, (error) =>
        this.fail(exchange, error),
      );
      return after(route.handler(call), (reply) => {
        assertDescribed(route, reply);
        sendReply(exchange, reply, this.#deps.isHttps);
      });
    });
  }

  #decide(exchange: Exchange): Decided {
    const { router, options } = this.#deps;
    const decided = decidePath(exchange.request.url ?? "", options.targetBytesMax, router.findTail);
    if (!decided.ok) {
      throw apiError(decided.fault === "too_long" ? "uri_too_long" : "bad_path");
    }
    exchange.path = decided.path.slice(0, decided.tailStart);
    return decided;
  }
}

/** What a handler gets. */
class HandlerCall implements Call<unknown, unknown, unknown> {
  readonly params: unknown;
  readonly query: unknown;
  readonly body: unknown;
  readonly tail: string;
  readonly principal: Principal | null;
  readonly cookie: string | null;
  readonly fail: (error: unknown) => void;
  readonly #exchange: Exchange;

  constructor(
    exchange: Exchange,
    input: { params: unknown; query: unknown; body: unknown; tail: string },
    { principal, cookie }: Admitted,
    fail: (error: unknown) => void,
  ) {
    this.#exchange = exchange;
    this.params = input.params;
    this.query = input.query;
    this.body = input.body;
    this.tail = input.tail;
    this.principal = principal;
    this.cookie = cookie;
    this.fail = fail;
  }

  get method(): string {
    return this.#exchange.method;
  }

  get requestId(): string {
    return this.#exchange.requestId;
  }

  get address(): string {
    return this.#exchange.address;
  }

  get userAgent(): string {
    return this.#exchange.userAgent;
  }

  get request(): IncomingMessage {
    return this.#exchange.request;
  }

  get response(): ServerResponse {
    return this.#exchange.preparedResponse;
  }

  get answer(): ByteAnswer {
    return this.#exchange.answer;
  }

  get signal(): AbortSignal {
    return this.#exchange.signal;
  }
}

/** What every answer of a listener has, and how it stands in a head. */
function fixedFields({ isHttps, options }: PipelineDeps): FixedFields {
  const { "content-security-policy": policy = "", ...security } = securityHeaders("api", isHttps);
  const vary = `Cookie, Authorization${options.corsOrigins.length > 0 ? ", Origin" : ""}`;
  const headers = { ...security, vary };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const keepAliveS = Math.floor(options.keepAliveMs / 1_000);
  return {
    headers: { ...headers, "content-security-policy": policy },
    lines: {
      lines: lines.join(""),
      policy,
      keepAlive: `connection: keep-alive\r\nkeep-alive: timeout=${keepAliveS}\r\n`,
    },
  };
}

function ignore(): void {}

function closeAfter(response: ServerResponse): void {
  if (!response.headersSent) response.setHeader("connection", "close");
}

/** A parameter that does not fit names nothing: the same answer as for what is unknown. */
function paramsOf(route: Route, raw: Readonly<Record<string, string>>): unknown {
  if (route.params === null) return undefined;
  const result = route.params.safeParse(raw);
  if (!result.success) throw apiError("not_found");
  return result.data;
}

function queryOf(schema: NonNullable<Route["query"]>, query: string): unknown {
  return checked(schema, parsePairs(query, "query"), "query");
}

function tailOf({ path, query, tailStart }: Decided): string {
  if (tailStart >= path.length) return query === "" ? "" : `?${query}`;
  return query === "" ? path.slice(tailStart) : `${path.slice(tailStart)}?${query}`;
}

function assertDescribed(route: Route, reply: Reply): void {
  if (reply.kind === "taken") return;
  const where = `${route.method} ${route.path}`;
  assert(Object.hasOwn(route.responses, reply.status), `${where} describes ${reply.status}`);
}
