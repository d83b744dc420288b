import { createHmac } from "node:crypto";
import type { Json } from "../wire/json-http.ts";
import type { KeySource } from "../wire/party-keys.ts";

/** A person's account. */
export interface Account {
  /** The ID provider's own id of it: what TAs with public subjects see. */
  readonly id: string;
  /** What claims are answered from, by their names. */
  readonly attributes: Json;
}

/** What a person lets a TA have. */
export interface Consent {
  readonly scopes: readonly string[];
  readonly claims: readonly string[];
}

/** A TA that is registered here. */
export interface Ta extends KeySource {
  readonly clientId: string;
  /** What is not `pairwise` is public. */
  readonly subjectType?: "public" | "pairwise";
  /** TAs of one sector are shown the same pairwise ids; absent, the client id's host is the sector. */
  readonly sectorIdentifierUri?: string;
}

/** Another ID provider, whose referrals are taken. */
export interface KnownIdp extends KeySource {
  readonly issuer: string;
}

export interface DirectoryOptions {
  /** Entries of each table. */
  readonly entriesMax: number;
  /** Key of the pairwise ids. */
  readonly pairwiseSalt: string;
}

/**
 * Whom and what the ID provider knows.
 *
 * @see TA cooperation, section 12.3; OpenID Connect Core 1.0, section 8.1
 */
export class Directory {
  readonly #accounts = new Map<string, Account>();
  readonly #tas = new Map<string, Ta>();
  readonly #idps = new Map<string, KnownIdp>();
  /** By account and TA. */
  readonly #consents = new Map<string, Consent>();
  readonly #options: DirectoryOptions;

  constructor(options: DirectoryOptions) {
    this.#options = options;
  }

  /** @throws Error where the table is full; so do the others that add */
  addAccount(account: Account): void {
    this.#add(this.#accounts, account.id, account);
  }

  removeAccount(id: string): void {
    this.#accounts.delete(id);
  }

  account(id: string): Account | undefined {
    return this.#accounts.get(id);
  }

  addTa(ta: Ta): void {
    this.#add(this.#tas, ta.clientId, ta);
  }

  ta(clientId: string): Ta | undefined {
    return this.#tas.get(clientId);
  }

  addIdp(idp: KnownIdp): void {
    this.#add(this.#idps, idp.issuer, idp);
  }

  idp(issuer: string): KnownIdp | undefined {
    return this.#idps.get(issuer);
  }

  /** Records what an account lets a TA have; replaces what it said before. */
  consent(accountId: string, clientId: string, consent: Consent): void {
    this.#add(this.#consents, JSON.stringify([accountId, clientId]), consent);
  }

  withdrawConsent(accountId: string, clientId: string): void {
    this.#consents.delete(JSON.stringify([accountId, clientId]));
  }

  consentOf(accountId: string, clientId: string): Consent | undefined {
    return this.#consents.get(JSON.stringify([accountId, clientId]));
  }

  /** The account's id as a TA is shown it. */
  subjectOf(account: Account, ta: Ta): string {
    if (ta.subjectType !== "pairwise") return account.id;
    return createHmac("sha256", this.#options.pairwiseSalt)
      .update(`${sectorOf(ta)}\0${account.id}`)
      .digest("base64url");
  }

  /** The account that a TA means by the id it was shown. */
  accountOf(subject: string, ta: Ta): Account | undefined {
    if (ta.subjectType !== "pairwise") return this.#accounts.get(subject);
    return [...this.#accounts.values()].find((it) => this.subjectOf(it, ta) === subject);
  }

  #add<V>(table: Map<string, V>, key: string, value: V): void {
    const { entriesMax } = this.#options;
    if (!table.has(key) && table.size >= entriesMax) {
      throw new Error(`the test ID provider keeps ${entriesMax} entries of a kind`);
    }
    table.set(key, value);
  }
}

function sectorOf({ clientId, sectorIdentifierUri }: Ta): string {
  const uri = sectorIdentifierUri ?? clientId;
  return URL.canParse(uri) ? new URL(uri).host : uri;
}
