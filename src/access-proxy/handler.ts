import { type IncomingMessage, type ServerResponse, STATUS_CODES } from "node:http";
import { performance } from "node:perf_hooks";
import type { Logger } from "pino";
import { Addressings } from "./addressing.ts";
import { bareError } from "./bare-error.ts";
import { Call, type CallContext, type CallPath } from "./call.ts";
import { type CallLog, LoggerCallLog } from "./call-log.ts";
import type { CallerAuth } from "./callers.ts";
import { ClientAssertions } from "./client-assertion.ts";
import { AccessProxyError, type AccessProxyErrorCode } from "./errors.ts";
import type { Resolve } from "./guarded-lookup.ts";
import { IdpClient } from "./idp-client.ts";
import { IdpKeys } from "./idp-keys.ts";
import { logMark } from "./log-mark.ts";
import { Mediator } from "./mediation.ts";
import type { AccessProxyOptions } from "./options.ts";
import type { IdpStore, KeyStore, SessionStore, TokenStore } from "./ports.ts";
import { TargetClient } from "./target-client.ts";

/** What an access proxy is built from. */
export interface AccessProxyParts {
  readonly keys: KeyStore;
  readonly idps: IdpStore;
  readonly tokens: TokenStore;
  readonly sessions: SessionStore;
  readonly callers: CallerAuth;
  readonly logger: Logger;
  /** Writes the access line of each call that is over; default `logger`, at level `info`. */
  readonly callLog?: CallLog;
  /** Is told of each call that is over. */
  readonly observer?: CallObserver;
  /** Milliseconds since 1970; default `Date.now`. */
  readonly wallNow?: () => number;
  /** Resolves names of destinations whose addresses are checked; default that of the system. */
  readonly resolve?: Resolve;
}

/** A call that is over. */
export interface CallOutcome {
  readonly path: CallPath;
  /** Null where the target's answer was relayed; `gone` where the caller left first. */
  readonly code: AccessProxyErrorCode | "gone" | null;
  /** Mark of the session that carried it or was granted by it, null for none. See `logMark`. */
  readonly session: string | null;
  readonly durationMs: number;
}

export interface CallObserver {
  callEnded(outcome: CallOutcome): void;
}

/** Methods that are not forwarded; each other one is. */
const NOT_PROXIED: ReadonlySet<string> = new Set(["CONNECT", "TRACE"]);

/** Answers with an error of the proxy's own. TA cooperation, section 4.9. */
export function answerError(answer: ServerResponse, error: AccessProxyError): void {
  const body = JSON.stringify({ error: error.error, error_description: error.message });
  // Whatever reason was set before, such as one that could not be written.
  answer.writeHead(error.status, STATUS_CODES[error.status], {
    "Content-Type": "application/json",
    "Content-Length": Buffer.byteLength(body),
    "Cache-Control": "no-store",
    Pragma: "no-cache",
    "X-Access-Proxy-Error": error.message,
    ...(error.status === 405 ? { Allow: "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS" } : {}),
  });
  answer.end(body);
}

/** Ends a call that is answered while its body still comes, if the caller leaves: Node tells no request that is answered. */
function abortWithSocket(call: Call, request: IncomingMessage): void {
  const { socket } = request;
  const onClose = (): void => call.abort();
  socket.once("close", onClose);
  request.once("end", () => socket.off("close", onClose));
}

/**
 * The access proxy: takes the requests of a TA's backend, gets code tokens for the accounts that they concern, and forwards them.
 * Its `handle` serves any server of `node:http`.
 */
export class AccessProxy {
  readonly #context: CallContext;
  readonly #callers: CallerAuth;
  readonly #observer: CallObserver | null;
  readonly #callLog: CallLog;
  readonly #idpClient: IdpClient;

  constructor(options: AccessProxyOptions, parts: AccessProxyParts) {
    const wallNow = parts.wallNow ?? Date.now;
    this.#callers = parts.callers;
    this.#observer = parts.observer ?? null;
    this.#callLog = parts.callLog ?? new LoggerCallLog(parts.logger);
    this.#idpClient = new IdpClient({
      timeoutMs: options.idpTimeoutMs,
      answerBytesMax: options.idpAnswerBytesMax,
      ca: options.ca,
    });
    const assertions = new ClientAssertions(parts.keys, {
      selfId: options.selfId,
      alg: options.sigAlg,
      kid: options.sigKid,
      jtiLength: options.jtiLen,
      lifetimeMs: options.jtiExpInMs,
      wallNow,
    });
    const keys = new IdpKeys(this.#idpClient, {
      cacheMs: options.keySetCacheMs,
      now: () => performance.now(),
    });
    this.#context = {
      options,
      sessions: parts.sessions,
      addressings: new Addressings(),
      logger: parts.logger,
      wallNow,
      targets: new TargetClient(options, parts.resolve),
      mediator: new Mediator(
        {
          tokens: parts.tokens,
          idps: parts.idps,
          assertions,
          client: this.#idpClient,
          keys: options.verifyCodeTokens ? keys : null,
        },
        { selfId: options.selfId, hashAlg: options.hashAlg, wallNow },
      ),
    };
  }

  /** Serves one request, whatever its path. Answers each failure itself; never throws. */
  handle(request: IncomingMessage, answer: ServerResponse): void {
    // Nothing is thrown; if it were, it must end this call and not the process.
    this.#serve(request, answer).catch(() => answer.destroy());
  }

  /** Ends the connections to ID providers and targets. */
  async close(): Promise<void> {
    this.#context.targets.close();
    await this.#idpClient.close();
  }

  async #serve(request: IncomingMessage, answer: ServerResponse): Promise<void> {
    const startedAt = performance.now();
    let call: Call | null = null;
    let code: CallOutcome["code"] = null;
    let isOver = false;
    const end = (): void => {
      if (isOver) return;
      isOver = true;
      const sessionId = call?.sessionId ?? null;
      const session = sessionId === null ? null : logMark(sessionId);
      const durationMs = performance.now() - startedAt;
      this.#ended({ path: call?.path ?? "none", code, session, durationMs }, call);
    };
    answer.on("close", () => {
      if (!answer.writableFinished) {
        code ??= "gone";
        call?.abort();
      } else if (call !== null && !request.complete) abortWithSocket(call, request);
      end();
    });
    try {
      const scope = this.#callers.scopeOf(request);
      if (NOT_PROXIED.has(request.method ?? "")) {
        throw new AccessProxyError("ERR_ACCESS_PROXY_METHOD");
      }
      if (scope === null) throw new AccessProxyError("ERR_ACCESS_PROXY_CALLER");
      const { credentialField } = this.#callers;
      call = new Call(this.#context, request, answer, { scope, credentialField });
      await call.run();
    } catch (cause) {
      if (answer.destroyed || isOver) return;
      const isForeseen = cause instanceof AccessProxyError;
      const error = isForeseen
        ? cause
        : new AccessProxyError("ERR_ACCESS_PROXY_INTERNAL", [], { cause });
      if (!isForeseen) call?.abort();
      code = error.code;
      if (answer.headersSent) answer.destroy();
      else {
        answerError(answer, error);
        // Part of the body may have been read, and the rest held: whoever reads answers once all is sent would wait for ever.
        request.resume();
      }
      if (error.cause !== undefined) {
        this.#context.logger.warn({ err: bareError(error.cause), code }, "call failed");
      }
    }
  }

  #ended(outcome: CallOutcome, call: Call | null): void {
    this.#observer?.callEnded(outcome);
    this.#callLog.callEnded(outcome, call?.target ?? null);
  }
}
