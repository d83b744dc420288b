import type { HttpRequest, HttpResponse, TemplatedApp } from "uWebSockets.js";
import {
  AUTHORIZE_REQUEST_BYTES_MAX,
  type ChangesTaken,
  SESSION_DEVICES_MAX,
  SESSION_PAGE_DEFAULT,
  SESSION_PAGE_MAX,
  type SessionClosed,
  type SessionDetail,
  type SessionPage,
} from "../core/contract.ts";
import { AppError, type HttpError } from "../core/errors.ts";
import { RequestIds } from "../core/request-ids.ts";
import { isDeviceId, isTokenRef } from "../core/token.ts";
import { disconnectTunnels, endRevoked } from "./close-tunnels.ts";
import type { RelayContext } from "./context.ts";
import { endAnswer } from "./end-answer.ts";
import { relayError } from "./errors.ts";
import { Front } from "./forward.ts";
import { checkMethod, checkTarget, RequestFields } from "./http1/index.ts";
import { InternalSecret } from "./internal-auth.ts";
import { peerAddress } from "./peer-address.ts";
import { answerProblem, answerUnframed } from "./problem.ts";
import { registerRawStream } from "./raw-stream.ts";
import { readRequestText } from "./request-text.ts";
import { SessionListing } from "./session-listing.ts";
import type { Tunnel } from "./tunnel.ts";

/** Registers the internal API: everything on the internal listener. */
export function registerInternal(app: TemplatedApp, context: RelayContext): void {
  const api = new InternalApi(context);
  registerRawStream(app, context, api.secret, api.ids);
  app.any("/*", (res, req) => api.handle(res, req));
}

const SESSION_PREFIX = "/internal/session/";
const DEVICE_PREFIX = "/internal/device/";
const FORWARD = "forward";
/** Longest `?drain=`, in seconds. */
const DRAIN_S_MAX = 300;
/** The field in which a caller passes on the client's own `Authorization`; the plain one carries our secret. */
const CLIENT_AUTHORIZATION = "x-hawser-authorization";

/** One request to the internal API, as far as all its answers need it. */
interface Call {
  readonly res: HttpResponse;
  readonly method: string;
  readonly requestId: string;
  readonly startedAt: number;
  /** The session that the path names, "" for none. */
  tokenRef: string;
}

/**
 * The internal API: health and metrics, sessions, the forward path of the API server.
 *
 * @see docs/internal-api.md
 */
