import type {
  HttpRequest,
  HttpResponse,
  TemplatedApp,
  us_socket_context_t,
  WebSocket,
} from "uWebSockets.js";
import { assert } from "../core/assert.ts";
import type { HttpError } from "../core/errors.ts";
import { RequestIds } from "../core/request-ids.ts";
import { agentVersionOf } from "../core/version.ts";
import type { RelayContext } from "./context.ts";
import type { DeviceFight } from "./device-fights.ts";
import { deviceOfHost } from "./device-selector.ts";
import { relayError } from "./errors.ts";
import { HandshakeFields } from "./handshake-fields.ts";
import { framingProblem } from "./http1/index.ts";
import { PacedTasks } from "./paced-tasks.ts";
import type { PeerAddresses } from "./peer-address.ts";
import type { DeviceIdentity, Verdict } from "./ports.ts";
import { answerProblem, answerUnframed } from "./problem.ts";
import { Tunnel } from "./tunnel.ts";

const PATH = "/tunnel/connect";
/** Tunnels let in by one turn of the event loop once the gate has answered: about a millisecond of it. */
const LATE_PER_TURN = 16;
/** As devices write it: found without a pattern. */
const PLAIN_BEARER = "Bearer ";
const BEARER = /^Bearer +([^ ]+) *$/i;

/** uWS closes a WebSocket that is silent so long; yamux's own keepalive is much shorter. */
const IDLE_TIMEOUT_S = 120;

/** What a handshake carries until its token is checked. */
interface Handshake {
  readonly address: string;
  readonly webSocketKey: string;
  readonly userAgent: string;
  readonly socketContext: us_socket_context_t;
}

/** What the WebSocket of a tunnel carries. */
interface TunnelSocket {
  tunnel?: Tunnel;
}

/**
 * Given to uWS with each upgrade. It copies each property, one by one, and would keep what nobody needs once the tunnel
 * is open: identity and handshake reach `#open`, which runs right after `upgrade`, by way of fields.
 */
const NO_USER_DATA: TunnelSocket = {};

/** Registers `GET /tunnel/connect`, where devices dial in. */
export function registerTunnelEndpoint(
  app: TemplatedApp,
  context: RelayContext,
  peers: PeerAddresses,
): void {
  new TunnelEndpoint(context, peers).register(app);
}

class TunnelEndpoint {
  readonly #context: RelayContext;
  readonly #peers: PeerAddresses;
  readonly #ids = new RequestIds();
  readonly #fields = new HandshakeFields();
  /** The handshake that is upgraded this moment, and whose it is. */
  #upgrading: Handshake | null = null;
  #identity: DeviceIdentity | null = null;
  /** True while a late verdict is acted on, and the WebSocket that it opened. */
  #isLate = false;
  #lateSocket: WebSocket<TunnelSocket> | null = null;
  readonly #lateVerdicts = new PacedTasks(LATE_PER_TURN);

  constructor(context: RelayContext, peers: PeerAddresses) {
    this.#context = context;
    this.#peers = peers;
  }

  register(app: TemplatedApp): void {
    const { muxOptions, uws } = this.#context;
    // Compiled now: what V8 allocates for that must not fall into a late upgrade, see #decideLate.
    this.#isLate = true;
    this.#onOpen(null);
    this.#isLate = false;
    app.ws<TunnelSocket>(PATH, {
      compression: uws.DISABLED,
      sendPingsAutomatically: false,
      idleTimeout: IDLE_TIMEOUT_S,
      // A Go peer sends a whole window as one frame and its payload as one message.
      maxPayloadLength: Math.max(1 << 20, muxOptions.maxWindowBytes + 65_536),
      // Far above our own high-water mark: a drop would be a hole in the byte stream.
      maxBackpressure: 16 << 20,
      closeOnBackpressureLimit: true,
      upgrade: (res, req, socketContext) => this.#upgrade(res, req, socketContext),
      open: this.#onOpen,
      message: (ws, message, isBinary) => {
        ws.getUserData().tunnel?.webSocketOnMessage(message, isBinary);
      },
      drain: (ws) => ws.getUserData().tunnel?.webSocketOnDrain(),
      close: (ws, code) => {
        if (this.#lateSocket === ws) {
          this.#lateSocket = null;
          this.#peers.upgraded();
        }
        ws.getUserData().tunnel?.webSocketOnClose(code);
      },
    });
    app.any(PATH, (res, req) => {
      if (this.#isOfDevice(req)) {
        req.setYield(true);
        return;
      }
      const isHead = req.getCaseSensitiveMethod() === "HEAD";
      if (this.#refuseUnframed(res, req, isHead)) return;
      this.#refuse(res, relayError("ERR_RELAY_UPGRADE_REQUIRED"), isHead);
    });
  }

  /** On a device's host this path is the device's own: the edge answers. */
  #isOfDevice(req: HttpRequest): boolean {
    const { edgeDomain } = this.#context.options;
    return edgeDomain !== null && deviceOfHost(req.getHeader("host"), edgeDomain) !== "";
  }

