import { CLIENT_ASSERTION_TYPE } from "../../../src/access-proxy/index.ts";
import type { Json } from "../wire/json-http.ts";
import { invalidClient, OAuthError } from "../wire/oauth-error.ts";
import type { PartyKeys } from "../wire/party-keys.ts";
import {
  audienceOf,
  endOfUseMs,
  isExpired,
  readJwt,
  textOf,
  timeOf,
  verifies,
} from "../wire/signed-jwt.ts";
import type { Directory, Ta } from "./directory.ts";
import { ReplayCache } from "./replay-cache.ts";

export interface ClientAuthenticatorOptions {
  /** Assertions that are remembered at a time. */
  readonly entriesMax: number;
  /** Milliseconds since 1970. */
  readonly wallNow: () => number;
}

/** Longest `jti` that is taken. */
export const JTI_CHARACTERS_MAX = 256;

/**
 * Finds out which TA sends a request.
 *
 * @see TA cooperation, section 3.6; OpenID Connect Core 1.0, section 9, `private_key_jwt`
 */
export class ClientAuthenticator {
  readonly #directory: Directory;
  readonly #keys: PartyKeys;
  readonly #replays: ReplayCache;
  readonly #wallNow: () => number;

  constructor(directory: Directory, keys: PartyKeys, options: ClientAuthenticatorOptions) {
    this.#directory = directory;
    this.#keys = keys;
    this.#wallNow = options.wallNow;
    this.#replays = new ReplayCache(options.entriesMax, options.wallNow);
  }

  /**
   * @param endpoint URL that the assertion must be for
   * @returns the TA whose assertion the request carries
   * @throws OAuthError 400 `invalid_client`; 500 where no more assertions can be remembered
   */
  async authenticate(request: Json, endpoint: string): Promise<Ta> {
    if (request["client_assertion_type"] !== CLIENT_ASSERTION_TYPE) {
      throw invalidClient("client_assertion_type is missing or unknown");
    }
    const jwt = readJwt(request["client_assertion"]);
    if (jwt === null) throw invalidClient("client_assertion is no JWT");
    const { claims } = jwt;
    const issuer = textOf(claims, "iss");
    const jti = textOf(claims, "jti");
    const exp = timeOf(claims, "exp");
    if (issuer === null || jti === null || exp === null) {
      throw invalidClient("client_assertion lacks a claim");
    }
    if (jti.length > JTI_CHARACTERS_MAX) throw invalidClient("jti is too long");
    if (claims["sub"] !== issuer) throw invalidClient("iss and sub are not the same");
    if (!audienceOf(claims).includes(endpoint)) {
      throw invalidClient("client_assertion is not for this endpoint");
    }
    if (isExpired(exp, this.#wallNow())) throw invalidClient("client_assertion has expired");
    const ta = this.#directory.ta(issuer);
    if (ta === undefined) throw invalidClient("unknown TA");
    if (!(await verifies(jwt, await this.#keys.of(ta)))) {
      throw invalidClient("client_assertion does not verify");
    }
    // Last of all: nobody else may use up a TA's jti.
    this.#use(issuer, jti, exp);
    return ta;
  }

  #use(issuer: string, jti: string, exp: number): void {
    switch (this.#replays.use(issuer, jti, endOfUseMs(exp))) {
      case "seen":
        throw invalidClient("client_assertion was used before");
      case "full":
        throw new OAuthError(500, "server_error", "too many assertions at a time");
      case "fresh":
    }
  }
}
