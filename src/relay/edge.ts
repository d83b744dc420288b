import type { HttpRequest, HttpResponse, TemplatedApp } from "uWebSockets.js";
import { HttpError } from "../core/errors.ts";
import { RequestIds } from "../core/request-ids.ts";
import type { RelayContext } from "./context.ts";
import { type DeviceSelection, selectDevice } from "./device-selector.ts";
import { relayError } from "./errors.ts";
import { type ForwardRoute, Front } from "./forward.ts";
import { checkMethod, checkTarget, RequestFields } from "./http1/index.ts";
import type { PeerAddresses } from "./peer-address.ts";
import type { Caller, Verdict } from "./ports.ts";
import { answerProblem, answerUnframed } from "./problem.ts";
import type { Tunnel } from "./tunnel.ts";

/** Registers the edge: everything on the public listener that is not `/tunnel/connect`. */
export function registerEdge(app: TemplatedApp, context: RelayContext, peers: PeerAddresses): void {
  const edge = new Edge(context, peers);
  app.any("/*", (res, req) => edge.handle(res, req));
}

/** The public HTTP front: finds the device, checks the key, hands the request to the forwarder. */
class Edge {
  readonly #context: RelayContext;
  readonly #peers: PeerAddresses;
  readonly #fields = new RequestFields({ ofStranger: true });
  readonly #ids = new RequestIds();
  readonly #secure: boolean;

  constructor(context: RelayContext, peers: PeerAddresses) {
    this.#context = context;
    this.#peers = peers;
    this.#secure = context.options.tlsCertFile !== null;
  }

  handle(res: HttpResponse, req: HttpRequest): void {
    const fields = this.#fields;
    fields.reset();
    req.forEach(fields.add);
    fields.finish();
    const requestId = this.#ids.accept(fields.requestId);
    if (fields.problem !== null) {
      this.#refuse(res, req, fields.problem, requestId);
      return;
    }
    if (fields.upgrade !== "" && WEBSOCKET.test(fields.upgrade)) {
      this.#refuse(res, req, relayError("ERR_RELAY_UPGRADE"), requestId);
      return;
    }
    const { options } = this.#context;
    const selection = selectDevice(
      req.getUrl(),
      fields.host,
      fields.deviceSelector,
      options.edgeDomain,
    );
    if (selection.error !== null) {
      this.#refuse(res, req, relayError(selection.error), requestId);
      return;
    }
    // Without a "?" uWS says undefined; a bare "?" is passed on as it came.
    const query: string | undefined = req.getQuery();
    const target = query === undefined ? selection.path : `${selection.path}?${query}`;
    const method = req.getCaseSensitiveMethod();
    const problem = checkMethod(method) ?? checkTarget(target);
    if (problem !== null) {
      this.#refuse(res, req, problem, requestId);
      return;
    }
    const { deviceId } = selection;
    const tunnel = this.#context.store.findDevice(deviceId);
    const verdict = this.#authenticate(fields);
    const admission =
      verdict instanceof Promise
        ? verdict.then((late) => this.#admit(late, deviceId, false))
        : this.#admit(verdict, deviceId, tunnel !== null);
    if (admission instanceof Promise) {
      const route = this.#route(res, method, selection, tunnel, target, requestId, "");
      this.#context.forwarder.forwardWhen(res, route, admission);
      return;
    }
    if (admission instanceof HttpError) {
      this.#refuse(res, req, admission, requestId, deviceId);
      return;
    }
    const { keyId } = admission;
    const route = this.#route(res, method, selection, tunnel, target, requestId, keyId);
    this.#context.forwarder.forward(res, route);
  }

  /** The key comes in `Authorization`, or in `Proxy-Authorization` when the device needs the former itself. */
  #authenticate(fields: RequestFields): Verdict<Caller> | Promise<Verdict<Caller>> {
    const field =
      fields.proxyAuthorization === "" ? fields.authorization : fields.proxyAuthorization;
    const key = bearerToken(field);
    if (key === "") return NO_CREDENTIAL;
    return this.#context.callerGate.authenticateCaller(key);
  }

