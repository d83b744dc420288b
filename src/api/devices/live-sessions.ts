import type { SessionSummary } from "../../core/contract.ts";
import type { ApiContext } from "../context.ts";
import { RelayCallError } from "../relay-client-errors.ts";
import type { LiveState } from "./shapes.ts";

/** Live tunnels by device id. */
export type SessionsByDevice = ReadonlyMap<string, SessionSummary>;

interface Snapshot {
  readonly takenAt: number;
  /** Null where the relay could not be asked. */
  readonly sessions: SessionsByDevice | null;
}

/** Owners that are asked about one by one; for more the relay is asked for everything at once. */
const OWNERS_APART_MAX = 8;
/** Sessions that are kept in all. What has more is shared by those who ask at the same time, and not kept. */
const SESSIONS_KEPT_MAX = 20_000;
/** Snapshots that are kept; one without a session counts too. */
const SNAPSHOTS_MAX = 1_000;
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
  readonly #asking = new Map<string, Promise<SessionsByDevice | null>>();
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

  /** The live tunnels of devices of these owners, and maybe of others; null where the relay cannot be asked. */
  async of(owners: ReadonlySet<string>): Promise<SessionsByDevice | null> {
    this.#dropOld();
    if (owners.size > OWNERS_APART_MAX) return await this.#sessionsOf(EVERYBODY);
    const found = await Promise.all([...owners].map((owner) => this.#sessionsOf(owner)));
    const all = new Map<string, SessionSummary>();
    for (const sessions of found) {
      if (sessions === null) return null;
      for (const [deviceId, session] of sessions) all.set(deviceId, session);
    }
    return all;
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

  async #sessionsOf(owner: string): Promise<SessionsByDevice | null> {
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

  async #ask(owner: string): Promise<SessionsByDevice | null> {
    try {
      const signal = AbortSignal.timeout(this.#timeoutMs);
      const { sessions } = await this.#context.relay.list(
        owner === EVERYBODY ? { signal } : { userId: owner, signal },
      );
      return new Map(sessions.map((session) => [session.device_id, session]));
    } catch (error) {
      this.#logAway(error);
      return null;
    }
  }

  #keep(owner: string, sessions: SessionsByDevice | null): void {
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

/** Whether the relay says that it has no such session. */
export function isNoSession(error: unknown): boolean {
  return error instanceof RelayCallError && error.code === "ERR_RELAY_CLIENT_SESSION_NOT_FOUND";
}
