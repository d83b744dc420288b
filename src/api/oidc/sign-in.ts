import {
  allowInsecureRequests,
  authorizationCodeGrant,
  buildAuthorizationUrl,
  type ClientAuth,
  Configuration,
  calculatePKCECodeChallenge,
  clockSkew,
  clockTolerance,
  customFetch,
  fetchUserInfo,
  randomNonce,
  randomPKCECodeVerifier,
  randomState,
} from "openid-client";
import { type CallbackQuery, readCallbackQuery } from "./callback-query.ts";
import { clientAuthOf } from "./client-auth.ts";
import { authorizationError, OidcError, toOidcError, toTokenRequestError } from "./errors.ts";
import { type IdTokenClaims, verifyIdToken } from "./id-token.ts";
import { type Claims, type Identity, identityOf, wantsUserinfo } from "./identity.ts";
import type { ProviderMetadata } from "./metadata.ts";
import {
  type LogoutSink,
  type OidcPorts,
  PENDING_TTL_MS,
  type PendingSignIn,
  type PendingSignIns,
} from "./ports.ts";
import type { Provider } from "./provider.ts";
import { requireTexts } from "./response-shape.ts";
import { readReturnTo, returnToUrl } from "./return-to.ts";
import { Secret } from "./secret.ts";
import type { OidcSettings } from "./settings.ts";

/** How much older than the start `auth_time` may be: the two clocks differ. */
const REAUTH_SLACK_MS = 30_000;
/** RFC 6749, section 5.1. */
const TOKEN_RESPONSE_TEXTS = ["access_token", "token_type"];

/** What a sign-in is begun with. */
export interface BeginSignIn {
  /** Where the person wants to go afterwards, as it came. What is refused becomes the start page. */
  readonly returnTo: unknown;
  /** Whether the person must prove again who they are. */
  readonly reauth: boolean;
}

/** A sign-in that is done. */
export interface SignedIn {
  readonly identity: Identity;
  /** Absolute URL on our own origin. */
  readonly returnTo: string;
  readonly reauth: boolean;
  /** For `id_token_hint`; hides itself. */
  readonly idToken: Secret;
  /** Null where none was asked for or given. */
  readonly refreshToken: Secret | null;
}

/** The authorization code flow with PKCE, from the first redirect to an identity. */
export class SignIn {
  readonly #settings: OidcSettings;
  readonly #provider: Provider;
  readonly #ports: OidcPorts;
  readonly #logouts: Pick<LogoutSink, "isEnded">;
  #clientAuth: Promise<ClientAuth> | null = null;

  constructor(
    settings: OidcSettings,
    provider: Provider,
    ports: OidcPorts,
    logouts: Pick<LogoutSink, "isEnded">,
  ) {
    this.#settings = settings;
    this.#provider = provider;
    this.#ports = ports;
    this.#logouts = logouts;
  }

  /**
   * Begins a sign-in and keeps it among those of the browser. The URL that it returns carries `state`, `nonce` and the
   * S256 challenge, and not the verifier.
   *
   * Errors: those of reaching the provider; nothing is kept then.
   * @see OpenID Connect Core 1.0, section 3.1.2.1; RFC 7636, section 4; RFC 9700, section 2.1.1
   */
  async begin(request: BeginSignIn, browser: PendingSignIns): Promise<string> {
    try {
      return await this.#begin(request, browser);
    } catch (thrown) {
      throw this.#logged(thrown, "sign-in cannot begin");
    }
  }

  async #begin({ returnTo, reauth }: BeginSignIn, browser: PendingSignIns): Promise<string> {
    const { scopes, publicBaseUrl, redirectUri, refresh } = this.#settings;
    const metadata = await this.#provider.metadata();
    const pending: PendingSignIn = {
      state: randomState(),
      nonce: randomNonce(),
      codeVerifier: randomPKCECodeVerifier(),
      issuer: metadata.issuer,
      returnTo: readReturnTo(returnTo, publicBaseUrl) === null ? "/" : String(returnTo),
      createdAtMs: this.#ports.clock.epochMs(),
      reauth,
    };
    const parameters: Record<string, string> = {
      redirect_uri: redirectUri,
      scope: scopes.join(" "),
      state: pending.state,
      nonce: pending.nonce,
      code_challenge: await calculatePKCECodeChallenge(pending.codeVerifier),
      code_challenge_method: "S256",
    };
    const prompts = [...(reauth ? ["login"] : []), ...(refresh ? ["consent"] : [])];
    if (prompts.length > 0) parameters["prompt"] = prompts.join(" ");
    if (reauth) parameters["max_age"] = "0";
    const url = buildAuthorizationUrl(await this.#configuration(metadata), parameters);
    await browser.put(pending);
    return url.href;
  }

  /**
   * Finishes a sign-in. The pending sign-in is taken, in one atomic step, before anything is sent: of any number of
   * callbacks with one state, one makes a token request.
   *
   * Errors: an {@link OidcError} and nothing else. A malformed query and an unknown state take nothing.
   * @param query what follows the `?`, as it came
   * @see OpenID Connect Core 1.0, section 3.1.2.5 to 3.1.3.7; RFC 9207, section 2.4
   */
  async finish(query: string, browser: PendingSignIns): Promise<SignedIn> {
    try {
      const response = readCallbackQuery(query);
      const pending = await this.#take(response.state, browser);
      return await this.#exchange(response, pending);
    } catch (thrown) {
      throw this.#logged(thrown, "sign-in failed");
    }
  }

