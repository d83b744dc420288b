import { createHash, randomBytes } from "node:crypto";
import { z } from "zod";
import { type Clock, monotonicClock } from "../../core/clock.ts";
import { digestsEqual } from "../../core/token.ts";
import { httpAudit } from "../audit/index.ts";
import { AuthFailures } from "../auth-failures.ts";
import type { ApiContext } from "../context.ts";
import { apiError } from "../errors.ts";
import { type IssuedKey, issueKey, keyError, REAUTH_MS } from "../keys/index.ts";
import type {
  Asker,
  AuthVerdict,
  HttpAudit,
  HttpAuditEvent,
  Principal,
  SessionFacts,
} from "../ports.ts";
import { json, type Reply, type ReplyHeaders, redirect } from "../reply.ts";
import { fieldOf } from "../request-fields.ts";
import { type Call, type Route, route } from "../route.ts";
import type { Scope } from "../scopes.ts";
import {
  addCliLogin,
  approveCliLogin,
  type CliLogin,
  declineCliLogin,
  getUser,
  type Role,
  takeCliLogin,
  tenantId,
} from "../store/index.ts";
import { cliLoginError } from "./errors.ts";
import { consentPage } from "./page.ts";
import {
  CLI_LOGIN_QUERY,
  type CliLoginQuery,
  grantedScopes,
  isLoopbackRedirect,
  KEY_DAYS_DEFAULT,
} from "./request.ts";

/** What the routes work with besides the context. */
export interface CliLoginDeps {
  /** Who a login cookie is, as for any route of class `session`. */
  readonly authenticateCookie: (value: string, asker: Asker) => AuthVerdict | Promise<AuthVerdict>;
  readonly publicBaseUrl: string;
  /** For the limit of failed exchanges; the process's monotonic clock by default. */
  readonly clock?: Clock;
}

/** Where the page is. Not under `/api/auth/`, so that a sign-in may lead back to it. */
export const CLI_LOGIN_PATH = "/cli-login";
const DAY_MS = 24 * 60 * 60_000;
const EXCHANGE_LIMITS = { failuresMax: 60, windowMs: 10 * 60_000, addressesMax: 10_000 };

const CONSENT_FORM = z.strictObject({
  consent: z.string().regex(/^[A-Za-z0-9_-]{43}$/),
  decision: z.enum(["allow", "deny"]),
});

const EXCHANGE_BODY = z.strictObject({
  code: z.string().max(256),
  /** RFC 7636, section 4.1. */
  code_verifier: z.string().regex(/^[A-Za-z0-9._~-]{43,128}$/),
});

const EXCHANGED = z.object({
  key: z.string(),
  ref: z.string(),
  name: z.string(),
  scopes: z.array(z.string()),
  expires_at: z.string(),
  user: z.object({ id: z.string(), email: z.string().nullable(), name: z.string().nullable() }),
});

const PAGE = { description: "A page.", mediaType: "text/html" };

/** Somebody who is signed in. */
interface SignedIn {
  readonly principal: Principal;
  readonly session: SessionFacts;
  /** The cookie anew, where it is to be; asked when the answer is made. */
  readonly headers: () => ReplyHeaders;
}

/** The routes of `hawser login`: the page that asks a person, its answer, and the exchange of the code for a key. */
export function cliLoginRoutes(context: ApiContext, deps: CliLoginDeps): Route[] {
  const part = new CliLoginPart(context, deps);
  return [
    route({
      method: "GET",
      path: CLI_LOGIN_PATH,
      class: "page",
      reason: "Leads to the sign-in where nobody is signed in.",
      summary: "Asks the person whether a command line on their machine may have an API key.",
      head: false,
      query: CLI_LOGIN_QUERY,
      responses: { 200: PAGE, 303: { description: "To the sign-in." } },
      handler: (call) => part.ask(call),
    }),
    route({
      method: "POST",
      path: CLI_LOGIN_PATH,
      class: "page",
      reason: "The page's own form: it checks cookie, origin and consent itself.",
      summary: "Takes the person's answer.",
      body: { kind: "form", schema: CONSENT_FORM, bytesMax: 1_024 },
      responses: { 303: { description: "To the command line, with a code or `access_denied`." } },
      handler: (call) => part.answer(call, call.body),
    }),
    route({
      method: "POST",
      path: "/api/cli-login/exchange",
      class: "public",
      reason: "The code, with the verifier that only the command line has, is the credential.",
      summary: "Exchanges the code of a consent for an API key, once.",
      body: { kind: "json", schema: EXCHANGE_BODY, bytesMax: 2_048 },
      responses: { 201: { description: "The key, shown once.", schema: EXCHANGED } },
      handler: (call) => part.exchange(call, call.body),
    }),
  ];
}

