import { assert } from "../core/assert.ts";
import type { Clock } from "../core/clock.ts";
import {
  SESSION_PAGE_DEFAULT,
  SESSION_PAGE_MAX,
  type SessionPage,
  type SessionSummary,
} from "../core/contract.ts";
import { AppError } from "../core/errors.ts";
import { SessionSlots } from "./session-slots.ts";

/** Error codes of the session store. */
export const SESSION_STORE_ERRORS = {
  ERR_SESSION_NOT_FOUND: "no live session has this token",
  ERR_SESSION_CURSOR_INVALID: "the cursor is not one that a listing gave out",
} as const;

/**
 * One live tunnel as the store sees it. `Tunnel` extends this class: the store's own links are fields of the handle,
 * so that an entry costs the store three index slots and no object of its own.
 */
export abstract class SessionHandle {
  abstract readonly deviceId: string;
  /** Public reference of the token, `vAc_<id>`. */
  abstract readonly tokenRef: string;
  abstract readonly userId: string;
  /** When a byte was last received, in ms of the store's clock. Never goes back. */
  abstract readonly lastHeartbeatAt: number;
  /** Ends the tunnel now, streams included. The store has already forgotten it. Must not block. */
  abstract close(): void;
  /**
   * A newer connection of the device took over: no new streams; running ones may finish for the grace, then 4409.
   * Only starts this; must not block. The store has already forgotten this handle and knows its successor.
   */
  abstract displace(): void;
  /** Never null. */
  abstract summary(): SessionSummary;
  /** @param time ms of the store's clock */
  abstract recordHeartbeat(time: number): void;

  /** Fence: which registration of the store this is, rising; 0 before it. Kept after removal. */
  generation = 0;

  // The rest belongs to the store.
  /** Neighbours in the queue of expiry, ordered by `storeQueuedAt`. */
  storeOlder: SessionHandle | null = null;
  storeNewer: SessionHandle | null = null;
  /** The heartbeat by which this handle is queued; at most `lastHeartbeatAt`. */
  storeQueuedAt = 0;
  /** Positions in the listings of all sessions and of the user's; -1 when not registered. */
  storeSlot = -1;
  storeUserSlot = -1;
}

/** Which page of a listing. */
export interface SessionQuery {
  /** 1 to 10,000; default 1,000. */
  readonly limit?: number;
  /** `next` of the page before. */
  readonly cursor?: string;
  /** Only the sessions of this user. */
  readonly userId?: string;
}

/**
 * The live tunnels of one relay: one a device, and one a token. Everything is synchronous. Whatever a handle's
 * `close` or `displace` does, calls back into the store included, the store has finished its own change before.
 */
export interface SessionStore<H extends SessionHandle> {
  readonly size: number;
  /**
   * Makes `handle` the session of its device and of its token. Whoever held either is displaced afterwards; what its
   * displacement throws does not matter. A handle is registered once in its life.
   *
   * @returns how many sessions were displaced: 0, 1, or 2 when its device and its token had different ones
   */
  register(handle: H): number;
  /** Removes the handle, if it is still the registered one; does not close it. Otherwise false and no change. */
  unregister(handle: H): boolean;
  /** @throws AppError `ERR_SESSION_NOT_FOUND` */
  lookup(tokenRef: string): H;
  exists(tokenRef: string): boolean;
  /** The session of a token, or null. */
  find(tokenRef: string): H | null;
  /** The session of a device, or null. One Map look-up. */
  findDevice(deviceId: string): H | null;
  /** Records a heartbeat now. @throws AppError `ERR_SESSION_NOT_FOUND` */
  heartbeat(tokenRef: string): void;
  /**
   * The same for a handle at hand, without a look-up, in constant time. Harmless on one that is no longer registered.
   * A handle may note heartbeats by itself and call this once in a while: the queue of expiry may lag behind, and
   * each clean-up then looks at those in vain whose lag is all that makes them old.
   */
  touch(handle: H): void;
  /**
   * Removes and closes sessions whose last heartbeat is more than `expireAfterMs` ago. Costs time in proportion to
   * those, not to the living.
   *
   * @param limit stop after so many, to spread a mass expiry over several calls
   * @returns how many were removed
   */
  cleanupExpired(expireAfterMs: number, limit?: number): number;
  /**
   * One page of copies of the summaries. A device that is connected during a whole walk, reconnects included, is on
   * exactly one of its pages. Costs time in proportion to the page, apart from stepping over free slots.
   *
   * @throws AppError `ERR_SESSION_CURSOR_INVALID`
   */
  list(query?: SessionQuery): SessionPage;
  /** All handles, in no promised order; the store may change during the walk. */
  handles(): IterableIterator<H>;
}