  async #take(state: string, browser: PendingSignIns): Promise<PendingSignIn> {
    const pending = await browser.take(state);
    const ageMs = pending === null ? 0 : this.#ports.clock.epochMs() - pending.createdAtMs;
    if (pending === null || ageMs > PENDING_TTL_MS) throw new OidcError("ERR_OIDC_SIGN_IN_EXPIRED");
    return pending;
  }

  async #exchange(response: CallbackQuery, pending: PendingSignIn): Promise<SignedIn> {
    const { publicBaseUrl } = this.#settings;
    const metadata = await this.#provider.metadata();
    checkIssuer(response, pending, metadata);
    if (response.error !== null) throw authorizationError(response.error);
    const config = await this.#configuration(metadata);
    config[customFetch] = requireTexts(this.#provider.http.libraryFetch, TOKEN_RESPONSE_TEXTS);
    const tokens = await authorizationCodeGrant(config, this.#callbackUrl(response), {
      pkceCodeVerifier: pending.codeVerifier,
      expectedState: pending.state,
      expectedNonce: pending.nonce,
      idTokenExpected: true,
    }).catch((thrown: unknown) => {
      throw toTokenRequestError(thrown);
    });
    if (tokens.id_token === undefined) throw new OidcError("ERR_OIDC_ID_TOKEN_INVALID", "missing");
    const claims = await this.#verify(tokens.id_token, tokens.access_token, pending, metadata);
    const userinfo = await this.#userinfo(config, tokens.access_token, claims, metadata);
    const identity = identityOf(metadata.issuer, claims, userinfo, this.#settings);
    if (await this.#logouts.isEnded(identity)) throw new OidcError("ERR_OIDC_SIGNED_OUT");
    const refreshToken = this.#settings.refresh ? tokens.refresh_token : undefined;
    return {
      identity,
      returnTo: returnToUrl(pending.returnTo, publicBaseUrl),
      reauth: pending.reauth,
      idToken: new Secret(tokens.id_token),
      refreshToken: refreshToken === undefined ? null : new Secret(refreshToken),
    };
  }

  /** The callback as it must have been called: our own redirect URI, and what was read of the query. */
  #callbackUrl({ state, code, iss }: CallbackQuery): URL {
    const url = new URL(this.#settings.redirectUri);
    url.searchParams.set("state", state);
    if (code !== null) url.searchParams.set("code", code);
    if (iss !== null) url.searchParams.set("iss", iss);
    return url;
  }

  #verify(
    idToken: string,
    accessToken: string,
    pending: PendingSignIn,
    metadata: ProviderMetadata,
  ): Promise<IdTokenClaims> {
    const { clientId, clockToleranceSec } = this.#settings;
    const leastMs = pending.createdAtMs - REAUTH_SLACK_MS;
    return verifyIdToken(idToken, this.#provider.keys, this.#ports.clock, {
      issuer: metadata.issuer,
      clientId,
      algs: metadata.algs,
      clockToleranceSec,
      nonce: pending.nonce,
      accessToken,
      authTimeLeast: pending.reauth ? Math.floor(leastMs / 1_000) : null,
    });
  }

  /** Claims that the ID token lacks. Its `sub` must be that of the ID token: OpenID Connect Core, section 5.3.2. */
  async #userinfo(
    config: Configuration,
    accessToken: string,
    claims: IdTokenClaims,
    metadata: ProviderMetadata,
  ): Promise<Claims> {
    if (metadata.userinfoEndpoint === null || !wantsUserinfo(claims.all, this.#settings)) return {};
    config[customFetch] = requireTexts(this.#provider.http.libraryFetch, ["sub"]);
    return await fetchUserInfo(config, accessToken, claims.sub);
  }

  /** The error of the table, after a line about it that names codes alone. */
  #logged(thrown: unknown, message: string): OidcError {
    const error = toOidcError(thrown);
    const level = error.row.severity === "alarm" ? "error" : "warn";
    this.#ports.log[level]({ code: error.code, rule: error.rule }, message);
    return error;
  }

  /** Made anew for each use, which costs nothing: it takes the newest metadata and the difference of the clocks. */
  async #configuration({ server, algs }: ProviderMetadata): Promise<Configuration> {
    const { clientId, credentials, clockToleranceSec, allowInsecure } = this.#settings;
    this.#clientAuth ??= clientAuthOf(credentials);
    const config = new Configuration(
      server,
      clientId,
      {
        // The library takes a list; its types know of one.
        ...({ id_token_signed_response_alg: [...algs] } as object),
        // Its own clock is the process's.
        [clockSkew]: Math.round((this.#ports.clock.epochMs() - Date.now()) / 1_000),
        [clockTolerance]: clockToleranceSec,
      },
      await this.#clientAuth,
    );
    config[customFetch] = this.#provider.http.libraryFetch;
    if (allowInsecure) allowInsecureRequests(config);
    return config;
  }
}

/** The answer comes from the issuer that the browser was sent to. RFC 9207, section 2.4. */
function checkIssuer(
  { iss }: CallbackQuery,
  pending: PendingSignIn,
  metadata: ProviderMetadata,
): void {
  const required = metadata.issRequired || iss !== null;
  if (pending.issuer !== metadata.issuer || (required && iss !== pending.issuer)) {
    throw new OidcError("ERR_OIDC_CALLBACK_INVALID", "iss");
  }
}
