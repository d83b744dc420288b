import { createHash, randomBytes } from "node:crypto";
import { z } from "zod";
import { networkOf } from "../auth-failures.ts";
import { FORM_TYPE, JSON_TYPE } from "../body.ts";
import { type CsrfFault, csrfFault, isOwnForm } from "../csrf.ts";
import { apiError } from "../errors.ts";
import { LOGOUT_BODY_BYTES_MAX, OidcError, Secret } from "../oidc/index.ts";
import { empty, json, type Reply, redirect } from "../reply.ts";
import { fieldOf } from "../request-fields.ts";
import { BYTES, type Call, type Route, route } from "../route.ts";
import {
  addLogoutTicket,
  type EndedSession,
  endLoginSessionByKey,
  takeLogoutTicket,
} from "../store/index.ts";
import { FAILURE_PAGES, type OpenCall, page, refusalByLimit, tellLimit } from "./failures.ts";
import type { AuthParts } from "./parts.ts";
import { askerOf, isPrefetch, onlyValue, queryTextOf } from "./requests.ts";

/** How long a sign-out waits for the provider's metadata before it stays a local one. */
const PROVIDER_WAIT_MS = 2_000;
const TICKET_BYTES = 32;
const TICKET = /^[A-Za-z0-9_-]{43}$/;
const CLEAR_SITE_DATA = { "clear-site-data": '"cache", "storage"' };

/** Everything by which sessions end from outside: by the person, and by the identity provider. */
export function signOutRoutes(parts: AuthParts): Route[] {
  return [
    route({
      method: "POST",
      path: "/api/auth/logout",
      class: "public",
      reason:
        "Signing out again must not fail. It has the same defence against other sites as all else, and ends the asking browser's session alone.",
      summary: "Signs the browser out; then `continue` leads to the provider's own sign-out.",
      body: { kind: "stream", summary: "Nothing, or whatever a form sends; it is not read." },
      responses: {
        200: { description: "Signed out.", schema: z.object({ continue: z.string() }) },
        303: { description: "Signed out by an HTML form." },
      },
      handler: (call) => logout(parts, call),
    }),
    page({
      path: "/api/auth/logout/continue",
      reason: "The ticket, good once and for a minute, is the proof.",
      summary: "Sends the browser to the provider's own sign-out.",
      head: false,
      responses: {
        ...FAILURE_PAGES,
        204: { description: "Fetched ahead of a click: nothing was done." },
        303: { description: "To the provider, or to the page that says signed out." },
      },
      handler: (call) => continueLogout(parts, call),
    }),
    page({
      path: "/api/auth/logged-out",
      reason: "Shown to people who have just signed out.",
      summary: "Says that the person is signed out.",
      responses: { 200: { description: "A page.", mediaType: "text/html" } },
      handler: () => parts.pages.loggedOut(),
    }),
    route({
      method: "POST",
      path: "/api/auth/backchannel-logout",
      class: "public",
      reason: "The identity provider calls it; the signature of its logout token is the proof.",
      summary: "Takes logout tokens. OpenID Connect Back-Channel Logout 1.0.",
      body: {
        kind: "bytes",
        schema: BYTES,
        bytesMax: LOGOUT_BODY_BYTES_MAX,
        mediaTypes: [FORM_TYPE],
        summary: "A form with `logout_token`.",
      },
      responses: BACKCHANNEL_RESPONSES,
      handler: (call) => backchannelLogout(parts, call),
    }),
  ];
}

async function logout(parts: AuthParts, call: OpenCall): Promise<Reply> {
  const isForm = isOwnForm(call.request, parts.origins);
  const fault = isForm ? null : csrfFault(call.request, parts.origins, [JSON_TYPE]);
  if (fault !== null) throw forged(fault, call, parts);
  const ticket = await endBrowser(parts, call);
  const path = `/api/auth/logout/continue?t=${ticket}`;
  const headers = { "set-cookie": parts.cookies.clear(), ...CLEAR_SITE_DATA };
  if (isForm) return redirect(parts.settings.publicBaseUrl + path, headers);
  return json(200, { continue: path }, headers);
}

function forged(reason: CsrfFault, call: OpenCall, { refusals }: AuthParts): Error {
  const about = { event: "malicious_csrf", asker: askerOf(call), principal: null } as const;
  refusals.record({ ...about, route: "/api/auth/logout", reason });
  return apiError("csrf_failed");
}