class CliLoginPart {
  readonly #context: ApiContext;
  readonly #deps: CliLoginDeps;
  readonly #failures: AuthFailures;
  readonly #origin: string;
  readonly #refusals: HttpAudit;

  constructor(context: ApiContext, deps: CliLoginDeps) {
    this.#context = context;
    this.#deps = deps;
    this.#failures = new AuthFailures(EXCHANGE_LIMITS, deps.clock ?? monotonicClock);
    this.#origin = new URL(deps.publicBaseUrl).origin;
    this.#refusals = httpAudit(context.audit, context.now);
  }

  async ask(call: Call<undefined, CliLoginQuery, undefined>): Promise<Reply> {
    const { query } = call;
    const person = await this.#signedIn(call);
    if (person === null) return this.#toSignIn(query, false);
    if (!this.#isFresh(person.session)) return this.#toSignIn(query, true);
    const { principal, session, headers } = person;
    const scopes = grantedScopes(query.scope, principal.role);
    if (scopes === null || scopes.granted.length === 0) throw cliLoginError("cli_login_invalid");
    const consent = randomBytes(32).toString("base64url");
    const { store, now } = this.#context;
    const tenant = tenantId(principal.tenantId);
    const keyLifetimeMs = Number(query.days ?? KEY_DAYS_DEFAULT) * DAY_MS;
    const user = await getUser(store, tenant, principal.userId);
    await addCliLogin(store, tenant, principal.userId, {
      consentDigest: digestOf(consent),
      sessionKey: session.key,
      redirectUri: query.redirect_uri,
      codeChallenge: query.code_challenge,
      oauthState: query.state,
      name: query.name,
      scopes: scopes.granted,
      keyLifetimeMs,
    });
    return consentPage(
      {
        ...scopes,
        consent,
        name: query.name,
        expiresAtMs: now() + keyLifetimeMs,
        asker: new URL(query.redirect_uri).host,
        person: user?.email ?? user?.name ?? principal.userId,
      },
      headers(),
    );
  }

  async answer(
    call: Call<undefined, undefined, unknown>,
    { consent, decision }: z.output<typeof CONSENT_FORM>,
  ): Promise<Reply> {
    this.#checkSameOrigin(call);
    const person = await this.#signedIn(call);
    if (person === null) throw cliLoginError("cli_login_over");
    const { principal, session, headers } = person;
    if (!this.#isFresh(session)) throw keyError("reauth_required");
    const { store } = this.#context;
    const tenant = tenantId(principal.tenantId);
    const given = { consentDigest: digestOf(consent), sessionKey: session.key };
    if (decision === "deny") {
      const declined = await declineCliLogin(store, tenant, principal.userId, given);
      return toCommandLine(declined, { error: "access_denied" }, headers());
    }
    const code = randomBytes(32).toString("base64url");
    const codeDigest = digestOf(code);
    const approved = await approveCliLogin(store, tenant, principal.userId, {
      ...given,
      codeDigest,
    });
    return toCommandLine(approved, { code }, headers());
  }

  async exchange(
    call: Call<undefined, undefined, unknown>,
    { code, code_verifier }: z.output<typeof EXCHANGE_BODY>,
  ): Promise<Reply> {
    const retryAfter = this.#failures.retryAfter(call.address);
    if (retryAfter > 0) {
      this.#refuse("excess_rate_limit_exceeded", call, "cli_login");
      throw apiError("rate_limited", { retryAfter });
    }
    const { store } = this.#context;
    const login = await takeCliLogin(store, digestOf(code));
    const isProven = provesChallenge(code_verifier, login?.codeChallenge ?? "");
    if (login === null || !isProven) {
      this.#failures.failed(call.address);
      this.#context.audit.record({
        event: "authn_login_fail",
        tenant: null,
        asker: askerOf(call),
        actor: null,
        detail: { part: "cli_login", reason: login === null ? "cli_code" : "cli_verifier" },
      });
      throw cliLoginError("cli_login_code_invalid");
    }
    const user = await getUser(store, login.tenant, login.userId);
    // As if the code never was: there is nobody any more whose key it could be.
    if (user === null) throw cliLoginError("cli_login_code_invalid");
    const { text, key } = await this.#issue(login, user.role, call);
    return json(201, {
      key: text,
      ref: key.ref,
      name: key.name,
      scopes: key.scopes,
      expires_at: new Date(key.expiresAt).toISOString(),
      user: { id: user.id, email: user.email, name: user.name },
    });
  }

