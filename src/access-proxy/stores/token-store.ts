import type { TokenRecord, TokenStore } from "../ports.ts";
import { storeError } from "./errors.ts";
import { StoreFile } from "./store-file.ts";

/** A token that is expired is told apart from one that never was for this long. */
const KEPT_EXPIRED_MS = 86_400_000;
const TOKEN_LENGTH_MAX = 16_384;
const NAME_LENGTH_MAX = 1_024;
const SCOPE_LENGTH_MAX = 4_096;
const LISTED_MAX = 1_000;

/** A token's record as it is written. */
export interface NewToken extends TokenRecord {
  /** Scopes that it was issued with, for people. */
  readonly scope?: readonly string[];
}

/** What is told of a stored token: all but itself. */
export interface ListedToken {
  readonly callerScope: string;
  readonly tag: string;
  readonly issuer: string;
  readonly scope: readonly string[];
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
}

/** How {@link openTokenStore} opens. */
export interface TokenStoreOptions {
  /** Stored tokens; default 1,000,000. */
  readonly tokensMax?: number;
  /** Milliseconds since 1970; default `Date.now`. */
  readonly wallNow?: () => number;
}

interface TokenRow {
  readonly caller_scope: string;
  readonly tag: string;
  readonly sealed: string;
  readonly issuer: string;
  readonly scope: string;
  readonly expires_at: number;
}

function isName(text: unknown, lengthMin = 1): boolean {
  return (
    typeof text === "string" &&
    text.length >= lengthMin &&
    text.length <= NAME_LENGTH_MAX &&
    !/\p{Cc}/u.test(text)
  );
}

function checkRecord(callerScope: string, record: NewToken): void {
  const { token, tag, issuer, expiresAt, scope = [] } = record;
  const isGood =
    isName(callerScope, 0) &&
    isName(tag) &&
    isName(issuer) &&
    typeof token === "string" &&
    token.length <= TOKEN_LENGTH_MAX &&
    /^[!-~]+$/.test(token) &&
    Number.isSafeInteger(expiresAt) &&
    expiresAt > 0 &&
    scope.every((word) => /^[!-~]+$/.test(word)) &&
    scope.join(" ").length <= SCOPE_LENGTH_MAX;
  if (!isGood) throw storeError("ERR_ACCESS_PROXY_STORE_RECORD");
}

function placeOf(callerScope: string, tag: string): string {
  return JSON.stringify(["tokens", callerScope, tag]);
}

/**
 * Access tokens in the database of a data folder, encrypted. The part of a TA that obtains tokens writes them here, from the
 * same process or another; nothing is remembered in memory, so that each writer is heard at once.
 */
export class SqliteTokens implements TokenStore {
  readonly #file: StoreFile;
  readonly #tokensMax: number;
  readonly #wallNow: () => number;

  constructor(file: StoreFile, { tokensMax = 1_000_000, wallNow = Date.now }: TokenStoreOptions) {
    this.#file = file;
    this.#tokensMax = tokensMax;
    this.#wallNow = wallNow;
  }

  /** The token; undefined also where it was stored with another key. */
  async getByTag(callerScope: string, tag: string): Promise<TokenRecord | undefined> {
    const [row] = await this.#file.read((store) =>
      store.rows<TokenRow>(
        "select sealed, issuer, expires_at from tokens where caller_scope = ? and tag = ?",
        callerScope,
        tag,
      ),
    );
    if (row === undefined) return undefined;
    const token = this.#file.box.open(placeOf(callerScope, tag), row.sealed);
    if (token === null) return undefined;
    return { token, tag, issuer: row.issuer, expiresAt: row.expires_at };
  }

  /**
   * Stores a token, in the place of one with the same tag of the same caller.
   *
   * @param callerScope name of the caller that may use it, as the file of callers has it; empty without such a file
   * @throws AppError `ERR_ACCESS_PROXY_STORE_RECORD`, `ERR_ACCESS_PROXY_STORE_FULL`, `ERR_ACCESS_PROXY_STORE_BUSY`
   * @see TA cooperation, section 12.4
   */
  async putToken(callerScope: string, record: NewToken): Promise<void> {
    checkRecord(callerScope, record);
    const { token, tag, issuer, expiresAt, scope = [] } = record;
    const sealed = this.#file.box.seal(placeOf(callerScope, tag), token);
    await this.sweep();
    await this.#file.write((store) => {
      const [row] = store.rows<{ others: number }>(
        "select count(*) as others from tokens where not (caller_scope = ? and tag = ?)",
        callerScope,
        tag,
      );
      if ((row?.others ?? 0) >= this.#tokensMax) throw storeError("ERR_ACCESS_PROXY_STORE_FULL");
      store.run(
        "insert or replace into tokens (caller_scope, tag, sealed, issuer, scope, expires_at) values (?, ?, ?, ?, ?, ?)",
        callerScope,
        tag,
        sealed,
        issuer,
        scope.join(" "),
        expiresAt,
      );
    });
  }

  /** False where there is none. */
  async removeToken(callerScope: string, tag: string): Promise<boolean> {
    const changed = await this.#file.write((store) =>
      store.run("delete from tokens where caller_scope = ? and tag = ?", callerScope, tag),
    );
    return changed > 0;
  }

  /**
   * What is stored, without the tokens, in the order of caller and tag.
   *
   * @param after the last one of the page before; null for the first page
   * @param limit 1,000 at most
   */
  async listTokens(
    after: Pick<ListedToken, "callerScope" | "tag"> | null,
    limit = LISTED_MAX,
  ): Promise<ListedToken[]> {
    const rows = await this.#file.read((store) =>
      store.rows<TokenRow>(
        `select caller_scope, tag, issuer, scope, expires_at from tokens where (caller_scope, tag) > (?, ?)
         order by caller_scope, tag limit ?`,
        after?.callerScope ?? "",
        after?.tag ?? "",
        Math.min(limit, LISTED_MAX),
      ),
    );
    return rows.map(({ caller_scope, tag, issuer, scope, expires_at }) => ({
      callerScope: caller_scope,
      tag,
      issuer,
      scope: scope === "" ? [] : scope.split(" "),
      expiresAt: expires_at,
    }));
  }

  /** Forgets what expired a day ago or earlier. */
  async sweep(): Promise<void> {
    const until = this.#wallNow() - KEPT_EXPIRED_MS;
    await this.#file.write((store) => store.run("delete from tokens where expires_at <= ?", until));
  }

  close(): void {
    this.#file.close();
  }
}

/**
 * Opens the tokens of a data folder, whether an access proxy runs on it or not. What is stored is on the disk.
 *
 * @throws ConfigError where folder, database or key cannot be used
 */
export async function openTokenStore(
  folder: string,
  options: TokenStoreOptions = {},
): Promise<SqliteTokens> {
  return new SqliteTokens(await StoreFile.open(folder, "full"), options);
}
