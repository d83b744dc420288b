import { EventEmitter } from "node:events";
import type { Logger } from "pino";
import { digestsEqual, parseToken } from "../../core/token.ts";
import type {
  Caller,
  CallerGate,
  DeviceIdentity,
  GateMemory,
  TunnelGate,
  Verdict,
} from "../ports.ts";
import { AuthorizeCall } from "./authorize-call.ts";
import { AuthorizeQueue, type QueueListener } from "./authorize-queue.ts";
import { KeyChecks } from "./key-checks.ts";
import { KnownDevices, type KnownToken } from "./known-devices.ts";
import { API_GATE_DEFAULTS, type ApiGateOptions } from "./options.ts";
import { Refusals, secretName } from "./refusals.ts";
import { expiryOf, type Refusal, refusalOf, UNAUTHORIZED, unavailable } from "./verdicts.ts";

/** What the gate tells those who listen. */
export interface ApiGateEvents {
  /**
   * References of device tokens and keys that were found to be good no longer: their live tunnels are to be closed, their
   * running requests to be ended.
   */
  revoked: [refs: readonly string[]];
  /** The API server was away for too long: all live tunnels are to be closed. */
  failClosed: [];
}

const SWEEP_MS = 1_000;
/** A live token is re-checked once a minute; the round trip must not make it stale. */
const FRESH_SLACK_MS = 10_000;

/**
 * Who may connect and who may call, asked of the API server in batches and remembered.
 *
 * - An answer is fresh for a minute. A live tunnel's token and a key whose requests run are re-checked each minute, a
 *   key in use asked about each minute while it stays good; others are asked about when they are presented again.
 * - The API server is away: what was good stays good, whatever its age, until it expires; unknown tokens, keys and
 *   devices are answered 503 with `Retry-After`. With `failClosedAfterMs` nothing is good after that time.
 * - A token or key travels to the API server as reference and digest, and stays in this process otherwise.
 *
 * @see docs/internal-api.md, docs/adr/0024-authorise-by-batch.md
 */