/** What the in-memory store may be told. */
export interface SessionStoreOptions<H> {
  /** Hears what a `close` or `displace` threw. Must not throw. */
  readonly onCloseError?: (handle: H, error: unknown) => void;
}

/** The store of one relay process. */
export class InMemorySessionStore<H extends SessionHandle> implements SessionStore<H> {
  readonly #clock: Clock;
  readonly #onCloseError: ((handle: H, error: unknown) => void) | null;
  readonly #byDevice = new Map<string, H>();
  readonly #byToken = new Map<string, H>();
  readonly #byUser = new Map<string, SessionSlots<H>>();
  readonly #slots = new SessionSlots<H>();
  #generation = 0;
  #oldest: SessionHandle | null = null;
  #newest: SessionHandle | null = null;

  constructor(clock: Clock, options: SessionStoreOptions<H> = {}) {
    this.#clock = clock;
    this.#onCloseError = options.onCloseError ?? null;
  }

  get size(): number {
    return this.#byDevice.size;
  }

  register(handle: H): number {
    assert(handle.generation === 0, "a handle is registered once");
    const ofDevice = this.#byDevice.get(handle.deviceId) ?? null;
    const ofToken = this.#byToken.get(handle.tokenRef) ?? null;
    this.#generation += 1;
    handle.generation = this.#generation;
    if (ofToken !== null && ofToken !== ofDevice) this.#remove(ofToken);
    this.#addToListings(handle, ofDevice);
    if (ofDevice !== null) this.#remove(ofDevice);
    this.#byDevice.set(handle.deviceId, handle);
    this.#byToken.set(handle.tokenRef, handle);
    this.#enqueue(handle, handle.lastHeartbeatAt);

    let displaced = 0;
    if (ofDevice !== null) {
      displaced += 1;
      this.#end(ofDevice, "displace");
    }
    if (ofToken !== null && ofToken !== ofDevice) {
      displaced += 1;
      this.#end(ofToken, "displace");
    }
    return displaced;
  }

