import { SESSION_PAGE_MAX, type SessionSummary } from "../../core/contract.ts";
import type { ApiContext } from "../context.ts";
import { RelayCallError } from "../relay-client-errors.ts";
import type { LiveState } from "./shapes.ts";

/** Live tunnels by device id. */
export type SessionsByDevice = ReadonlyMap<string, SessionSummary>;

/** In place of the sessions of an owner that has more than are worth fetching for a page of devices. */
const MANY = Symbol("many");

type Answered = SessionsByDevice | typeof MANY | null;

interface Snapshot {
  readonly takenAt: number;
  /** Null where the relay could not be asked. */
  readonly sessions: SessionsByDevice | null;
}

/** Owners that are asked about one by one; for more the relay is asked for everything at once. */
const OWNERS_APART_MAX = 8;
/** Sessions that are kept in all. Where one listing has more, the relay is asked for the page's devices by their ids. */
const SESSIONS_KEPT_MAX = 20_000;
/** Snapshots that are kept; one without a session counts too. */
const SNAPSHOTS_MAX = 1_000;
/** How long it is remembered that an owner has so many. */
const MANY_KEPT_MS = 60_000;
/** Stands for all owners. No user id is empty. */
const EVERYBODY = "";

/**
 * What the relay says of the devices of a listing. A page costs a call for each of its owners, of whom there is mostly
 * one, and not a call for each device. Answers are kept for a moment, and asked for once however many wait for them.
 */
export class LiveSessions {
  readonly #context: Pick<ApiContext, "relay" | "logger" | "now">;
  readonly #keptMs: number;
  readonly #timeoutMs: number;
  /** By owner, in the order in which they were taken. */
  readonly #snapshots = new Map<string, Snapshot>();
  readonly #asking = new Map<string, Promise<Answered>>();
  /** When each owner was found to have many. */
  readonly #many = new Map<string, number>();
  #sessionsKept = 0;

  constructor(
    context: Pick<ApiContext, "relay" | "logger" | "now">,
    options: { readonly liveKeptMs: number; readonly liveTimeoutMs: number },
  ) {
    this.#context = context;
    this.#keptMs = options.liveKeptMs;
    this.#timeoutMs = options.liveTimeoutMs;
  }

  /** Sessions in the snapshots that are kept. */
  get sessionsKept(): number {
    return this.#sessionsKept;
  }

  /**
   * The live tunnels of these devices, and maybe of others; null where the relay cannot be asked.
   *
   * @param owners those of the devices
   */
  async of(ids: readonly string[], owners: ReadonlySet<string>): Promise<SessionsByDevice | null> {
    this.#dropOld();
    const asked = owners.size > OWNERS_APART_MAX ? [EVERYBODY] : [...owners];
    const found = await Promise.all(asked.map((owner) => this.#sessionsOf(owner)));
    if (found.includes(null)) return null;
    const all = new Map<string, SessionSummary>();
    for (const sessions of found) {
      if (sessions === null || sessions === MANY) return await this.#ofDevices(ids);
      for (const [deviceId, session] of sessions) all.set(deviceId, session);
    }
    return all;
  }

  async #ofDevices(ids: readonly string[]): Promise<SessionsByDevice | null> {
    try {
      const signal = AbortSignal.timeout(this.#timeoutMs);
      return byDevice(await this.#context.relay.listOfDevices(ids, { signal }));
    } catch (error) {
      this.#logAway(error);
      return null;
    }
  }

  /** The live tunnel of one device, asked for now by its good tokens. */
  async ofTokens(refs: readonly string[]): Promise<LiveState> {
    const signal = AbortSignal.timeout(this.#timeoutMs);
    for (const ref of refs) {
      try {
        return await this.#context.relay.get(ref, { signal });
      } catch (error) {
        if (isNoSession(error)) continue;
        this.#logAway(error);
        return null;
      }
    }
    return false;
  }

  /** Tunnels were closed: the next listing asks anew. */
  forget(): void {
    this.#snapshots.clear();
    this.#sessionsKept = 0;
    this.#asking.clear();
  }

  async #sessionsOf(owner: string): Promise<Answered> {
    if (this.#hasMany(owner)) return MANY;
    const known = this.#snapshots.get(owner);
    if (known !== undefined) return known.sessions;
    const asking = this.#asking.get(owner);
    if (asking !== undefined) return await asking;
    const asked = this.#ask(owner);
    this.#asking.set(owner, asked);
    const sessions = await asked;
    // Not after `forget`: the answer may be from before what it was called for.
    if (this.#asking.get(owner) === asked) {
      this.#asking.delete(owner);
      this.#keep(owner, sessions);
    }
    return sessions;
  }

  async #ask(owner: string): Promise<Answered> {
    const { relay } = this.#context;
    const signal = AbortSignal.timeout(this.#timeoutMs);
    const query = {
      limit: SESSION_PAGE_MAX,
      signal,
      ...(owner === EVERYBODY ? {} : { userId: owner }),
    };
    const sessions: SessionSummary[] = [];
    try {
      for (let cursor: string | undefined; ; ) {
        const page = await relay.list(cursor === undefined ? query : { ...query, cursor });
        if (page.total > SESSIONS_KEPT_MAX) return MANY;
        sessions.push(...page.sessions);
        cursor = page.next;
        if (cursor === undefined || sessions.length > SESSIONS_KEPT_MAX) return byDevice(sessions);
      }
    } catch (error) {
      this.#logAway(error);
      return null;
    }
  }

  #hasMany(owner: string): boolean {
    const foundAt = this.#many.get(owner);
    if (foundAt === undefined) return false;
    const age = this.#context.now() - foundAt;
    if (age >= 0 && age < MANY_KEPT_MS) return true;
    this.#many.delete(owner);
    return false;
  }

  #keep(owner: string, sessions: Answered): void {
    if (sessions === MANY) {
      if (this.#many.size >= SNAPSHOTS_MAX) this.#many.clear();
      this.#many.set(owner, this.#context.now());
      return;
    }
    const size = sessions?.size ?? 0;
    if (size > SESSIONS_KEPT_MAX) return;
    for (const [first, snapshot] of this.#snapshots) {
      const hasRoom =
        this.#sessionsKept + size <= SESSIONS_KEPT_MAX && this.#snapshots.size < SNAPSHOTS_MAX;
      if (hasRoom) break;
      this.#drop(first, snapshot);
    }
    this.#snapshots.set(owner, { takenAt: this.#context.now(), sessions });
    this.#sessionsKept += size;
  }

  #dropOld(): void {
    const now = this.#context.now();
    for (const [owner, snapshot] of this.#snapshots) {
      // A clock that was set back makes no snapshot good for longer.
      const age = now - snapshot.takenAt;
      if (age >= 0 && age < this.#keptMs) return;
      this.#drop(owner, snapshot);
    }
  }

  #drop(owner: string, { sessions }: Snapshot): void {
    this.#snapshots.delete(owner);
    this.#sessionsKept -= sessions?.size ?? 0;
  }

  #logAway(error: unknown): void {
    if (!(error instanceof RelayCallError)) throw error;
    const { code } = error;
    this.#context.logger.warn({ code }, "the relay cannot be asked who is connected");
  }
}

function byDevice(sessions: readonly SessionSummary[]): SessionsByDevice {
  return new Map(sessions.map((session) => [session.device_id, session]));
}

/** Whether the relay says that it has no such session. */
export function isNoSession(error: unknown): boolean {
  return error instanceof RelayCallError && error.code === "ERR_RELAY_CLIENT_SESSION_NOT_FOUND";
}
