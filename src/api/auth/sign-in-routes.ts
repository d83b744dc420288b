import type { IncomingMessage } from "node:http";
import { OidcError, readReturnTo, returnToUrl, type SignedIn } from "../oidc/index.ts";
import { empty, type Reply, type ReplyHeaders, redirect } from "../reply.ts";
import { fieldOf } from "../request-fields.ts";
import type { Route } from "../route.ts";
import { noteSignIn, startLoginSession, type User } from "../store/index.ts";
import { BrowserSignIns, NOTHING_PENDING } from "./browser-sign-ins.ts";
import {
  authFailure,
  FAILURE_PAGES,
  failureOf,
  failureReply,
  type OpenCall,
  page,
  refusalByLimit,
  startFailureOf,
} from "./failures.ts";
import { membershipOf } from "./membership.ts";
import type { Failure } from "./pages.ts";
import type { AuthParts } from "./parts.ts";
import { askerOf, isPrefetch, onlyValue, queryTextOf, userAgentFamily } from "./requests.ts";
import type { Visitor } from "./session-auth.ts";
import type { BrowserId } from "./session-cookie.ts";
import { sessionRefOf } from "./session-endings.ts";

const PREFETCHED = { description: "Fetched ahead of a click: nothing was done." };

/** `GET /api/auth/login` and `GET /api/auth/callback`. */
export function signInRoutes(parts: AuthParts): Route[] {
  return [
    page({
      path: "/api/auth/login",
      reason: "Signing in begins here.",
      summary: "Sends the browser to the identity provider; `return_to` and `reauth=1` are taken.",
      head: false,
      responses: {
        ...FAILURE_PAGES,
        200: {
          description: "Another site began this: the person is asked.",
          mediaType: "text/html",
        },
        204: PREFETCHED,
        303: { description: "To the identity provider, or back where somebody is signed in." },
      },
      handler: (call) => login(parts, call),
    }),
    page({
      path: "/api/auth/callback",
      reason: "The identity provider sends the browser here; the state in its store is the proof.",
      summary: "Completes a sign-in.",
      head: false,
      responses: {
        ...FAILURE_PAGES,
        200: { description: "Leads there where a redirect cannot.", mediaType: "text/html" },
        204: PREFETCHED,
        303: { description: "To where the person wanted to go." },
      },
      handler: (call) => callback(parts, call),
    }),
  ];
}

async function login(parts: AuthParts, call: OpenCall): Promise<Reply> {
  if (isPrefetch(call.request)) return empty(204);
  const refusal = refusalByLimit("logins", call, parts);
  if (refusal !== null) return refusal;
  const { sessions, settings, pages, party } = parts;
  const parameters = new URLSearchParams(queryTextOf(call.request));
  const returnTo = onlyValue(parameters, "return_to");
  const reauth = onlyValue(parameters, "reauth") === "1";
  const visitor = await sessions.visitor(call.cookie, call);
  if (visitor.session !== null && !reauth) {
    const url = returnToUrl(returnTo, settings.publicBaseUrl);
    const headers = sessions.reissue(visitor);
    return isShutFrom(url, call.request) ? pages.goOn(url, false, headers) : redirect(url, headers);
  }
  if (mustConfirm(call.request, parts)) {
    return pages.confirmStart(startPath(returnTo, reauth, settings.publicBaseUrl));
  }
  const { browser, isReplaced } = await browserOf(visitor, parts);
  const signIns = new BrowserSignIns(parts.context.store, parts.box, browser.key, parts.options);
  try {
    const url = await party.signIn.begin({ returnTo, reauth }, signIns);
    // Overtaken by a sign-in in another tab, whose cookie must not be taken away.
    const headers = startCookie(visitor, browser, parts);
    const isNew = "set-cookie" in headers && !isReplaced;
    const mustLeave = !isNew || (await browserOf(visitor, parts)).isReplaced;
    return redirect(url, mustLeave ? {} : headers);
  } catch (error) {
    return failureReply(startFailureOf(error, signIns.failure, parts), call, parts);
  }
}

/** The cookie of a start: that of a new id, or the present one under a newer key; nothing where the browser has it. */
function startCookie(visitor: Visitor, browser: BrowserId, parts: AuthParts): ReplyHeaders {
  const { browser: known, session } = visitor;
  if (session !== null) return parts.sessions.reissue(visitor);
  if (known?.key === browser.key && !known.isStale) return {};
  return { "set-cookie": parts.cookies.write(browser.sid) };
}