  /**
   * Whether the caller may reach the device. A foreign device is answered exactly as a missing one.
   *
   * @param connected the device has a tunnel now; without one it is looked for again
   */
  #admit(
    verdict: Verdict<Caller>,
    deviceId: string,
    connected: boolean,
  ): HttpError | Caller | Promise<HttpError | Caller> {
    if (!verdict.ok) return refusalOf(verdict);
    const caller = verdict.value;
    const { limit } = caller;
    if (limit !== null) {
      const retryAfter = limit.take();
      if (retryAfter > 0) return relayError("ERR_RELAY_LIMITED", { retryAfter });
    }
    const { tunnelGate } = this.#context;
    if (connected && caller.allows(deviceId)) return caller;
    if (tunnelGate.lookUpDevice === undefined || tunnelGate.knowsDevice(deviceId)) {
      return this.#admitKnown(caller, deviceId);
    }
    const found = tunnelGate.lookUpDevice(deviceId);
    const decide = (late: Verdict<boolean>): HttpError | Caller =>
      late.ok ? this.#admitKnown(caller, deviceId) : refusalOf(late);
    return found instanceof Promise ? found.then(decide) : decide(found);
  }

  /** The same when all is known that can be known about the device. */
  #admitKnown(caller: Caller, deviceId: string): HttpError | Caller {
    const { store, tunnelGate } = this.#context;
    if (!caller.allows(deviceId)) return relayError("ERR_RELAY_NO_DEVICE");
    const known = store.findDevice(deviceId) !== null || tunnelGate.knowsDevice(deviceId);
    return known ? caller : relayError("ERR_RELAY_NO_DEVICE");
  }

  #route(
    res: HttpResponse,
    method: string,
    selection: DeviceSelection,
    tunnel: Tunnel | null,
    target: string,
    requestId: string,
    keyId: string,
  ): ForwardRoute {
    const fields = this.#fields;
    const { clientAddress } = this.#context;
    const peer = this.#peers.of(res);
    const trusted = clientAddress.trusts(peer);
    return {
      tunnel,
      // The tunnel's own text is the same each time: whoever compares it with the last one need not read it.
      deviceId: tunnel === null ? selection.deviceId : tunnel.deviceId,
      keyId,
      front: Front.EDGE,
      method,
      target,
      fields,
      requestId,
      hop: {
        host: fields.host,
        clientAddress: peer,
        proto: this.#secure || (trusted && fields.forwardedProto === "https") ? "https" : "http",
        forwardedPrefix: selection.prefix,
        forwardAuthorization: fields.proxyAuthorization !== "",
        trustForwarded: trusted,
        requestId,
      },
    };
  }

  /** Answers a request that never became an exchange. */
  #refuse(
    res: HttpResponse,
    req: HttpRequest,
    error: HttpError,
    requestId: string,
    deviceId = "",
  ): void {
    const { metrics, accessLog } = this.#context;
    const { status, stage } = error;
    metrics.observeRequest(Front.EDGE, status, stage, 0, 0, -1, 0);
    const method = req.getCaseSensitiveMethod();
    accessLog.request(Front.EDGE, requestId, deviceId, "", method, status, stage, 0, 0, -1, 0);
    if (this.#fields.unframed) answerUnframed(res, error, requestId, method === "HEAD");
    else answerProblem(res, error, requestId, method === "HEAD");
  }
}

/** Other upgrades, h2c for one, are ignored as RFC 9110 section 7.8 allows: the client goes on without. */
const WEBSOCKET = /(?:^|,)[ \t]*websocket[ \t]*(?:,|\/|$)/i;

const REFUSALS = {
  401: "ERR_RELAY_UNAUTHORIZED",
  403: "ERR_RELAY_FORBIDDEN",
  429: "ERR_RELAY_LIMITED",
  503: "ERR_RELAY_GATE_UNAVAILABLE",
} as const;

/** What a gate's refusal is to the caller. */
function refusalOf(verdict: Exclude<Verdict<unknown>, { ok: true }>): HttpError {
  return relayError(REFUSALS[verdict.status], { retryAfter: verdict.retryAfter });
}

const NO_CREDENTIAL: Verdict<Caller> = {
  ok: false,
  status: 401,
  code: "ERR_RELAY_UNAUTHORIZED",
  retryAfter: 0,
};

/** The token of `Bearer <token>`, or empty. */
function bearerToken(field: string): string {
  if (field.startsWith("Bearer ")) return field.slice(7).trim();
  return field.slice(0, 7).toLowerCase() === "bearer " ? field.slice(7).trim() : "";
}
