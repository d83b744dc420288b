import { randomString } from "../../../src/access-proxy/index.ts";
import { ExpiringMap } from "../wire/expiring-map.ts";

/** An access token that was issued. */
export interface AccessToken {
  readonly accountId: string;
  /** TA that it was issued to. */
  readonly clientId: string;
  readonly scopes: readonly string[];
  /** Milliseconds since 1970. */
  readonly expiresAtMs: number;
}

/** An account that a code is about. */
export interface TaggedAccount {
  readonly tag: string;
  readonly accountId: string;
}

/**
 * What a cooperation code stands for.
 *
 * @see TA cooperation, section 5.5
 */
export interface CodeGrant {
  /** Milliseconds since 1970. */
  readonly expiresAtMs: number;
  /** Null at an ID provider that was shown a referral. */
  readonly principal: TaggedAccount | null;
  /** The access token that the call was made with. */
  readonly sourceToken: string | null;
  /** Of the token that the code is redeemed for. */
  readonly scopes: readonly string[];
  /** End of that token, milliseconds since 1970. */
  readonly tokenExpiresAtMs: number;
  readonly related: readonly TaggedAccount[];
  readonly fromTa: string;
  readonly toTa: string;
}

export interface GrantsOptions {
  readonly entriesMax: number;
  /** Whether a code is good for one redemption. */
  readonly singleUseCodes: boolean;
  /** Milliseconds since 1970. */
  readonly wallNow: () => number;
}

const TOKEN_CHARACTERS = 30;
const TOKEN_KEPT_MS = 86_400_000;
const CODE_CHARACTERS = 30;
const CODE_KEPT_MS = 3_600_000;
/** How long a code can be redeemed. */
export const CODE_VALID_MS = 600_000;

/** Access tokens and cooperation codes that were issued. */
export class Grants {
  readonly #tokens: ExpiringMap<AccessToken>;
  readonly #codes: ExpiringMap<CodeGrant>;
  readonly #options: GrantsOptions;

  constructor(options: GrantsOptions) {
    const { entriesMax, wallNow } = options;
    this.#options = options;
    this.#tokens = new ExpiringMap(entriesMax, wallNow);
    this.#codes = new ExpiringMap(entriesMax, wallNow);
  }

  /** A new access token. */
  issueToken(token: AccessToken): string {
    const text = randomString(TOKEN_CHARACTERS);
    this.#tokens.set(text, token, this.#options.wallNow() + TOKEN_KEPT_MS);
    return text;
  }

  revokeToken(text: string): void {
    this.#tokens.delete(text);
  }

  /** The token, if it is neither revoked nor over. */
  token(text: string): AccessToken | undefined {
    const token = this.#tokens.get(text);
    return token !== undefined && this.#options.wallNow() <= token.expiresAtMs ? token : undefined;
  }

  /** A new cooperation code. */
  issueCode(grant: Omit<CodeGrant, "expiresAtMs">): string {
    const now = this.#options.wallNow();
    const code = randomString(CODE_CHARACTERS);
    this.#codes.set(code, { ...grant, expiresAtMs: now + CODE_VALID_MS }, now + CODE_KEPT_MS);
    return code;
  }

  /** What the code stands for, if it can still be redeemed. */
  code(code: string): CodeGrant | undefined {
    const grant = this.#codes.get(code);
    return grant !== undefined && this.#options.wallNow() <= grant.expiresAtMs ? grant : undefined;
  }

  /** Uses a code up. False where somebody else was faster. */
  redeem(code: string): boolean {
    if (this.code(code) === undefined) return false;
    if (this.#options.singleUseCodes) this.#codes.delete(code);
    return true;
  }
}
