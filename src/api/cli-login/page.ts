import { escapeHtml } from "../problem.ts";
import { html, type Reply, type ReplyHeaders } from "../reply.ts";
import { SCOPES, type Scope } from "../scopes.ts";

/** What the person is shown. Texts as they came; they are escaped here. */
export interface ConsentPage {
  /** Posted back; good once. */
  readonly consent: string;
  readonly name: string;
  readonly granted: readonly Scope[];
  readonly withheld: readonly Scope[];
  readonly expiresAtMs: number;
  /** Host and port of the program that asks. */
  readonly asker: string;
  /** Who is signed in, as people know them. */
  readonly person: string;
}

const STYLE = `body{font:16px/1.5 system-ui,sans-serif;margin:0;background:#f4f5f7;color:#1a1d21}
main{max-width:36rem;margin:3rem auto;padding:2rem;background:#fff;border-radius:8px;box-shadow:0 1px 4px #0002}
h1{font-size:1.3rem;margin:0 0 1rem}dt{color:#5a6270;font-size:.9rem}dd{margin:0 0 .8rem;overflow-wrap:anywhere}
ul{margin:0;padding-left:1.2rem}code{font-size:.95em}p.note{color:#5a6270;font-size:.9rem}
button{font:inherit;padding:.5rem 1.2rem;border-radius:6px;border:1px solid #b6bcc6;background:#fff;margin-right:.6rem}
button.go{background:#1f5fd0;border-color:#1f5fd0;color:#fff}
@media(prefers-color-scheme:dark){body{background:#16181c;color:#e6e8eb}main{background:#202329}dt,p.note{color:#9aa3af}
button{background:#2b2f36;color:inherit;border-color:#4a515c}}`;

/** The page that asks a person whether a command line may have a key. */
export function consentPage(page: ConsentPage, headers: ReplyHeaders): Reply {
  const scopes = page.granted.map(
    (scope) => `<li><code>${scope}</code>: ${escapeHtml(SCOPES[scope])}`,
  );
  const withheld =
    page.withheld.length === 0
      ? ""
      : `<p class="note">Asked for as well, but not yours to give: ${page.withheld.map((scope) => `<code>${scope}</code>`).join(", ")}.</p>`;
  // The answers' own policy is no-referrer, under which a browser sends `Origin: null` with a form.
  const body = `<!doctype html>
<html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><meta name="referrer" content="same-origin">
<title>Allow a command line?</title><style>${STYLE}</style>
<main><h1>A command line asks for a key to your devices</h1>
<dl>
<dt>The key is called</dt><dd>${escapeHtml(page.name)}</dd>
<dt>It may</dt><dd><ul>${scopes.join("\n")}</ul></dd>
<dt>It ends</dt><dd>${escapeHtml(new Date(page.expiresAtMs).toISOString())}</dd>
<dt>It goes to</dt><dd>a program on this machine, at <code>${escapeHtml(page.asker)}</code></dd>
<dt>You are</dt><dd>${escapeHtml(page.person)}</dd>
</dl>${withheld}
<p class="note">Go on only if you have just run <code>hawser login</code> or <code>hawser keys create</code> yourself, on this machine.</p>
<form method="post" action="/cli-login"><input type="hidden" name="consent" value="${escapeHtml(page.consent)}">
<button class="go" name="decision" value="allow">Allow</button><button name="decision" value="deny">Do not allow</button></form>
</main></html>
`;
  return html(200, body, [STYLE], headers);
}
