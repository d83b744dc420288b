import type { ProxySession, SessionStore } from "./ports.ts";

interface Kept {
  readonly session: ProxySession;
  readonly keepUntil: number;
}

/** Sessions in memory: as many as `sessionsMax`; the one saved longest ago makes room. */
export class MemorySessions implements SessionStore {
  readonly #kept = new Map<string, Kept>();
  readonly #sessionsMax: number;
  readonly #wallNow: () => number;

  constructor({ sessionsMax = 100_000, wallNow = Date.now } = {}) {
    this.#sessionsMax = sessionsMax;
    this.#wallNow = wallNow;
  }

  get size(): number {
    return this.#kept.size;
  }

  get(key: string): ProxySession | undefined {
    const kept = this.#kept.get(key);
    if (kept === undefined) return undefined;
    if (kept.keepUntil > this.#wallNow()) return kept.session;
    this.#kept.delete(key);
    return undefined;
  }

  save(key: string, session: ProxySession, keepUntil: number): void {
    const there = this.get(key);
    if (there !== undefined && there.expiresAt > session.expiresAt) return;
    this.#kept.delete(key);
    if (this.#kept.size >= this.#sessionsMax) {
      const oldest = this.#kept.keys().next();
      if (oldest.done === false) this.#kept.delete(oldest.value);
    }
    this.#kept.set(key, { session, keepUntil });
  }

  deleteIf(key: string, id: string): void {
    if (this.#kept.get(key)?.session.id === id) this.#kept.delete(key);
  }

  delete(key: string): void {
    this.#kept.delete(key);
  }
}