class InternalApi {
  readonly secret: InternalSecret;
  readonly ids = new RequestIds();
  readonly #context: RelayContext;
  readonly #fields = new RequestFields();
  #prefix = "";
  /** Takes one field of a request to forward. Our secret ends here; the device sees what the client itself sent. */
  readonly #addField = (name: string, value: string): void => {
    if (name === CLIENT_AUTHORIZATION) this.#fields.add("authorization", value);
    else if (name === "x-forwarded-prefix") this.#prefix = value;
    else if (name !== "authorization") this.#fields.add(name, value);
  };

  constructor(context: RelayContext) {
    this.#context = context;
    this.secret = new InternalSecret(context.options.internalSecret);
  }

  handle(res: HttpResponse, req: HttpRequest): void {
    const url = req.getUrl();
    const call: Call = {
      res,
      method: req.getCaseSensitiveMethod(),
      requestId: this.ids.accept(req.getHeader("x-request-id")),
      startedAt: this.#context.clock.now(),
      tokenRef: "",
    };
    const fields = this.#fields;
    fields.reset();
    this.#prefix = "";
    req.forEach(this.#addField);
    fields.finish();
    if (fields.unframed && fields.problem !== null) {
      this.#refuseUnframed(call, fields.problem);
    } else if (url === "/healthz" || url === "/readyz") {
      this.#health(call, url === "/readyz");
    } else if (!this.secret.accepts(req.getHeader("authorization"))) {
      this.#refuse(call, relayError("ERR_RELAY_UNAUTHORIZED"));
    } else if (url === "/metrics") {
      this.#metrics(call);
    } else if (url === "/internal/sessions") {
      this.#sessions(call, req.getQuery() ?? "");
    } else if (url === "/internal/changes") {
      this.#changes(call);
    } else if (url.startsWith(SESSION_PREFIX)) {
      this.#session(call, req, url);
    } else if (url.startsWith(DEVICE_PREFIX)) {
      this.#device(call, req, url);
    } else {
      this.#refuse(call, relayError("ERR_RELAY_NOT_FOUND"));
    }
  }

  /** Open to all, and not logged: it is asked every few seconds. */
  #health(call: Call, ready: boolean): void {
    const { res, requestId } = call;
    const isHead = call.method === "HEAD";
    if (!isHead && call.method !== "GET") {
      answerProblem(res, relayError("ERR_RELAY_METHOD"), requestId, false, "GET, HEAD");
    } else if (ready && this.#context.draining) {
      answerProblem(res, relayError("ERR_RELAY_DRAINING", { retryAfter: 1 }), requestId, isHead);
    } else {
      writeHead(res, "text/plain");
      endAnswer(res, ready ? "ready\n" : "ok\n", isHead);
    }
  }

  #metrics(call: Call): void {
    if (!this.#isRead(call)) return;
    let aborted = false;
    call.res.onAborted(() => {
      aborted = true;
    });
    const { metrics, log } = this.#context;
    metrics
      .render()
      .then(({ contentType, text }) => {
        if (aborted) return;
        call.res.cork(() => {
          writeText(call.res, contentType, text, call.method === "HEAD");
        });
        this.#record(call, 200, null, text.length);
      })
      .catch((error: unknown) => {
        log.error({ err: error }, "metrics cannot be rendered");
        if (!aborted) call.res.cork(() => this.#refuse(call, relayError("ERR_RELAY_INTERNAL")));
      });
  }

  #sessions(call: Call, queryText: string): void {
    if (!this.#isRead(call)) return;
    const query = new URLSearchParams(queryText);
    const devices = query.get("devices");
    if (devices !== null) {
      this.#sessionsOf(call, devices.split(","), query.size);
      return;
    }
    const limitText = query.get("limit") ?? String(SESSION_PAGE_DEFAULT);
    const limit = /^[1-9]\d{0,5}$/.test(limitText) ? Number(limitText) : 0;
    if (limit < 1 || limit > SESSION_PAGE_MAX) {
      this.#refuse(call, relayError("ERR_RELAY_BAD_QUERY"));
      return;
    }
    const listing = new SessionListing(
      this.#context.store,
      limit,
      query.get("cursor"),
      query.get("user_id"),
    );
    try {
      listing.begin();
    } catch (error) {
      if (!(error instanceof AppError) || error.code !== "ERR_SESSION_CURSOR_INVALID") throw error;
      this.#refuse(call, relayError("ERR_RELAY_BAD_QUERY"));
      return;
    }
    listing.send(call.res, call.method === "HEAD", (bytes) => this.#record(call, 200, null, bytes));
  }

  /** `?devices=`, which no other parameter goes with: the sessions of these devices. */
  #sessionsOf(call: Call, ids: readonly string[], parameters: number): void {
    if (parameters > 1 || ids.length > SESSION_DEVICES_MAX || !ids.every(isDeviceId)) {
      this.#refuse(call, relayError("ERR_RELAY_BAD_QUERY"));
      return;
    }
    const { store } = this.#context;
    const sessions = [...new Set(ids)].flatMap((id) => store.findDevice(id)?.summary() ?? []);
    const page: SessionPage = { sessions, total: sessions.length };
    this.#answer(call, page);
  }

  /** `/internal/session/<ref>` and what is below it. */
  #session(call: Call, req: HttpRequest, url: string): void {
    const slash = url.indexOf("/", SESSION_PREFIX.length);
    const ref = unescaped(url.slice(SESSION_PREFIX.length, slash < 0 ? url.length : slash));
    // Never logged before this check: somebody may have put a whole token there.
    if (!isTokenRef(ref, "device")) {
      this.#refuse(call, relayError("ERR_RELAY_BAD_REFERENCE"));
      return;
    }
    call.tokenRef = ref;
    const rest = slash < 0 ? "" : url.slice(slash + 1);
    if (slash < 0) this.#get(call);
    else if (rest === "close") this.#close(call, req.getQuery("drain"));
    else if (rest === "stream") this.#streamWithoutUpgrade(call);
    else if (rest.startsWith(`${FORWARD}/`)) this.#forwardBySession(call, req, rest);
    else this.#refuse(call, relayError("ERR_RELAY_NOT_FOUND"));
  }

  /** `/internal/device/<id>/forward/…`: whichever token the device uses, and waited for where it is away. */
  #device(call: Call, req: HttpRequest, url: string): void {
    const slash = url.indexOf("/", DEVICE_PREFIX.length);
    const deviceId = url.slice(DEVICE_PREFIX.length, slash < 0 ? url.length : slash);
    const rest = slash < 0 ? "" : url.slice(slash + 1);
    if (!isDeviceId(deviceId) || !rest.startsWith(`${FORWARD}/`)) {
      this.#refuse(call, relayError("ERR_RELAY_NOT_FOUND"));
      return;
    }
    const tunnel = this.#context.store.findDevice(deviceId);
    this.#forward(call, req, rest.slice(FORWARD.length), tunnel, deviceId);
  }

  #get(call: Call): void {
    if (!this.#isRead(call)) return;
    const tunnel = this.#context.store.find(call.tokenRef);
    if (tunnel === null) {
      this.#refuse(call, relayError("ERR_RELAY_NO_SESSION"));
      return;
    }
    const detail: SessionDetail = { ...tunnel.summary(), connected: tunnel.connected };
    this.#answer(call, detail);
  }

  #close(call: Call, drainText: string | undefined): void {
    if (call.method !== "POST") {
      this.#refuse(call, relayError("ERR_RELAY_METHOD"), "POST");
      return;
    }
    const drainS = drainText === undefined ? 0 : Number(drainText);
    if (drainText !== undefined && (!/^\d{1,3}$/.test(drainText) || drainS > DRAIN_S_MAX)) {
      this.#refuse(call, relayError("ERR_RELAY_BAD_QUERY"));
      return;
    }
    // Who closes a session to revoke its token must not meet it again by what the gate remembers.
    this.#context.gateMemory?.forget([call.tokenRef], []);
    const closed = disconnectTunnels(this.#context, call.tokenRef, drainS * 1_000);
    if (closed === 0) {
      this.#refuse(call, relayError("ERR_RELAY_NO_SESSION"));
      return;
    }
    this.#context.log.info({ token: call.tokenRef, drainS, closed }, "close asked");
    const answer: SessionClosed = { token: call.tokenRef, closed: true };
    this.#answer(call, answer);
  }

  /** What the API server says is good no longer, or has changed. */
  #changes(call: Call): void {
    if (call.method !== "POST") {
      this.#refuse(call, relayError("ERR_RELAY_METHOD"), "POST");
      return;
    }
    readRequestText(call.res, AUTHORIZE_REQUEST_BYTES_MAX, (text) => {
      if (text === null) {
        this.#refuse(call, relayError("ERR_RELAY_BAD_BODY"));
        return;
      }
      let aborted = false;
      call.res.onAborted(() => {
        aborted = true;
      });
      this.#takeChanges(text)
        .then((taken) => {
          if (aborted) return;
          call.res.cork(() => {
            if (taken === null) this.#refuse(call, relayError("ERR_RELAY_BAD_BODY"));
            else this.#answer(call, taken);
          });
        })
        .catch((error: unknown) => {
          this.#context.log.error({ err: error }, "changes of credentials cannot be taken");
          if (!aborted) call.res.cork(() => this.#refuse(call, relayError("ERR_RELAY_INTERNAL")));
        });
    });
  }

  /** Takes what a body says, also where its sender has left meanwhile. Null where it is none. */
  async #takeChanges(text: string): Promise<ChangesTaken | null> {
    // A relay that starts need not load it before it listens.
    const { parseCredentialChanges } = await import("../core/authorize.ts");
    const changes = parseCredentialChanges(text);
    if (changes === null) return null;
    const { revoked, changed, devices } = changes;
    const { gateMemory, log } = this.#context;
    gateMemory?.forget([...revoked, ...changed], devices);
    const closed = endRevoked(this.#context, revoked);
    const counts = { revoked: revoked.length, changed: changed.length, devices: devices.length };
    log.info({ ...counts, closed }, "credentials changed");
    return { closed };
  }

  #streamWithoutUpgrade(call: Call): void {
    if (call.method === "GET") this.#refuse(call, relayError("ERR_RELAY_UPGRADE_REQUIRED"));
    else this.#refuse(call, relayError("ERR_RELAY_METHOD"), "GET");
  }

  #forwardBySession(call: Call, req: HttpRequest, rest: string): void {
    const tunnel = this.#context.store.find(call.tokenRef);
    if (tunnel === null) this.#refuse(call, relayError("ERR_RELAY_NO_SESSION"));
    else this.#forward(call, req, rest.slice(FORWARD.length), tunnel, tunnel.deviceId);
  }

  /** One exchange with the device; the answer is the forwarder's. */
  #forward(
    call: Call,
    req: HttpRequest,
    path: string,
    tunnel: Tunnel | null,
    deviceId: string,
  ): void {
    const { res } = call;
    const fields = this.#fields;
    const query = req.getQuery();
    const target = query === undefined ? path : `${path}?${query}`;
    const prefix = this.#prefix;
    const prefixProblem = prefix === "" ? null : checkTarget(prefix);
    const problem =
      fields.problem ?? checkMethod(call.method) ?? checkTarget(target) ?? prefixProblem;
    if (problem !== null) {
      this.#refuse(call, problem);
      return;
    }
    this.#context.forwarder.forward(res, {
      tunnel,
      deviceId,
      keyId: tunnel?.tokenRef ?? "",
      front: Front.INTERNAL,
      method: call.method,
      target,
      fields,
      requestId: call.requestId,
      hop: {
        host: fields.host,
        clientAddress: peerAddress(res),
        // Whoever has the secret is believed, what the client's address and scheme are.
        proto: fields.forwardedProto === "https" ? "https" : "http",
        forwardedPrefix: prefix,
        forwardAuthorization: fields.authorization !== "",
        trustForwarded: true,
        requestId: call.requestId,
      },
    });
  }

  #isRead(call: Call): boolean {
    if (call.method === "GET" || call.method === "HEAD") return true;
    this.#refuse(call, relayError("ERR_RELAY_METHOD"), "GET, HEAD");
    return false;
  }

  #answer(call: Call, body: object): void {
    const text = JSON.stringify(body);
    writeText(call.res, "application/json", text, call.method === "HEAD");
    this.#record(call, 200, null, text.length);
  }

  #refuse(call: Call, error: HttpError, allow = ""): void {
    answerProblem(call.res, error, call.requestId, call.method === "HEAD", allow);
    this.#record(call, error.status, error, 0);
  }

  #refuseUnframed(call: Call, error: HttpError): void {
    answerUnframed(call.res, error, call.requestId, call.method === "HEAD");
    this.#record(call, error.status, error, 0);
  }

  /** Counts and logs a call that the forwarder does not. */
  #record(call: Call, status: number, error: HttpError | null, bytesOut: number): void {
    const { metrics, accessLog, clock } = this.#context;
    const { requestId, tokenRef, method } = call;
    const stage = error === null ? null : error.stage;
    const totalMs = clock.now() - call.startedAt;
    metrics.observeRequest(Front.INTERNAL, status, stage, 0, bytesOut, totalMs, totalMs);
    accessLog.request(
      Front.INTERNAL,
      requestId,
      "",
      tokenRef,
      method,
      status,
      stage,
      0,
      bytesOut,
      totalMs,
      totalMs,
    );
  }
}

/** A path segment without its percent escapes, "" where they are malformed. */
function unescaped(segment: string): string {
  if (!segment.includes("%")) return segment;
  try {
    return decodeURIComponent(segment);
  } catch {
    return "";
  }
}

function writeHead(res: HttpResponse, contentType: string): void {
  res.writeStatus(`200 OK\r\ncontent-type: ${contentType}\r\ncache-control: no-store`);
}

/** Answers 200 with an ASCII text. Call in the route handler or corked. */
function writeText(res: HttpResponse, contentType: string, text: string, isHead: boolean): void {
  writeHead(res, contentType);
  if (isHead) res.endWithoutBody(Buffer.byteLength(text));
  else res.end(text);
}
