import { EventEmitter } from "node:events";
import { readFile } from "node:fs/promises";
import { dirname } from "node:path";
import type { Logger } from "pino";
import type { Credentials, KeyEntry, TokenEntry } from "../core/credentials.ts";
import { ConfigError } from "../core/errors.ts";
import { FolderWatch, fileSignature, POLL_INTERVAL_MS } from "../core/folder-watch.ts";
import { digestsEqual, parseToken } from "../core/token.ts";
import type { Caller, CallerGate, DeviceIdentity, TunnelGate, Verdict } from "./ports.ts";

/** What the file tells those who listen. */
export interface CredentialsFileEvents {
  /**
   * References, `vAc_<id>` and `hwk_<id>`, that are good no longer: taken out, changed, or expired. Their live tunnels
   * are to be closed and their running requests ended; callers in the cache are forgotten already.
   */
  revoked: [refs: readonly string[]];
  /** A changed file was read and its entries are in force. */
  reloaded: [];
  /** A changed file cannot be used; the entries from before stay in force. */
  rejected: [error: unknown];
}

/** What {@link CredentialsFile.open} may be told; for tests above all. */
export interface CredentialsFileOptions {
  /** Milliseconds since 1970, for `expires_at`; default `Date.now`. */
  readonly wallNow?: () => number;
  /** How often the file is looked at even if the system reports no change; default 1,000 ms. 0 never. */
  readonly pollIntervalMs?: number;
  /** Callers remembered by their key; default 10,000. The longest known is forgotten first. */
  readonly cachedCallersMax?: number;
}

const REFUSED = {
  ok: false,
  status: 401,
  code: "ERR_RELAY_UNAUTHORIZED",
  retryAfter: 0,
} as const satisfies Verdict<never>;

/** What an unknown reference is compared with, so that it takes as long as a known one. */
const NO_DIGEST = "0".repeat(64);
const PROBLEMS_LOGGED_MAX = 100;

/** A file's content, indexed. Replaced as a whole on every change, never altered. */
interface Entries {
  readonly tokens: ReadonlyMap<string, Indexed<TokenEntry>>;
  readonly keys: ReadonlyMap<string, Indexed<KeyEntry>>;
  /** The user of each device. */
  readonly devices: ReadonlyMap<string, string>;
}

interface Indexed<Entry> {
  readonly entry: Entry;
  /** Milliseconds since 1970; infinite where it never expires. */
  readonly expiresAt: number;
}

interface CachedCaller {
  readonly verdict: Verdict<Caller>;
  readonly expiresAt: number;
}

/**
 * Who may connect and who may call, read from one JSON file of digests and read again when it changes, whether it is
 * written in place or replaced by a rename. A changed file that cannot be used is logged with all its problems, and
 * the entries from before stay in force.
 *
 * Every refusal is the same 401, whatever the reason.
 */
