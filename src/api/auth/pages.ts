import type { ApiErrorRow } from "../errors.ts";
import type { OidcErrorRow } from "../oidc/index.ts";
import { escapeHtml } from "../problem.ts";
import { html, type Reply, type ReplyHeaders } from "../reply.ts";

const STYLE = `:root{color-scheme:light dark}
body{font:1rem/1.5 system-ui,sans-serif;margin:0 auto;max-width:36rem;padding:3rem 1.5rem}
h1{font-size:1.5rem;line-height:1.25}
.detail{opacity:.75;font-size:.875rem}
button{font:inherit;padding:.375rem .875rem;cursor:pointer}`;

/** Headings by the word of an error. */
const HEADINGS: Readonly<Record<string, string>> = {
  sign_in_expired: "This sign-in has expired",
  sign_in_invalid: "This sign-in cannot be completed",
  sign_in_refused: "The sign-in was refused",
  access_denied: "Access was denied",
  login_required: "Sign in at your identity provider first",
  reauth_required: "Please prove again who you are",
  no_tenant: "Your account belongs to no tenant",
  account_disabled: "Your account is disabled",
  session_expiry_past: "The session is over already",
  idp_unavailable: "The identity provider cannot be reached",
  idp_timeout: "The identity provider did not answer",
  idp_error: "The identity provider failed",
  too_many_sign_ins: "Too many sign-ins are under way",
  too_many_attempts: "Too many attempts",
  internal: "Something went wrong",
};

/** Codes for which another try by the same person is of no use. */
const FINAL: ReadonlySet<string> = new Set(["no_tenant", "account_disabled"]);

/** Who is signed in, for showing. */
export interface ShownUser {
  readonly name: string | null;
  readonly email: string | null;
}

/** A failure as a page shows it. */
export interface Failure {
  readonly code: string;
  readonly row: Pick<ApiErrorRow & OidcErrorRow, "status" | "text">;
  readonly retryAfter: number;
}

/**
 * The pages that people see: plain HTML without script. Links and forms are built from the base URL; all texts are our
 * own, but for a person's name and e-mail, which are escaped.
 */
export class Pages {
  readonly #base: string;

  constructor(publicBaseUrl: string) {
    this.#base = publicBaseUrl;
  }

  /** What this server is, and for somebody who is signed in who that is and the way out. */
  start(user: ShownUser | null, headers: ReplyHeaders): Reply {
    const about =
      "<p>Hawser reaches the HTTP services of devices behind NAT. Programs use it by its API.</p>";
    const who = user === null ? this.#signIn("Sign in") : this.#signOut(user);
    // By the header's no-referrer a form would be sent with Origin: null, and nobody could sign out with it. Pages without
    // a form keep to the header: their addresses may hold what the provider sent.
    const referrer = user === null ? "" : '<meta name="referrer" content="same-origin">';
    return pageReply(200, "Hawser", `${about}${who}${this.#apiLink()}`, headers, referrer);
  }

  loggedOut(): Reply {
    const body = `<p>You are signed out here.</p>${this.#signIn("Sign in again")}`;
    return pageReply(200, "Signed out", body);
  }

  /** Asks a person whether they meant to sign in, as another site has sent them. */
  confirmStart(path: string): Reply {
    const link = `<p><a href="${escapeHtml(this.#base + path)}">Continue to sign in</a></p>`;
    const body = `<p>Another site sent you here to sign in. Go on if that is what you want.</p>${link}`;
    return pageReply(200, "Sign in to Hawser", body);
  }

  /**
   * Leads on to a place of ours, from a page of ours: to a browser that is another thing than a redirect in a chain that
   * another site began.
   *
   * @param url absolute, checked by the caller
   * @param isAtOnce whether the browser goes by itself; else the person follows the link
   */
  goOn(url: string, isAtOnce: boolean, headers: ReplyHeaders): Reply {
    const link = escapeHtml(url);
    const refresh = isAtOnce ? `<meta http-equiv="refresh" content="0;url=${link}">` : "";
    const body = `<p>You are signed in.</p><p><a href="${link}">Continue</a></p>`;
    return pageReply(200, "Signed in", body, headers, refresh);
  }

  failure({ code, row, retryAfter }: Failure, requestId: string): Reply {
    const retry = FINAL.has(code) ? "" : this.#signIn("Try again");
    const detail = `<p class="detail">Code: ${escapeHtml(code)}<br>Request: ${escapeHtml(requestId)}</p>`;
    const body = `<p>${escapeHtml(row.text)}</p>${retry}${detail}`;
    const headers: ReplyHeaders = retryAfter > 0 ? { "retry-after": String(retryAfter) } : {};
    return pageReply(row.status, HEADINGS[code] ?? "The sign-in failed", body, headers);
  }

  #signIn(label: string): string {
    return `<p><a href="${escapeHtml(`${this.#base}/api/auth/login`)}">${label}</a></p>`;
  }

  #signOut({ name, email }: ShownUser): string {
    const who = [name, email].filter((text) => text !== null && text !== "").map(escaped);
    const as = who.length === 0 ? "You are signed in." : `You are signed in as ${who.join(", ")}.`;
    const action = escapeHtml(`${this.#base}/api/auth/logout`);
    return `<p>${as}</p><form method="post" action="${action}"><button>Sign out</button></form>`;
  }

  #apiLink(): string {
    const link = escapeHtml(`${this.#base}/api/openapi.json`);
    return `<p><a href="${link}">Description of the API (OpenAPI)</a></p>`;
  }
}

/**
 * A page in the one form that all of them have.
 *
 * @param heading a text of ours
 * @param body HTML; what it holds of others is escaped already
 * @param more further elements of the head, likewise
 */
export function pageReply(
  status: number,
  heading: string,
  body: string,
  headers: ReplyHeaders = {},
  more = "",
): Reply {
  const head = `<meta charset="utf-8"><meta name="viewport" content="width=device-width">${more}<title>${heading}</title><style>${STYLE}</style>`;
  const text = `<!doctype html><html lang="en"><head>${head}</head><body><main><h1>${heading}</h1>${body}</main></body></html>\n`;
  return html(status, text, [STYLE], headers);
}

function escaped(text: string | null): string {
  return escapeHtml(text ?? "");
}
