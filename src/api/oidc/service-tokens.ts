import {
  allowInsecureRequests,
  Configuration,
  clientCredentialsGrant,
  customFetch,
} from "openid-client";
import { clientAuthOf } from "./client-auth.ts";
import { OidcError, toTokenRequestError } from "./errors.ts";
import type { OidcPorts } from "./ports.ts";
import { Provider } from "./provider.ts";
import type { ServiceClientSettings } from "./service-client.ts";

/** A token is not used in the last minute of its life: it may be on its way for as long. */
const MARGIN_MS = 60_000;

/** A token as the provider gave it. */
export interface ServiceToken {
  /** Secret. */
  readonly token: string;
  /** What it is for, with spaces between; null where the provider does not say. */
  readonly scope: string | null;
  /** Milliseconds since 1970; null where the provider does not say. */
  readonly expiresAtMs: number | null;
}

/**
 * This server's own access token, by the client credentials grant. It is kept until a minute before it ends, asked for
 * once however many wait for it, and never sent on behalf of a person.
 *
 * @see RFC 6749, section 4.4
 */
export class ServiceTokens {
  readonly #settings: ServiceClientSettings;
  readonly #ports: OidcPorts;
  readonly #provider: Provider;
  #held: ServiceToken | null = null;
  #asking: Promise<ServiceToken> | null = null;

  constructor(settings: ServiceClientSettings, ports: OidcPorts) {
    this.#settings = settings;
    this.#ports = ports;
    const { issuer, allowInsecure } = settings;
    // Nothing that this provider signs is verified: an access token is the other service's to read.
    const rules = { issuer, allowInsecure, purpose: "service-tokens", algs: ["RS256"] } as const;
    this.#provider = new Provider({ ...rules, assumeS256: false }, ports);
  }

  /** A token that is good for a minute at least, as far as the provider says. Errors: those of the table. */
  async token(): Promise<string> {
    return (await this.current()).token;
  }

  /** The same with what the provider said of it. */
  async current(): Promise<ServiceToken> {
    const held = this.#held;
    // One that says nothing of its end is asked for anew each time.
    const expiresAtMs = held?.expiresAtMs ?? 0;
    const isGood = expiresAtMs - MARGIN_MS > this.#ports.clock.epochMs();
    return held !== null && isGood ? held : await this.#ask();
  }

  /**
   * Calls a service with the token. Where it answers 401 the token is replaced and the call made once more; what comes
   * then is the answer. Errors: those of the table, and whatever `call` rejects with.
   *
   * @param call sends one request, and is called twice at most
   */
  async send<T extends { readonly status: number }>(
    call: (token: string) => Promise<T>,
  ): Promise<T> {
    const held = await this.current();
    const answer = await call(held.token);
    if (answer.status !== 401) return answer;
    // Somebody else may have replaced it meanwhile.
    if (this.#held === held) this.#held = null;
    return await call((await this.current()).token);
  }

  /** Stops the background work. */
  close(): void {
    this.#provider.close();
  }

  #ask(): Promise<ServiceToken> {
    this.#asking ??= this.#grant().finally(() => {
      this.#asking = null;
    });
    return this.#asking;
  }

  async #grant(): Promise<ServiceToken> {
    const { scope, resource, issuer } = this.#settings;
    try {
      const answer = await clientCredentialsGrant(await this.#configuration(), {
        ...(scope === null ? {} : { scope }),
        ...(resource === null ? {} : { resource }),
      });
      // One that is bound to a key would be refused, and must not be sent without its proof.
      if (answer.token_type !== "bearer")
        throw new OidcError("ERR_OIDC_IDP_RESPONSE", "token_type");
      const { access_token: token, expires_in: seconds } = answer;
      const now = this.#ports.clock.epochMs();
      this.#held = {
        token,
        // Left out where it is what was asked for: RFC 6749, section 5.1.
        scope: answer.scope ?? scope,
        expiresAtMs: seconds === undefined ? null : now + seconds * 1_000,
      };
      return this.#held;
    } catch (thrown) {
      const error = toTokenRequestError(thrown);
      const { code, rule } = error;
      this.#ports.log.warn({ issuer, code, rule }, "no service token");
      throw error;
    }
  }

  async #configuration(): Promise<Configuration> {
    const { clientId, secret, method, allowInsecure } = this.#settings;
    const { server } = await this.#provider.metadata();
    const auth = await clientAuthOf({ method, secret });
    const configuration = new Configuration(server, clientId, undefined, auth);
    configuration[customFetch] = this.#provider.http.libraryFetch;
    if (allowInsecure) allowInsecureRequests(configuration);
    return configuration;
  }
}
