import type { JWK } from "jose";

/** What a store gives: at once where it can, so that a call which needs nothing else waits for nothing. */
export type Answer<T> = T | Promise<T>;

/** What the proxy knows of an ID provider. */
export interface IdpRecord {
  /** The id, compared as a text. */
  readonly issuer: string;
  /** As it is configured: an assertion names it to the letter. */
  readonly cooperationFromEndpoint: string;
  /** Public keys that its code tokens are checked with; null where there are none, nor a place to fetch them. */
  readonly jwks: readonly JWK[] | null;
  readonly jwksUri: string | null;
}

export interface IdpStore {
  get(issuer: string): Answer<IdpRecord | undefined>;
}

/** An access token of a signed-in user. */
export interface TokenRecord {
  /** The token itself. */
  readonly token: string;
  readonly tag: string;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
  /** The ID provider that issued it: the main one of a call. */
  readonly issuer: string;
}

export interface TokenStore {
  getByTag(callerScope: string, tag: string): Answer<TokenRecord | undefined>;
}

/** The calling TA's own private keys. */
export interface KeyStore {
  get(): Answer<readonly JWK[]>;
}

/** A session that a target granted. */
export interface ProxySession {
  readonly id: string;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
}

export interface SessionStore {
  get(key: string): Answer<ProxySession | undefined>;
  /** Keeps a session until `keepUntil` at the most, unless the one that is there lasts longer. */
  save(key: string, session: ProxySession, keepUntil: number): Answer<void>;
  /** Forgets a session, if it still is the one with that id. */
  deleteIf(key: string, id: string): Answer<void>;
  /** Forgets whatever session there is. */
  delete(key: string): Answer<void>;
}
