import type { Answer, ProxySession, SessionStore } from "../ports.ts";
import { StoreFile } from "./store-file.ts";

/** How {@link openSessionStore} opens. */
export interface SessionStoreOptions {
  /** Stored sessions; default 100,000. The one that ends first makes room. */
  readonly sessionsMax?: number;
  /** Sessions that are remembered in memory; default 10,000. The one not used for longest makes room. */
  readonly cachedMax?: number;
  /** Milliseconds since 1970; default `Date.now`. */
  readonly wallNow?: () => number;
}

interface SessionRow {
  readonly key: string;
  readonly sealed: string;
  readonly expires_at: number;
  readonly keep_until: number;
}

interface Cached {
  readonly session: ProxySession;
  readonly keepUntil: number;
  /** End of the session as the database has it. */
  readonly storedExpiresAt: number;
}

/** A session that only lasts a little longer with each answer is written no oftener than this. */
const WRITTEN_EVERY_MS = 60_000;

/**
 * Sessions in the database of a data folder, encrypted, and in memory: one that is in use costs no look at the disk. When
 * power fails, the last ones may be lost, which costs a round of mediation.
 */
export class SqliteSessions implements SessionStore {
  readonly #file: StoreFile;
  readonly #sessionsMax: number;
  readonly #cachedMax: number;
  readonly #wallNow: () => number;
  /** The one used last is the last, once half of the places are taken. */
  readonly #cache = new Map<string, Cached>();
  /** As far as this process knows; set right by each sweep. */
  #count = 0;

  constructor(file: StoreFile, options: SessionStoreOptions) {
    this.#file = file;
    this.#sessionsMax = options.sessionsMax ?? 100_000;
    this.#cachedMax = options.cachedMax ?? 10_000;
    this.#wallNow = options.wallNow ?? Date.now;
  }

  /** Stored sessions, those that ended since the last sweep included. */
  get count(): number {
    return this.#count;
  }

  get cachedCount(): number {
    return this.#cache.size;
  }

  get(key: string): Answer<ProxySession | undefined> {
    const cached = this.#cache.get(key);
    if (cached === undefined) return this.#fetch(key);
    const isOver = cached.keepUntil <= this.#wallNow();
    // Order counts once places are short; a small map that is changed at each call would make garbage that grows old.
    if (isOver || this.#cache.size > this.#cachedMax / 2) {
      this.#cache.delete(key);
      if (isOver) return undefined;
      this.#cache.set(key, cached);
    }
    return cached.session;
  }

  save(key: string, session: ProxySession, keepUntil: number): Answer<void> {
    const cached = this.#cache.get(key);
    if (cached?.session.id === session.id && cached.keepUntil > this.#wallNow()) {
      const { storedExpiresAt } = cached;
      const isLonger = session.expiresAt >= cached.session.expiresAt;
      if (!isLonger) return;
      if (session.expiresAt - storedExpiresAt < WRITTEN_EVERY_MS) {
        this.#remember(key, { session, keepUntil, storedExpiresAt });
        return;
      }
    }
    return this.#store(key, session, keepUntil);
  }

  /** What this process or another one has saved meanwhile is not lost: the statement itself compares. */
  async deleteIf(key: string, id: string): Promise<void> {
    const mark = this.#file.box.mark(id);
    await this.#file.write((store) => {
      this.#count -= store.run("delete from sessions where key = ? and mark = ?", key, mark);
      if (this.#cache.get(key)?.session.id === id) this.#cache.delete(key);
    });
  }

  async delete(key: string): Promise<void> {
    await this.#file.write((store) => {
      this.#count -= store.run("delete from sessions where key = ?", key);
      this.#cache.delete(key);
    });
  }

  /** Forgets what is to be kept no longer, and counts what is left. */
  async sweep(): Promise<void> {
    const now = this.#wallNow();
    await this.#file.write((store) => {
      store.run("delete from sessions where keep_until <= ?", now);
      const [row] = store.rows<{ count: number }>("select count(*) as count from sessions");
      this.#count = row?.count ?? 0;
      this.#makeRoom();
    });
    for (const [key, { keepUntil }] of this.#cache) {
      if (keepUntil <= now) this.#cache.delete(key);
    }
  }

  close(): void {
    this.#file.close();
  }

  async #fetch(key: string): Promise<ProxySession | undefined> {
    return await this.#file.read((store) => {
      const [row] = store.rows<SessionRow>(
        "select sealed, expires_at, keep_until from sessions where key = ? and keep_until > ?",
        key,
        this.#wallNow(),
      );
      if (row === undefined) return undefined;
      const id = this.#file.box.open(placeOf(key), row.sealed);
      if (id === null) return undefined;
      const session = { id, expiresAt: row.expires_at };
      this.#remember(key, {
        session,
        keepUntil: row.keep_until,
        storedExpiresAt: row.expires_at,
      });
      return session;
    });
  }

  async #store(key: string, session: ProxySession, keepUntil: number): Promise<void> {
    const { id, expiresAt } = session;
    const { box } = this.#file;
    const sealed = box.seal(placeOf(key), id);
    const mark = box.mark(id);
    await this.#file.write((store) => {
      const [there] = store.rows<SessionRow>(
        "select expires_at, keep_until from sessions where key = ?",
        key,
      );
      const isLater = there !== undefined && there.expires_at > expiresAt;
      if (isLater && there.keep_until > this.#wallNow()) {
        // The next look finds it.
        this.#cache.delete(key);
        return;
      }
      store.run(
        "insert or replace into sessions (key, sealed, mark, expires_at, keep_until) values (?, ?, ?, ?, ?)",
        key,
        sealed,
        mark,
        expiresAt,
        keepUntil,
      );
      this.#remember(key, { session, keepUntil, storedExpiresAt: expiresAt });
      if (there === undefined) this.#count += 1;
      this.#makeRoom();
    });
  }

  /** Within a transaction. */
  #makeRoom(): void {
    const over = this.#count - this.#sessionsMax;
    if (over <= 0) return;
    const gone = this.#file.rows<{ key: string }>(
      "delete from sessions where key in (select key from sessions order by keep_until limit ?) returning key",
      over,
    );
    for (const { key } of gone) this.#cache.delete(key);
    this.#count -= gone.length;
  }

  #remember(key: string, cached: Cached): void {
    this.#cache.delete(key);
    if (this.#cache.size >= this.#cachedMax) {
      const oldest = this.#cache.keys().next();
      if (oldest.done === false) this.#cache.delete(oldest.value);
    }
    this.#cache.set(key, cached);
  }
}

function placeOf(key: string): string {
  return JSON.stringify(["sessions", key]);
}

/**
 * Opens the sessions of a data folder.
 *
 * @throws ConfigError where folder, database or key cannot be used
 */
export async function openSessionStore(
  folder: string,
  options: SessionStoreOptions = {},
): Promise<SqliteSessions> {
  const sessions = new SqliteSessions(await StoreFile.open(folder, "normal"), options);
  await sessions.sweep();
  return sessions;
}
