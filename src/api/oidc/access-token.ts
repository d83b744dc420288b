import { decodeJwt, type JWTPayload } from "jose";
import { OidcError, toOidcError } from "./errors.ts";
import { headerType, textOrNull } from "./id-token.ts";
import { asTokenError } from "./logout-token.ts";
import { isSameIssuer } from "./metadata.ts";
import type { MachineClients, OidcPorts } from "./ports.ts";
import { Provider } from "./provider.ts";
import type { OidcSettings } from "./settings.ts";

const TOKEN_LENGTH_MAX = 16_384;
const ID_LENGTH_MAX = 255;

/** A machine that presented an access token. */
export interface MachinePrincipal {
  readonly issuer: string;
  readonly clientId: string;
  readonly sub: string;
  /** From the registry, never from the token. */
  readonly tenant: string;
  /** What the token carries and the registry allows. */
  readonly scopes: readonly string[];
  readonly tokenId: string;
  readonly expiresAtMs: number;
  /** True where the token is the client's own (`sub` is `client_id`): it is nobody's on routes for people. */
  readonly isMachine: boolean;
}

/** Verifies access tokens of registered clients. It makes no user and no tenant. */
export class AccessTokens {
  readonly #settings: OidcSettings;
  readonly #providers: ReadonlyMap<string, Provider>;
  readonly #ports: OidcPorts;
  readonly #clients: MachineClients;

  constructor(settings: OidcSettings, ports: OidcPorts, clients: MachineClients) {
    this.#settings = settings;
    this.#ports = ports;
    this.#clients = clients;
    this.#providers = new Map(
      (settings.accessTokens?.issuers ?? []).map((issuer) => [
        issuer,
        new Provider(
          {
            issuer,
            purpose: "access-tokens",
            algs: settings.algs,
            allowInsecure: issuer.startsWith("http:"),
            assumeS256: false,
          },
          ports,
        ),
      ]),
    );
  }

  /**
   * Verifies one token.
   *
   * Errors: `ERR_OIDC_ACCESS_TOKEN_INVALID` whatever is wrong with it, an unknown issuer or client included; those of
   * reaching the provider where its keys are not known.
   * @param token what follows `Bearer `
   * @see RFC 9068, sections 2 and 4; RFC 8725, section 3
   */
  async verify(token: string): Promise<MachinePrincipal> {
    try {
      return await this.#verify(token);
    } catch (thrown) {
      throw asTokenError(thrown, "ERR_OIDC_ACCESS_TOKEN_INVALID");
    }
  }

  /** Stops the background work. */
  close(): void {
    for (const provider of this.#providers.values()) provider.close();
  }

  async #verify(token: string): Promise<MachinePrincipal> {
    if (token.length > TOKEN_LENGTH_MAX) throw invalid("length");
    // Unverified, and used for nothing but to choose the keys: an unknown issuer causes no call.
    const provider = this.#providerOf(unverifiedIssuer(token));
    if (provider === undefined) throw invalid("iss");
    const typ = headerType(token);
    if (typ !== "at+jwt" && typ !== "application/at+jwt") throw invalid("typ");
    const payload = await this.#signedClaims(token, provider);
    return await this.#principal(payload);
  }

  #providerOf(issuer: string): Provider | undefined {
    for (const [known, provider] of this.#providers) {
      if (isSameIssuer(known, issuer)) return provider;
    }
    return undefined;
  }

  async #signedClaims(token: string, provider: Provider): Promise<JWTPayload> {
    const { issuer, algs } = await provider.metadata();
    const { payload } = await provider.keys.verify(token, {
      algorithms: [...algs],
      issuer,
      audience: this.#settings.accessTokens?.audience ?? "",
      clockTolerance: this.#settings.clockToleranceSec,
      currentDate: new Date(this.#ports.clock.epochMs()),
      requiredClaims: ["exp", "iat", "sub", "jti", "client_id", "scope"],
    });
    return payload;
  }

  async #principal(payload: JWTPayload): Promise<MachinePrincipal> {
    const nowSec = this.#ports.clock.epochMs() / 1_000;
    const { iss: issuer = "", iat = Number.POSITIVE_INFINITY, exp = 0, scope } = payload;
    if (iat > nowSec + this.#settings.clockToleranceSec) throw invalid("iat");
    // Bound to a key that nobody here asks for: as a plain bearer token it may be a stolen one. RFC 9449, section 7.2.
    if (payload["cnf"] !== undefined) throw invalid("cnf");
    if (typeof scope !== "string") throw invalid("scope");
    const sub = identifier(payload, "sub");
    const clientId = identifier(payload, "client_id");
    const tokenId = identifier(payload, "jti");
    const client = await this.#find(issuer, clientId);
    if (client === null) throw invalid("client_id");
    const carried = new Set(scope.split(" "));
    return {
      issuer,
      clientId,
      sub,
      tenant: client.tenant,
      scopes: client.scopes.filter((name) => carried.has(name)),
      tokenId,
      expiresAtMs: exp * 1_000,
      isMachine: sub === clientId,
    };
  }

  async #find(issuer: string, clientId: string): ReturnType<MachineClients["find"]> {
    try {
      return await this.#clients.find(issuer, clientId);
    } catch (error) {
      throw toOidcError(error);
    }
  }
}

function unverifiedIssuer(token: string): string {
  try {
    return decodeJwt(token).iss ?? "";
  } catch {
    throw invalid("format");
  }
}

function identifier(payload: JWTPayload, name: string): string {
  const text = textOrNull(payload[name]);
  if (text === null || text.length > ID_LENGTH_MAX) throw invalid(name);
  return text;
}

function invalid(rule: string): OidcError {
  return new OidcError("ERR_OIDC_ACCESS_TOKEN_INVALID", rule);
}