/**
 * The browser's own id where something is kept under it; else a new one. One that a sign-in has just replaced stays: the
 * cookie of the new one may be on its way, and what is given here would arrive behind it.
 */
async function browserOf(
  { browser, session }: Visitor,
  { cookies, sessions }: AuthParts,
): Promise<{ readonly browser: BrowserId; readonly isReplaced: boolean }> {
  if (browser === null) return { browser: cookies.mint(), isReplaced: false };
  if (session !== null) return { browser, isReplaced: false };
  const trace = await sessions.stored(sessions.traceOf(browser.key));
  return { browser: trace === null ? cookies.mint() : browser, isReplaced: trace === "replaced" };
}

/**
 * Whether another site sent the browser here: it must not sign a person in without their doing. A subdomain passes
 * where one of the configured applications is such a neighbour.
 */
function mustConfirm(request: IncomingMessage, { options, origins }: AuthParts): boolean {
  if (!options.confirmCrossSiteStart) return false;
  const site = fieldOf(request, "sec-fetch-site");
  if (site === "same-site") {
    return ![...origins.others].some((other) => areNeighbours(other, origins.own));
  }
  return site === "cross-site";
}

function areNeighbours(one: string, other: string): boolean {
  const [a, b] = [new URL(one), new URL(other)];
  const site = ({ hostname }: URL): string => hostname.split(".").slice(-2).join(".");
  return a.protocol === b.protocol && site(a) === site(b);
}

function startPath(returnTo: string | null, reauth: boolean, base: string): string {
  const parameters = new URLSearchParams();
  const isKept = returnTo !== null && readReturnTo(returnTo, base) !== null;
  if (isKept) parameters.set("return_to", returnTo);
  if (reauth) parameters.set("reauth", "1");
  const query = parameters.toString();
  return `/api/auth/login${query === "" ? "" : `?${query}`}`;
}

async function callback(parts: AuthParts, call: OpenCall): Promise<Reply> {
  if (isPrefetch(call.request)) return empty(204);
  const refusal = refusalByLimit("callbacks", call, parts);
  if (refusal !== null) return refusal;
  const { sessions, context, settings } = parts;
  const visitor = await sessions.visitor(call.cookie, call);
  const signIns =
    visitor.browser === null
      ? null
      : new BrowserSignIns(context.store, parts.box, visitor.browser.key, parts.options);
  let signedIn: SignedIn;
  try {
    const query = queryTextOf(call.request);
    signedIn = await parts.party.signIn.finish(query, signIns ?? NOTHING_PENDING);
  } catch (error) {
    const failure = failureOf(error, signIns?.failure ?? null, parts);
    const isOld = error instanceof OidcError && error.code === "ERR_OIDC_SIGN_IN_EXPIRED";
    // Most likely the back button, after the sign-in was completed.
    if (isOld && visitor.session !== null) {
      return redirect(returnToUrl("/", settings.publicBaseUrl), sessions.reissue(visitor));
    }
    return refused(failure, error, call, parts);
  }
  return admit(signedIn, { ...visitor, takenState: signIns?.takenState ?? null }, call, parts);
}

/** A sign-in that failed: its page, and its line in the audit log. */
function refused(failure: Failure, error: unknown, call: OpenCall, parts: AuthParts): Reply {
  const isOidc = error instanceof OidcError;
  const about = {
    reason: isOidc ? error.code : failure.code,
    rule: isOidc ? error.rule : null,
    severity: isOidc ? error.row.severity : "normal",
  };
  tellRefused(about, call, parts);
  return failureReply(failure, call, parts);
}

function tellRefused(
  detail: Readonly<Record<string, string | null>>,
  call: OpenCall,
  { context }: AuthParts,
): void {
  const about = { event: "authn_login_fail", tenant: null, asker: askerOf(call), actor: null };
  context.audit.record({ ...about, detail });
}