export class CredentialsFile
  extends EventEmitter<CredentialsFileEvents>
  implements TunnelGate, CallerGate
{
  readonly #path: string;
  readonly #logger: Logger;
  readonly #wallNow: () => number;
  readonly #cachedCallersMax: number;
  /** By the whole text of a key; filled only after its digest was compared. */
  readonly #callers = new Map<string, CachedCaller>();
  #entries: Entries = indexOf({ version: 1, tokens: [], keys: [] });
  /** Until when no entry expires. */
  #nextExpiry = Number.POSITIVE_INFINITY;
  /** Expired entries that were told of. */
  #expiredRefs = new Set<string>();
  #signature = "";
  #watch: FolderWatch | null = null;

  private constructor(path: string, logger: Logger, options: CredentialsFileOptions) {
    super();
    this.#path = path;
    this.#logger = logger;
    this.#wallNow = options.wallNow ?? Date.now;
    this.#cachedCallersMax = options.cachedCallersMax ?? 10_000;
  }

  /**
   * Reads the file and begins to watch it.
   *
   * @throws ConfigError with every problem of the file
   */
  static async open(
    path: string,
    logger: Logger,
    options: CredentialsFileOptions = {},
  ): Promise<CredentialsFile> {
    const file = new CredentialsFile(path, logger, options);
    const { credentials, signature } = await file.#read();
    file.#signature = signature;
    file.#use(indexOf(credentials));
    file.#watch = new FolderWatch({
      folder: dirname(path),
      look: () => file.#refreshOnce(),
      pollIntervalMs: options.pollIntervalMs ?? POLL_INTERVAL_MS,
      onTrouble: (error) => logger.warn({ err: error, path }, "cannot watch; polling goes on"),
    });
    return file;
  }

  /** How many entries are in force, the expired included. */
  get counts(): { readonly tokens: number; readonly keys: number } {
    return { tokens: this.#entries.tokens.size, keys: this.#entries.keys.size };
  }

  authenticateDevice(token: string): Verdict<DeviceIdentity> {
    const parsed = parseToken(token);
    if (!parsed.ok || parsed.kind !== "device") return REFUSED;
    const known = this.#entries.tokens.get(parsed.ref);
    const right = digestsEqual(parsed.secretDigest, known?.entry.digest ?? NO_DIGEST);
    if (known === undefined || !right || this.#isOver(known.expiresAt)) return REFUSED;
    const { entry } = known;
    return {
      ok: true,
      value: { deviceId: entry.device_id, tokenRef: entry.ref, userId: entry.user_id },
    };
  }

  /** Without a look at the clock for what never expires. */
  #isOver(expiresAt: number): boolean {
    return expiresAt !== Number.POSITIVE_INFINITY && expiresAt <= this.#wallNow();
  }

  knowsDevice(deviceId: string): boolean {
    return this.#entries.devices.has(deviceId);
  }

  authenticateCaller(key: string): Verdict<Caller> {
    const cached = this.#callers.get(key);
    if (cached !== undefined) {
      if (!this.#isOver(cached.expiresAt)) return cached.verdict;
      this.#callers.delete(key);
      return REFUSED;
    }
    return this.#verifyCaller(key);
  }

  /** Whether a reference is in the file and has not expired: what a re-check of live tunnels asks. */
  isGood(tokenRef: string): boolean {
    const known = this.#entries.tokens.get(tokenRef) ?? this.#entries.keys.get(tokenRef);
    return known !== undefined && known.expiresAt > this.#wallNow();
  }

  /**
   * Looks whether the file has changed and takes over what it says; tells of what has expired. Never rejects. Runs by
   * itself on every change; calls while one is running wait for another look.
   */
  async refresh(): Promise<void> {
    await this.#watch?.refresh();
  }

  /** Ends the watch. The entries stay in force. */
  close(): void {
    this.#watch?.close();
  }

  get #isClosed(): boolean {
    return this.#watch?.isClosed ?? false;
  }

  #verifyCaller(key: string): Verdict<Caller> {
    const parsed = parseToken(key);
    if (!parsed.ok || parsed.kind !== "key") return REFUSED;
    const known = this.#entries.keys.get(parsed.ref);
    const right = digestsEqual(parsed.secretDigest, known?.entry.digest ?? NO_DIGEST);
    if (known === undefined || !right || known.expiresAt <= this.#wallNow()) return REFUSED;
    const caller = new FileCaller(known.entry, (deviceId) => this.#entries.devices.get(deviceId));
    const verdict: Verdict<Caller> = { ok: true, value: caller };
    if (this.#callers.size >= this.#cachedCallersMax) {
      for (const oldest of this.#callers.keys()) {
        this.#callers.delete(oldest);
        break;
      }
    }
    this.#callers.set(key, { verdict, expiresAt: known.expiresAt });
    return verdict;
  }

  async #read(): Promise<{ credentials: Credentials; signature: string }> {
    let text: string;
    let signature: string;
    try {
      signature = await fileSignature(this.#path);
      text = await readFile(this.#path, "utf8");
    } catch (error) {
      const reason = error instanceof Error && "code" in error ? String(error.code) : "unknown";
      throw new ConfigError([{ setting: this.#path, problem: `cannot be read (${reason})` }]);
    }
    // Loaded here, so that a relay that asks an API server does not load what reads a file.
    const { parseCredentials } = await import("../core/credentials.ts");
    return { credentials: parseCredentials(text, this.#path), signature };
  }

  async #refreshOnce(): Promise<void> {
    let signature = "missing";
    try {
      signature = await fileSignature(this.#path);
    } catch {
      // A file that is gone for a moment is on its way to be replaced; one that stays away is told of once.
    }
    if (signature !== this.#signature) {
      this.#signature = signature;
      await this.#takeOver();
    }
    if (!this.#isClosed && this.#wallNow() >= this.#nextExpiry) this.#tellExpired();
  }

  async #takeOver(): Promise<void> {
    let entries: Entries;
    try {
      const { credentials, signature } = await this.#read();
      this.#signature = signature;
      entries = indexOf(credentials);
    } catch (error) {
      if (!this.#isClosed) this.#reject(error);
      return;
    }
    if (this.#isClosed) return;
    const before = this.#entries;
    const told = this.#expiredRefs;
    this.#use(entries);
    const revoked = revokedBetween(before, entries, this.#wallNow()).filter(
      (ref) => !told.has(ref),
    );
    this.#logger.info(
      { path: this.#path, ...this.counts, revoked: revoked.length },
      "credentials file read again",
    );
    this.emit("reloaded");
    if (revoked.length > 0) this.emit("revoked", revoked);
  }

  #reject(error: unknown): void {
    const problems = error instanceof ConfigError ? error.problems : [];
    this.#logger.error(
      {
        path: this.#path,
        problems: problems.slice(0, PROBLEMS_LOGGED_MAX),
        count: problems.length,
      },
      "credentials file cannot be used; the entries from before stay in force",
    );
    this.emit("rejected", error);
  }

  #use(entries: Entries): void {
    this.#entries = entries;
    this.#callers.clear();
    this.#expiredRefs = new Set();
    this.#noteExpired();
  }

  #tellExpired(): void {
    const expired = this.#noteExpired();
    if (expired.length > 0) this.emit("revoked", expired);
  }

  /** Marks what has expired, returns what was not marked before, and finds when the next entry expires. */
  #noteExpired(): string[] {
    const now = this.#wallNow();
    const expired: string[] = [];
    this.#nextExpiry = Number.POSITIVE_INFINITY;
    for (const entries of [this.#entries.tokens, this.#entries.keys]) {
      for (const [ref, { expiresAt }] of entries) {
        if (expiresAt > now) this.#nextExpiry = Math.min(this.#nextExpiry, expiresAt);
        else if (!this.#expiredRefs.has(ref)) {
          this.#expiredRefs.add(ref);
          expired.push(ref);
        }
      }
    }
    return expired;
  }
}

/** A key's holder. It reaches the devices of its own user, as the file says at the time of asking. */
class FileCaller implements Caller {
  readonly keyId: string;
  readonly userId: string;
  readonly limit = null;
  /** The devices that the key is held to; null for all of the user's. */
  readonly #devices: ReadonlySet<string> | null;
  readonly #ownerOf: (deviceId: string) => string | undefined;

  constructor(entry: KeyEntry, ownerOf: (deviceId: string) => string | undefined) {
    this.keyId = entry.ref;
    this.userId = entry.user_id;
    const { devices } = entry;
    this.#devices = devices === undefined || devices.includes("*") ? null : new Set(devices);
    this.#ownerOf = ownerOf;
  }

  allows(deviceId: string): boolean {
    if (this.#devices !== null && !this.#devices.has(deviceId)) return false;
    return this.#ownerOf(deviceId) === this.userId;
  }
}

function indexOf(credentials: Credentials): Entries {
  const tokens = new Map<string, Indexed<TokenEntry>>();
  const keys = new Map<string, Indexed<KeyEntry>>();
  const devices = new Map<string, string>();
  for (const entry of credentials.tokens) {
    tokens.set(entry.ref, { entry, expiresAt: expiryOf(entry) });
    devices.set(entry.device_id, entry.user_id);
  }
  for (const entry of credentials.keys) keys.set(entry.ref, { entry, expiresAt: expiryOf(entry) });
  return { tokens, keys, devices };
}

function expiryOf(entry: TokenEntry | KeyEntry): number {
  return entry.expires_at === undefined ? Number.POSITIVE_INFINITY : Date.parse(entry.expires_at);
}

/**
 * References that stood for something before and no longer stand for the same, or have expired. A later expiry alone
 * revokes nothing.
 */
function revokedBetween(before: Entries, after: Entries, wallNow: number): string[] {
  const revoked: string[] = [];
  for (const [ref, { entry }] of before.tokens) {
    const now = after.tokens.get(ref);
    const same =
      now !== undefined &&
      now.expiresAt > wallNow &&
      now.entry.digest === entry.digest &&
      now.entry.device_id === entry.device_id &&
      now.entry.user_id === entry.user_id;
    if (!same) revoked.push(ref);
  }
  for (const [ref, { entry }] of before.keys) {
    const now = after.keys.get(ref);
    const same =
      now !== undefined &&
      now.expiresAt > wallNow &&
      now.entry.digest === entry.digest &&
      now.entry.user_id === entry.user_id;
    if (!same) revoked.push(ref);
  }
  return revoked;
}