  unregister(handle: H): boolean {
    if (this.#byDevice.get(handle.deviceId) !== handle) return false;
    this.#remove(handle);
    return true;
  }

  lookup(tokenRef: string): H {
    const handle = this.#byToken.get(tokenRef);
    if (handle === undefined) throw sessionStoreError("ERR_SESSION_NOT_FOUND");
    return handle;
  }

  exists(tokenRef: string): boolean {
    return this.#byToken.has(tokenRef);
  }

  find(tokenRef: string): H | null {
    return this.#byToken.get(tokenRef) ?? null;
  }

  findDevice(deviceId: string): H | null {
    return this.#byDevice.get(deviceId) ?? null;
  }

  heartbeat(tokenRef: string): void {
    this.touch(this.lookup(tokenRef));
  }

  touch(handle: H): void {
    handle.recordHeartbeat(this.#clock.now());
    if (handle.storeSlot === -1) return;
    this.#dequeue(handle);
    this.#enqueue(handle, handle.lastHeartbeatAt);
  }

  cleanupExpired(expireAfterMs: number, limit = Number.POSITIVE_INFINITY): number {
    const cutoff = this.#clock.now() - expireAfterMs;
    let removed = 0;
    // The last one met that lives: it has received something since it was queued. It keeps its place.
    let living: SessionHandle | null = null;
    while (removed < limit) {
      const oldest = (living === null ? this.#oldest : living.storeNewer) as H | null;
      if (oldest === null || oldest.storeQueuedAt >= cutoff) break;
      if (oldest.lastHeartbeatAt >= cutoff) {
        living = oldest;
        continue;
      }
      this.#remove(oldest);
      removed += 1;
      this.#end(oldest, "close");
      // What was closed may have called back and moved or removed the one by which the place was kept.
      if (living !== null && (living.storeSlot === -1 || living.storeQueuedAt >= cutoff)) {
        living = null;
      }
    }
    return removed;
  }

  list(query: SessionQuery = {}): SessionPage {
    const limit = query.limit ?? SESSION_PAGE_DEFAULT;
    assert(Number.isInteger(limit) && limit >= 1 && limit <= SESSION_PAGE_MAX, "limit in range");
    const start = query.cursor === undefined ? 0 : positionOf(query.cursor);
    const slots = query.userId === undefined ? this.#slots : this.#byUser.get(query.userId);
    if (slots === undefined) return { sessions: [], total: 0 };

    const found: H[] = [];
    const position = slots.collect(start, limit, found);
    const sessions = found.map((handle) => copyOf(handle.summary()));
    const total = slots.size;
    return position === -1 ? { sessions, total } : { sessions, total, next: cursorOf(position) };
  }

  handles(): IterableIterator<H> {
    return this.#byDevice.values();
  }

  /** Takes over the places of the device's former handle, so that a walk over the pages meets the device once. */
  #addToListings(handle: H, former: H | null): void {
    if (former === null) {
      handle.storeSlot = this.#slots.add(handle);
    } else {
      handle.storeSlot = former.storeSlot;
      this.#slots.replace(handle.storeSlot, handle);
      former.storeSlot = -1;
    }
    if (former !== null && former.userId === handle.userId) {
      handle.storeUserSlot = former.storeUserSlot;
      this.#byUser.get(handle.userId)?.replace(handle.storeUserSlot, handle);
      former.storeUserSlot = -1;
      return;
    }
    let ofUser = this.#byUser.get(handle.userId);
    if (ofUser === undefined) {
      ofUser = new SessionSlots<H>();
      this.#byUser.set(handle.userId, ofUser);
    }
    handle.storeUserSlot = ofUser.add(handle);
  }

  #remove(handle: H): void {
    this.#byDevice.delete(handle.deviceId);
    this.#byToken.delete(handle.tokenRef);
    if (handle.storeSlot !== -1) this.#slots.remove(handle.storeSlot);
    handle.storeSlot = -1;
    if (handle.storeUserSlot !== -1) {
      const ofUser = this.#byUser.get(handle.userId);
      ofUser?.remove(handle.storeUserSlot);
      if (ofUser?.size === 0) this.#byUser.delete(handle.userId);
    }
    handle.storeUserSlot = -1;
    this.#dequeue(handle);
  }

  /** Puts the handle behind all that are not newer: at the end, unless a beat was recorded late. */
  #enqueue(handle: SessionHandle, queuedAt: number): void {
    let older = this.#newest;
    while (older !== null && older.storeQueuedAt > queuedAt) older = older.storeOlder;
    const newer = older === null ? this.#oldest : older.storeNewer;
    handle.storeQueuedAt = queuedAt;
    handle.storeOlder = older;
    handle.storeNewer = newer;
    if (older === null) this.#oldest = handle;
    else older.storeNewer = handle;
    if (newer === null) this.#newest = handle;
    else newer.storeOlder = handle;
  }

  #dequeue(handle: SessionHandle): void {
    const { storeOlder: older, storeNewer: newer } = handle;
    if (older === null) this.#oldest = newer;
    else older.storeNewer = newer;
    if (newer === null) this.#newest = older;
    else newer.storeOlder = older;
    handle.storeOlder = null;
    handle.storeNewer = null;
  }

  #end(handle: H, how: "close" | "displace"): void {
    try {
      handle[how]();
    } catch (error) {
      this.#onCloseError?.(handle, error);
    }
  }
}

function sessionStoreError(code: keyof typeof SESSION_STORE_ERRORS): AppError {
  return new AppError(code, SESSION_STORE_ERRORS[code]);
}

function cursorOf(position: number): string {
  return `p${position.toString(36)}`;
}

function positionOf(cursor: string): number {
  if (!/^p[0-9a-z]{1,7}$/.test(cursor)) throw sessionStoreError("ERR_SESSION_CURSOR_INVALID");
  return Number.parseInt(cursor.slice(1), 36);
}

function copyOf(summary: SessionSummary): SessionSummary {
  return {
    token: summary.token,
    user_id: summary.user_id,
    device_id: summary.device_id,
    connected_at: summary.connected_at,
    last_heartbeat: summary.last_heartbeat,
    remote_addr: summary.remote_addr,
  };
}
