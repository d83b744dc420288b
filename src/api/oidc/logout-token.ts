import type { JWTPayload } from "jose";
import { OidcError, toOidcError } from "./errors.ts";
import { headerType, textOrNull } from "./id-token.ts";
import type { LogoutNotice, LogoutSink, OidcPorts } from "./ports.ts";
import type { Provider } from "./provider.ts";
import type { OidcSettings } from "./settings.ts";

/** The member of `events` that makes a JWT a logout token. */
export const BACKCHANNEL_EVENT = "http://schemas.openid.net/event/backchannel-logout";
/** Bytes of a logout request. */
export const LOGOUT_BODY_BYTES_MAX = 16_384;

const AGE_MS_MAX = 300_000;
const TOMBSTONE_MS = 600_000;
const ID_LENGTH_MAX = 255;

/** What came of a logout request that was genuine. */
export interface BackchannelResult {
  readonly notice: LogoutNotice;
  /** `replayed` had no effect; the provider is told 200 all the same. */
  readonly outcome: "applied" | "replayed";
}

/** Takes logout tokens: verifies them and hands what they say to the sink. */
export class BackchannelLogout {
  readonly #settings: OidcSettings;
  readonly #provider: Provider;
  readonly #ports: OidcPorts;
  readonly #sink: LogoutSink;

  constructor(settings: OidcSettings, provider: Provider, ports: OidcPorts, sink: LogoutSink) {
    this.#settings = settings;
    this.#provider = provider;
    this.#ports = ports;
    this.#sink = sink;
  }

  /**
   * Takes the body of a logout request.
   *
   * Errors: `ERR_OIDC_LOGOUT_MEDIA_TYPE`, `ERR_OIDC_LOGOUT_TOO_LARGE`, `ERR_OIDC_LOGOUT_TOKEN_INVALID`, and those of
   * reaching the provider where its keys are not known. A sink that fails fails the call with `ERR_OIDC_INTERNAL`, so
   * that the provider tries again.
   * @param contentType the field as it came; undefined where there was none
   * @see OpenID Connect Back-Channel Logout 1.0, sections 2.5 to 2.8
   */
  async receive(contentType: string | undefined, body: Uint8Array): Promise<BackchannelResult> {
    try {
      const notice = await this.#verify(readForm(contentType, body));
      return { notice, outcome: await this.#sink.apply(notice) };
    } catch (thrown) {
      const error = toOidcError(thrown);
      this.#ports.log.warn({ code: error.code, rule: error.rule }, "logout token refused");
      throw error;
    }
  }

  async #verify(token: string): Promise<LogoutNotice> {
    // Before any key is fetched: an ID token or a text that is no JWT costs the provider nothing.
    const typ = headerType(token);
    const known = typ === "logout+jwt" || typ === "application/logout+jwt";
    const optional = this.#settings.logoutTypOptional && (typ === null || typ === "jwt");
    if (!known && !optional) throw invalid("typ");
    return this.#readClaims(await this.#signedClaims(token));
  }

  async #signedClaims(token: string): Promise<JWTPayload> {
    const { clientId, clockToleranceSec } = this.#settings;
    const { issuer, algs } = await this.#provider.metadata();
    try {
      const { payload } = await this.#provider.keys.verify(token, {
        algorithms: [...algs],
        issuer,
        audience: clientId,
        clockTolerance: clockToleranceSec,
        currentDate: new Date(this.#ports.clock.epochMs()),
        requiredClaims: ["iat", "jti", "events"],
      });
      return payload;
    } catch (thrown) {
      throw asTokenError(thrown, "ERR_OIDC_LOGOUT_TOKEN_INVALID");
    }
  }

  #readClaims(payload: JWTPayload): LogoutNotice {
    const toleranceMs = this.#settings.clockToleranceSec * 1_000;
    const now = this.#ports.clock.epochMs();
    const issuedAtMs = (payload.iat ?? 0) * 1_000;
    if (issuedAtMs > now + toleranceMs || issuedAtMs < now - AGE_MS_MAX - toleranceMs) {
      throw invalid("iat");
    }
    if (payload["nonce"] !== undefined) throw invalid("nonce");
    if (!hasEvent(payload["events"])) throw invalid("events");
    const sid = identifier(payload, "sid");
    const sub = identifier(payload, "sub");
    if (sid === null && sub === null) throw invalid("sid_or_sub");
    const tokenId = identifier(payload, "jti");
    if (tokenId === null) throw invalid("jti");
    const expiresAtMs = (payload.exp ?? 0) * 1_000;
    return {
      issuer: payload.iss ?? "",
      sid,
      sub,
      issuedAtMs,
      tokenId,
      tokenIdUntilMs: Math.max(expiresAtMs, issuedAtMs + AGE_MS_MAX) + toleranceMs,
      tombstoneUntilMs: now + TOMBSTONE_MS,
    };
  }
}

/** Takes the one token out of the form. */
function readForm(contentType: string | undefined, body: Uint8Array): string {
  const mediaType = (contentType ?? "").split(";")[0]?.trim().toLowerCase();
  if (mediaType !== "application/x-www-form-urlencoded") {
    throw new OidcError("ERR_OIDC_LOGOUT_MEDIA_TYPE");
  }
  if (body.byteLength > LOGOUT_BODY_BYTES_MAX) throw new OidcError("ERR_OIDC_LOGOUT_TOO_LARGE");
  const form = new URLSearchParams(Buffer.from(body).toString("latin1"));
  const [token, ...others] = form.getAll("logout_token");
  if (token === undefined || others.length > 0) throw invalid("form");
  return token;
}

function hasEvent(events: unknown): boolean {
  if (typeof events !== "object" || events === null || Array.isArray(events)) return false;
  const event: unknown = Object.hasOwn(events, BACKCHANNEL_EVENT)
    ? (events as Record<string, unknown>)[BACKCHANNEL_EVENT]
    : null;
  return typeof event === "object" && event !== null && !Array.isArray(event);
}

/** Null where the claim is absent; one that is there and no usable text makes the token invalid. */
function identifier(payload: JWTPayload, name: string): string | null {
  if (payload[name] === undefined) return null;
  const text = textOrNull(payload[name]);
  if (text === null || text.length > ID_LENGTH_MAX) throw invalid(name);
  return text;
}

function invalid(rule: string): OidcError {
  return new OidcError("ERR_OIDC_LOGOUT_TOKEN_INVALID", rule);
}

/** The provider's own failures stay what they are; all else is the token's fault. */
export function asTokenError(
  thrown: unknown,
  code: "ERR_OIDC_LOGOUT_TOKEN_INVALID" | "ERR_OIDC_ACCESS_TOKEN_INVALID",
): OidcError {
  const error = toOidcError(thrown);
  if (error.row.status === 500) return error;
  if (error.row.status >= 500 && error.code !== "ERR_OIDC_KEY_UNKNOWN") return error;
  return new OidcError(code, error.rule ?? error.code);
}