  #upgrade(res: HttpResponse, req: HttpRequest, socketContext: us_socket_context_t): void {
    if (this.#isOfDevice(req)) {
      req.setYield(true);
      return;
    }
    const fields = this.#fields;
    fields.read(req);
    if (fields.namesBody && this.#refuseUnframed(res, req, false)) return;
    const peer = this.#peers.of(res);
    const address = this.#context.clientAddress.clientOf(peer, fields.forwardedFor);
    const refusal = this.#refusal(fields.origin, address);
    if (refusal !== null) {
      this.#refuse(res, refusal);
      return;
    }
    const { webSocketKey, userAgent } = fields;
    const handshake: Handshake = { address, webSocketKey, userAgent, socketContext };
    const token = this.#token(fields.authorization, req);
    const verdict =
      token === "" ? UNAUTHORIZED : this.#context.tunnelGate.authenticateDevice(token);
    if (verdict instanceof Promise) this.#await(res, handshake, token, verdict);
    else this.#decide(res, handshake, verdict);
  }

  /** Decides when the verdict is there. A batch of the gate settles hundreds at once: they are let in some a turn. */
  #await(
    res: HttpResponse,
    handshake: Handshake,
    token: string,
    verdict: Promise<Verdict<DeviceIdentity>>,
  ): void {
    const { tunnelGate, log } = this.#context;
    let aborted = false;
    res.onAborted(() => {
      aborted = true;
    });
    const decide = (late: Verdict<DeviceIdentity>): void => {
      this.#lateVerdicts.push((hasWaited) => {
        if (aborted) return;
        // What the gate knew may have changed while this one waited for its turn: the token may be revoked.
        const now = hasWaited && late.ok ? tunnelGate.authenticateDevice(token) : late;
        if (now instanceof Promise) settle(now);
        else this.#decideLate(res, handshake, now);
      });
    };
    const settle = (asked: Promise<Verdict<DeviceIdentity>>): void => {
      asked.then(decide, (error: unknown) => {
        log.error({ err: error }, "the tunnel gate failed");
        decide({ ok: false, status: 503, code: "ERR_RELAY_GATE_UNAVAILABLE", retryAfter: 1 });
      });
    };
    settle(verdict);
  }

  /** What is refused before any token is looked at. */
  #refusal(origin: string, address: string): HttpError | null {
    const { draining } = this.#context;
    if (draining) return relayError("ERR_RELAY_DRAINING", { retryAfter: 1 });
    if (origin !== "") return relayError("ERR_RELAY_ORIGIN");
    const admission = this.#context.handshakes.admit(address);
    return admission.ok ? null : relayError(admission.code, { retryAfter: admission.retryAfter });
  }

  #token(authorization: string, req: HttpRequest): string {
    const token = bearerOf(authorization);
    if (token !== "") return token;
    return this.#context.options.allowQueryToken ? (req.getQuery("token") ?? "") : "";
  }

  #decide(res: HttpResponse, handshake: Handshake, verdict: Verdict<DeviceIdentity>): void {
    if (!verdict.ok) {
      if (verdict.status === 401) this.#context.handshakes.recordFailure(handshake.address);
      const code = CODES[verdict.status];
      this.#refuse(res, relayError(code, { retryAfter: verdict.retryAfter }));
      return;
    }
    const identity = verdict.value;
    const { store, options } = this.#context;
    const live = store.findDevice(identity.deviceId) !== null;
    if (!live && store.size >= options.tunnelsMax) {
      const error = relayError("ERR_RELAY_OVERLOADED", { retryAfter: 30 });
      this.#refuse(res, error);
      return;
    }
    const waitMs = live ? this.#context.fights.delayMs(identity.deviceId) : 0;
    if (waitMs > 0) {
      const retryAfter = Math.ceil(waitMs / 1_000);
      this.#refuse(res, relayError("ERR_RELAY_LIMITED", { retryAfter }));
      return;
    }
    this.#upgrading = handshake;
    this.#identity = identity;
    res.upgrade(NO_USER_DATA, handshake.webSocketKey, "", "", handshake.socketContext);
  }

  /**
   * Decides outside the route handler. The tunnel is made once `cork` has returned: where uWS finds the upgraded socket at the
   * address of before, it still looks for the state of the HTTP response there. The adapted copy keeps that; otherwise it is
   * memory that the upgrade has freed, and whatever is allocated meanwhile may read as "close this connection".
   *
   * @see docs/adr/0002-uwebsockets-package-and-glibc.md
   */
  #decideLate(res: HttpResponse, handshake: Handshake, verdict: Verdict<DeviceIdentity>): void {
    this.#isLate = true;
    res.cork(() => this.#decide(res, handshake, verdict));
    this.#isLate = false;
    const ws = this.#lateSocket;
    this.#lateSocket = null;
    if (ws !== null) {
      this.#open(ws);
    } else if (this.#identity !== null) {
      const { deviceId, tokenRef } = this.#identity;
      this.#context.log.warn({ device: deviceId, token: tokenRef }, "tunnel lost as it opened");
      this.#upgrading = null;
      this.#identity = null;
    }
  }

  #refuse(res: HttpResponse, error: HttpError, isHead = false): void {
    const requestId = this.#ids.next();
    this.#recordRefusal(error, requestId);
    answerProblem(res, error, requestId, isHead);
  }

  /** True where the request's end is not known for sure, and it was refused for that. */
  #refuseUnframed(res: HttpResponse, req: HttpRequest, isHead: boolean): boolean {
    const error = framingProblem(req);
    if (error === null) return false;
    const requestId = this.#ids.next();
    this.#recordRefusal(error, requestId);
    answerUnframed(res, error, requestId, isHead);
    return true;
  }

  #recordRefusal(error: HttpError, requestId: string): void {
    this.#context.metrics.handshakeRefused(error.status);
    this.#context.tunnelLog.refused(error.code, error.status, requestId);
  }

  /** Does as little as can be: it may run inside {@link TunnelEndpoint.#decideLate}'s `cork`. */
  readonly #onOpen = (ws: WebSocket<TunnelSocket> | null): void => {
    if (this.#isLate) this.#lateSocket = ws;
    else if (ws !== null) this.#open(ws);
  };

  #open(ws: WebSocket<TunnelSocket>): void {
    this.#peers.upgraded();
    const { store, metrics, log, tunnelLog, forwarder } = this.#context;
    const handshake = this.#upgrading;
    const identity = this.#identity;
    this.#upgrading = null;
    this.#identity = null;
    assert(handshake !== null && identity !== null, "a WebSocket opens right after its upgrade");
    const { address, userAgent } = handshake;
    const tunnel = new Tunnel(this.#context, identity, address, ws as never);
    ws.getUserData().tunnel = tunnel;
    const displaced = store.register(tunnel);
    const fight = displaced > 0 ? this.#context.fights.recordReplacement(identity.deviceId) : null;
    if (fight !== null) log.warn(fight, "connections fight over one device");
    metrics.tunnelOpened();
    tunnelLog.opened(identity.deviceId, identity.tokenRef, address, displaced);
    this.#report(tunnel, userAgent, displaced > 0, fight);
    forwarder.tunnelOnReady(tunnel);
  }

  #report(tunnel: Tunnel, userAgent: string, replaced: boolean, fight: DeviceFight | null): void {
    const listener = this.#context.tunnelListener;
    if (listener === null) return;
    const at = new Date(tunnel.connectedAt).toISOString();
    const about = { token: tunnel.tokenRef, device_id: tunnel.deviceId, at };
    listener.tunnelOnEvent({
      kind: "opened",
      ...about,
      remote_addr: tunnel.remoteAddrText,
      agent_version: agentVersionOf(userAgent),
      replaced,
    });
    if (fight === null) return;
    listener.tunnelOnEvent({ kind: "fight", ...about, replacements: fight.replacements });
  }
}

/** The token of an Authorization field; "" for none. */
function bearerOf(authorization: string): string {
  const { length } = PLAIN_BEARER;
  if (authorization.startsWith(PLAIN_BEARER) && authorization.indexOf(" ", length) === -1) {
    return authorization.slice(length);
  }
  return BEARER.exec(authorization)?.[1] ?? "";
}

const CODES = {
  401: "ERR_RELAY_UNAUTHORIZED",
  403: "ERR_RELAY_FORBIDDEN",
  429: "ERR_RELAY_LIMITED",
  503: "ERR_RELAY_GATE_UNAVAILABLE",
} as const;

const UNAUTHORIZED: Verdict<never> = {
  ok: false,
  status: 401,
  code: "ERR_RELAY_UNAUTHORIZED",
  retryAfter: 0,
};