/** Gives somebody whom the provider has vouched for a session, under a new id. */
async function admit(
  signedIn: SignedIn,
  visitor: Visitor & { readonly takenState: string | null },
  call: OpenCall,
  parts: AuthParts,
): Promise<Reply> {
  const { context, options, settings, sessions } = parts;
  const { identity } = signedIn;
  const absoluteExpiresAt = absoluteLimit(signedIn, parts);
  if (absoluteExpiresAt <= context.now()) {
    return refused(authFailure("session_expiry_past"), null, call, parts);
  }
  const member = membershipOf(identity, settings.roleClaim !== null, options.adminRole);
  const user = await sessions.stored(
    noteSignIn(context.store, member.tenant, {
      iss: identity.issuer,
      sub: identity.sub,
      email: identity.email,
      name: identity.name,
      ...(member.role === undefined ? {} : { role: member.role }),
    }),
  );
  if (user === null) return refused(authFailure("account_disabled"), null, call, parts);
  const browser = parts.cookies.mint();
  const replacesKey = visitor.browser?.key ?? null;
  if (replacesKey !== null) parts.recent.note(replacesKey, "replaced");
  const started = await sessions.stored(
    startLoginSession(
      context.store,
      user.tenant,
      {
        key: browser.key,
        userId: user.id,
        iss: identity.issuer,
        sub: identity.sub,
        idpSid: identity.sid,
        issuedAt: identity.issuedAtMs,
        absoluteExpiresAt,
        authTime: identity.authTimeMs ?? identity.issuedAtMs,
        acr: identity.acr,
        amr: identity.amr,
        userAgent: userAgentFamily(call.userAgent),
        ip: call.address,
        sealedTokens: sealedTokens(signedIn, browser, parts),
      },
      {
        replacesKey,
        perUserMax: options.sessionsPerUserMax,
        ...(visitor.takenState === null ? {} : { takenState: visitor.takenState }),
      },
    ),
  );
  if (started === "overtaken") {
    tellRefused({ reason: "overtaken" }, call, parts);
    // It has signed out, or in, meanwhile: the start page says which.
    return redirect(returnToUrl("/", settings.publicBaseUrl));
  }
  if (started === null) {
    const error = new OidcError("ERR_OIDC_SIGNED_OUT");
    return refused(failureOf(error, null, parts), error, call, parts);
  }
  const renews = signedIn.reauth && visitor.session?.userId === user.id;
  const by = { asker: askerOf(call), actor: user.id };
  const isFormer = ({ key }: { key: string }): boolean => key === replacesKey;
  parts.endings.ended(started.ended.filter(isFormer), renews ? "renewed" : "replaced", by);
  const surplus = started.ended.filter((session) => !isFormer(session));
  parts.endings.ended(surplus, "session_limit", by);
  tellAdmitted(user, started.session, renews, call, parts);
  const cookie = parts.cookies.write(browser.sid, sessions.maxAgeSec(absoluteExpiresAt));
  const headers = { "set-cookie": cookie };
  if (!isShutFrom(signedIn.returnTo, call.request)) return redirect(signedIn.returnTo, headers);
  // Unless starts are confirmed, the person may never have done anything on a page of ours.
  return parts.pages.goOn(signedIn.returnTo, options.confirmCrossSiteStart, headers);
}

/**
 * Whether a redirect from here would be refused there: to a browser a chain that another site began, such as the provider
 * with its answer, stays that site's to its end, and what other sites ask of the API with the cookie is refused.
 */
function isShutFrom(url: string, request: IncomingMessage): boolean {
  const isApi = new URL(url).pathname.startsWith("/api/");
  return isApi && fieldOf(request, "sec-fetch-site") === "cross-site";
}

function absoluteLimit({ identity }: SignedIn, { context, options }: AuthParts): number {
  const limits = [context.now() + options.sessionAbsoluteMs];
  if (identity.sessionExpiresAtMs !== null) limits.push(identity.sessionExpiresAtMs);
  if (options.sessionEndsWithIdToken) limits.push(identity.idTokenExpiresAtMs);
  return Math.floor(Math.min(...limits));
}

/** The ID token is kept for the provider's logout page alone. A refresh token is not used, and so not kept. */
function sealedTokens(
  { idToken }: SignedIn,
  { key }: BrowserId,
  { settings, box }: AuthParts,
): string | null {
  return settings.idTokenHint ? box.seal("session-tokens", key, idToken.reveal()) : null;
}

function tellAdmitted(
  { id, tenant }: User,
  { key, publicId }: { readonly key: string; readonly publicId: string },
  renews: boolean,
  call: OpenCall,
  { context }: AuthParts,
): void {
  const about = { tenant, asker: askerOf(call), actor: id, sessionRef: sessionRefOf(key) };
  context.audit.record({ event: "authn_login_success", ...about });
  const event = renews ? "session_renewed" : "session_created";
  context.audit.record({ event, ...about, objectId: publicId });
}