  /** What the person has allowed, as far as they may do it still. */
  #issue(login: CliLogin, role: Role, asker: Asker): Promise<IssuedKey> {
    const { tenant, userId, sessionKey, name, scopes, keyLifetimeMs } = login;
    const owner = { tenant, userId, role, sessionRef: sessionKey.slice(0, 12) };
    const { granted } = grantedScopes(scopes.join(" "), role) ?? { granted: [] };
    // Where nothing is left, the answer is that of keys: an administrator's scopes.
    const left = granted.length > 0 ? granted : (scopes as readonly Scope[]);
    const wish = { name, scopes: left, devices: null, requestsPerMinute: null };
    const expiresAtMs = this.#context.store.now() + keyLifetimeMs;
    return issueKey(this.#context, owner, { ...wish, expiresAtMs }, askerOf(asker), "cli_login");
  }

  /** Null where the cookie is nobody's. */
  async #signedIn(call: Call<undefined, unknown, unknown>): Promise<SignedIn | null> {
    if (call.cookie === null) return null;
    const verdict = await this.#deps.authenticateCookie(call.cookie, askerOf(call));
    if (!verdict.ok) {
      if (verdict.reason === "unavailable") {
        throw apiError("unavailable", { retryAfter: verdict.retryAfter });
      }
      return null;
    }
    const { principal, setCookie } = verdict;
    const { session } = principal;
    if (principal.kind !== "session" || session === undefined) return null;
    const headers = (): ReplyHeaders => {
      const cookie = setCookie?.() ?? null;
      return cookie === null ? {} : { "set-cookie": cookie };
    };
    return { principal, session, headers };
  }

  #isFresh({ authTimeMs }: SessionFacts): boolean {
    return this.#context.now() - authTimeMs <= REAUTH_MS;
  }

  /** To the sign-in, which leads back here. */
  #toSignIn(query: CliLoginQuery, isAgain: boolean): Reply {
    const back = new URLSearchParams();
    for (const [name, value] of Object.entries(query))
      if (value !== undefined) back.set(name, value);
    const url = new URL("/api/auth/login", this.#deps.publicBaseUrl);
    if (isAgain) url.searchParams.set("reauth", "1");
    url.searchParams.set("return_to", `${CLI_LOGIN_PATH}?${back}`);
    return redirect(url.href);
  }

  /** What a form can prove: a browser says that it is our own page's. */
  #checkSameOrigin(call: Call<undefined, undefined, unknown>): void {
    const origin = fieldOf(call.request, "origin");
    const site = fieldOf(call.request, "sec-fetch-site");
    if (origin === this.#origin && site === "same-origin") return;
    this.#refuse("malicious_csrf", call, origin === this.#origin ? "fetch_site" : "origin");
    throw apiError("csrf_failed");
  }

  /** What anybody may cause as often as they like. */
  #refuse(event: HttpAuditEvent["event"], call: Asker, reason: string): void {
    const about = { event, asker: askerOf(call), principal: null };
    this.#refusals.record({ ...about, route: CLI_LOGIN_PATH, reason });
  }
}

/** Where a consent was answered, back to the program that asked. */
function toCommandLine(
  login: CliLogin | null,
  answer: Readonly<Record<string, string>>,
  headers: ReplyHeaders,
): Reply {
  if (login === null || !isLoopbackRedirect(login.redirectUri)) {
    throw cliLoginError("cli_login_over");
  }
  const url = new URL(login.redirectUri);
  for (const [name, value] of Object.entries(answer)) url.searchParams.set(name, value);
  url.searchParams.set("state", login.oauthState);
  return redirect(url.href, headers);
}

function askerOf({ requestId, address, userAgent }: Asker): Asker {
  return { requestId, address, userAgent };
}

function digestOf(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

/** @see RFC 7636, section 4.6 */
function provesChallenge(verifier: string, challenge: string): boolean {
  const stored = Buffer.from(challenge, "base64url").toString("hex");
  return digestsEqual(digestOf(verifier), stored);
}