export class ApiGate
  extends EventEmitter<ApiGateEvents>
  implements TunnelGate, CallerGate, GateMemory, QueueListener
{
  readonly #options: ApiGateOptions;
  readonly #logger: Logger;
  readonly #call: AuthorizeCall;
  readonly #queue: AuthorizeQueue;
  readonly #known: KnownDevices;
  /** Of secrets, and of device ids that are none. */
  readonly #refusals: Refusals;
  readonly #keys: KeyChecks;
  #liveRefs: () => Iterable<string> = () => [];
  #timer: unknown = null;
  #recheckAt = 0;
  #failedClosed = false;
  #closed = false;

  constructor(
    options: Pick<ApiGateOptions, "api" | "secret"> & Partial<ApiGateOptions>,
    logger: Logger,
  ) {
    super();
    const all: ApiGateOptions = { ...API_GATE_DEFAULTS, ...options };
    this.#options = all;
    this.#logger = logger;
    const { api, secret, callTimeoutMs: timeoutMs, ca } = all;
    this.#call = new AuthorizeCall({ api, secret, timeoutMs, ca });
    this.#queue = new AuthorizeQueue({
      send: (request) => this.#call.send(request),
      listener: this,
      logger,
      clock: all.clock,
      timers: all.timers,
      random: all.random,
      waitingMax: all.waitingMax,
    });
    this.#known = new KnownDevices(all.knownTokensMax, all.knownDevicesMax);
    this.#refusals = new Refusals(all.clock, all.refusedMax, all.refusedMs);
    const tenantOf = (deviceId: string): string | null => this.#known.tenantOf(deviceId);
    this.#keys = new KeyChecks(all, this.#queue, this.#refusals, tenantOf, (refs) => {
      this.#tellRevoked(refs);
    });
  }

  /**
   * Begins to re-check what lives, and asks the API server whether it is there.
   *
   * @param liveRefs references of the tokens of live tunnels and of the keys whose requests run, at the time of asking
   */
  start(liveRefs: () => Iterable<string>): void {
    this.#liveRefs = liveRefs;
    this.#recheckAt = this.#options.clock.now() + this.#options.recheckMs;
    this.#queue.ping();
    this.#schedule();
  }

  /** Asks nothing more; what waits is answered 503. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#options.timers.clear(this.#timer);
    this.#queue.close();
    await this.#call.close();
  }

  /** What it holds now: for tests and for whoever looks for a leak. */
  inspect(): { tokens: number; devices: number; keys: number; refused: number; waiting: number } {
    return {
      tokens: this.#known.tokens,
      devices: this.#known.devices,
      keys: this.#keys.size,
      refused: this.#refusals.size,
      waiting: this.#queue.size,
    };
  }

  authenticateDevice(token: string): Verdict<DeviceIdentity> | Promise<Verdict<DeviceIdentity>> {
    const parsed = parseToken(token);
    if (!parsed.ok || parsed.kind !== "device") return UNAUTHORIZED;
    const { ref, secretDigest: digest } = parsed;
    const known = this.#goodToken(ref, digest);
    if (known !== null && (this.#queue.away || this.#isFresh(known.checkedAt))) {
      return { ok: true, value: known.identity };
    }
    const refused = this.#refusals.find(secretName(ref, digest));
    if (refused !== null) return refused;
    return this.#queue.away ? this.#unavailable() : this.#askToken(ref, digest);
  }

  knowsDevice(deviceId: string): boolean {
    const device = this.#known.device(deviceId);
    return device !== undefined && (this.#queue.away || this.#isFresh(device.checkedAt));
  }

  lookUpDevice(deviceId: string): Verdict<boolean> | Promise<Verdict<boolean>> {
    if (this.knowsDevice(deviceId)) return { ok: true, value: true };
    if (this.#refusals.find(deviceId) !== null) return { ok: true, value: false };
    return this.#askDevice(deviceId);
  }

  authenticateCaller(key: string): Verdict<Caller> | Promise<Verdict<Caller>> {
    return this.#keys.authenticate(key);
  }

  forget(refs: readonly string[], deviceIds: readonly string[]): void {
    for (const ref of refs) {
      this.#known.forgetToken(ref);
      this.#keys.forget(ref);
    }
    for (const deviceId of deviceIds) this.#known.forgetDevice(deviceId);
    // There are few, and not all of them can be found by what has changed.
    this.#refusals.clear();
    this.#queue.forget(new Set([...refs, ...deviceIds]));
  }

  queueOnRechecked(good: readonly string[], revoked: readonly string[]): void {
    const now = this.#options.clock.now();
    for (const ref of good) this.#known.confirm(ref, now);
    if (revoked.length === 0) return;
    for (const ref of revoked) {
      this.#known.forgetToken(ref);
      this.#keys.forget(ref);
    }
    this.#tellRevoked(revoked);
  }

  queueOnBack(): void {
    this.#failedClosed = false;
    // Revocations may have been missed.
    this.#recheck();
  }

  #tellRevoked(refs: readonly string[]): void {
    if (this.#closed) return;
    this.#logger.info({ count: refs.length }, "tokens or keys in use are good no longer");
    this.emit("revoked", refs);
  }

  #unavailable(): Refusal {
    return unavailable(this.#queue.retryAfterS);
  }

  #isFresh(checkedAt: number): boolean {
    const { clock, recheckMs } = this.#options;
    return clock.now() - checkedAt < recheckMs + FRESH_SLACK_MS;
  }

  #goodToken(ref: string, digest: string): KnownToken | null {
    const known = this.#known.token(ref);
    if (known === undefined || !digestsEqual(known.digest, digest)) return null;
    if (known.expiresAt > this.#options.wallNow()) return known;
    this.#known.forgetToken(ref);
    return null;
  }

  async #askToken(ref: string, digest: string): Promise<Verdict<DeviceIdentity>> {
    const outcome = await this.#queue.ask("tokens", ref, digest);
    // What was known may have been forgotten meanwhile.
    const known = this.#goodToken(ref, digest);
    if (!outcome.answered) {
      return known === null ? this.#unavailable() : { ok: true, value: known.identity };
    }
    const { reply } = outcome;
    if (!reply.ok) {
      const refusal = refusalOf(reply);
      if (known !== null && refusal.status !== 429) this.queueOnRechecked([], [ref]);
      return this.#refusals.add(secretName(ref, digest), refusal);
    }
    const identity = { deviceId: reply.device_id, tokenRef: ref, userId: reply.user_id };
    this.#known.putToken({
      digest,
      identity,
      tenantId: reply.tenant_id,
      expiresAt: expiryOf(reply.expires_at),
      checkedAt: this.#options.clock.now(),
    });
    return { ok: true, value: identity };
  }

  async #askDevice(deviceId: string): Promise<Verdict<boolean>> {
    const outcome = await this.#queue.ask("devices", deviceId, "");
    if (!outcome.answered) {
      const known = this.#known.device(deviceId) !== undefined;
      return known ? { ok: true, value: true } : this.#unavailable();
    }
    if (outcome.reply === null) {
      this.#known.forgetDevice(deviceId);
      this.#refusals.add(deviceId, UNAUTHORIZED);
      return { ok: true, value: false };
    }
    const { tenant_id: tenantId } = outcome.reply;
    this.#known.putDevice(deviceId, { tenantId, checkedAt: this.#options.clock.now() });
    return { ok: true, value: true };
  }

  #schedule(): void {
    if (this.#closed) return;
    this.#timer = this.#options.timers.set(() => {
      this.#sweep();
      this.#schedule();
    }, SWEEP_MS);
  }

  #sweep(): void {
    const { clock, failClosedAfterMs } = this.#options;
    this.#keys.sweep();
    if (clock.now() >= this.#recheckAt) this.#recheck();
    if (failClosedAfterMs > 0 && this.#queue.away && this.#queue.awayMs >= failClosedAfterMs) {
      this.#failClosed();
    }
  }

  /** Re-checks what lives; with nothing alive the call says that the API server is there. */
  #recheck(): void {
    this.#recheckAt = this.#options.clock.now() + this.#options.recheckMs;
    if (this.#queue.away) return;
    this.#queue.recheck(this.#liveRefs());
    this.#queue.ping();
  }

  #failClosed(): void {
    if (this.#failedClosed) return;
    this.#failedClosed = true;
    this.#known.clearTokens();
    this.#keys.clear();
    this.#logger.error("the API server was away for too long: nothing is good until it is back");
    this.emit("failClosed");
  }
}