/** Ends what the browser has, and gives a ticket. For a browser that has nothing it is one that nobody keeps. */
async function endBrowser(parts: AuthParts, call: OpenCall): Promise<string> {
  const ticket = randomBytes(TICKET_BYTES).toString("base64url");
  const reading = call.cookie === null ? null : parts.cookies.read(call.cookie);
  if (reading === null || !reading.ok) return ticket;
  const { key } = reading.cookie;
  const { store } = parts.context;
  parts.recent.note(key, "ended");
  const session = await parts.sessions.stored(endLoginSessionByKey(store, key));
  if (session === null) return ticket;
  parts.endings.ended([session], "signed_out", { asker: askerOf(call), actor: session.userId });
  const digest = digestOf(ticket);
  const hint = idTokenOf(session, call, parts) ?? "";
  const sealed = parts.box.seal("logout-ticket", digest, hint);
  // The session is over; a database that fails now makes this a local sign-out.
  await addLogoutTicket(store, { digest, sealed }).catch((error) => {
    parts.sessions.unavailable(error);
  });
  return ticket;
}

function idTokenOf(
  { key, tenant, userId, publicId, sealedTokens }: EndedSession,
  call: OpenCall,
  { box, context }: AuthParts,
): string | null {
  if (sealedTokens === null) return null;
  const idToken = box.open("session-tokens", key, sealedTokens);
  if (idToken === null) {
    context.audit.record({
      event: "session_tokens_unreadable",
      tenant,
      asker: askerOf(call),
      actor: userId,
      objectId: publicId,
    });
  }
  return idToken;
}

async function continueLogout(parts: AuthParts, call: OpenCall): Promise<Reply> {
  if (isPrefetch(call.request)) return empty(204);
  const refusal = refusalByLimit("callbacks", call, parts);
  if (refusal !== null) return refusal;
  const local = redirect(parts.settings.postLogoutRedirectUri);
  const ticket = onlyValue(new URLSearchParams(queryTextOf(call.request)), "t") ?? "";
  if (!TICKET.test(ticket)) return local;
  const digest = digestOf(ticket);
  const sealed = await parts.sessions.stored(takeLogoutTicket(parts.context.store, digest));
  const hint = sealed === null ? null : parts.box.open("logout-ticket", digest, sealed);
  if (hint === null) return local;
  const end = await soon(parts, parts.party.endSession(hint === "" ? null : new Secret(hint)));
  return end === null ? local : redirect(end.url.reveal());
}

/** What a promise gives within {@link PROVIDER_WAIT_MS}; else null. */
function soon<T>({ timers }: AuthParts, promise: Promise<T | null>): Promise<T | null> {
  return new Promise((resolve, reject) => {
    const timer = timers.set(() => resolve(null), PROVIDER_WAIT_MS);
    promise.then(resolve, reject).finally(() => timers.clear(timer));
  });
}

function digestOf(ticket: string): string {
  return createHash("sha256").update(ticket).digest("hex");
}

const oauthError = z.object({ error: z.string() });
const BACKCHANNEL_RESPONSES = {
  200: { description: "Done, also where there was nothing to end." },
  400: { description: "The logout token is not valid.", schema: oauthError },
  429: { description: "Too many that are not valid.", schema: oauthError },
  500: { description: "It could not be done.", schema: oauthError },
  502: { description: "The provider's keys cannot be used.", schema: oauthError },
  503: { description: "The provider's keys cannot be had.", schema: oauthError },
  504: { description: "The provider's keys did not come in time.", schema: oauthError },
} as const;

async function backchannelLogout(
  parts: AuthParts,
  call: Call<undefined, undefined, Buffer>,
): Promise<Reply> {
  const failures = parts.limits.backchannelFailures;
  const retryAfter = failures.retryAfter(call.address);
  if (retryAfter > 0) {
    tellLimit("backchannel", call, parts);
    return json(429, { error: "rate_limited" }, { "retry-after": String(retryAfter) });
  }
  const about = { event: "bcl_received", tenant: null, asker: askerOf(call), actor: null };
  try {
    const type = fieldOf(call.request, "content-type");
    const { notice, outcome } = await parts.party.backchannelLogout.receive(type, call.body);
    const ended = parts.logouts.endedBy(notice);
    parts.context.audit.record({ ...about, detail: { outcome, ended: ended.length } });
    parts.endings.ended(ended, "provider", { asker: askerOf(call), actor: null });
    return empty(200);
  } catch (error) {
    if (!(error instanceof OidcError)) throw error;
    const { row, code, rule } = error;
    if (row.status < 500) failures.count(call.address);
    const outcome = row.status < 500 ? "refused" : "failed";
    // While the provider's keys cannot be had nobody knows who is the provider, and anybody could fill the log.
    const suppressed = parts.failedNotices.admit(about.event, networkOf(call.address));
    if (suppressed !== null) {
      const left = suppressed === 0 ? {} : { suppressed };
      parts.context.audit.record({ ...about, detail: { outcome, reason: code, rule, ...left } });
    }
    const headers = row.retryAfter > 0 ? { "retry-after": String(row.retryAfter) } : {};
    return json(row.status, { error: row.status < 500 ? "invalid_request" : row.word }, headers);
  }
}
