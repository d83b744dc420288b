/** A page that the browser has come to. */
export interface Page {
  readonly url: string;
  readonly status: number;
  readonly headers: Headers;
  readonly body: string;
}

/** What a request of the page's own scripts is. */
export interface ScriptRequest {
  readonly method?: string;
  /** Sent as JSON. */
  readonly json?: unknown;
}

const REDIRECTS_MAX = 20;
const REQUEST_MS = 30_000;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);

/**
 * As much of a browser as signing in takes: cookies by origin, redirects, forms. It runs in `hawser dev` alone, and goes
 * where people would go.
 */
export class DemoBrowser {
  readonly #cookies = new Map<string, Map<string, string>>();

  /**
   * Goes to an address and on where it redirects to.
   *
   * @param stopAt an address that is not asked for, should a redirect lead there; the page is the redirect then
   * @throws TypeError where nobody answers, Error after too many redirects
   */
  async open(url: string, stopAt: (url: string) => boolean = () => false): Promise<Page> {
    return await this.#follow(url, {}, stopAt);
  }

  /**
   * Fills in the first form of a page that has the field `name`, and sends it.
   *
   * @throws Error where there is no such form
   */
  async submit(
    page: Page,
    name: string,
    value: string,
    stopAt: (url: string) => boolean = () => false,
  ): Promise<Page> {
    const form = formsOf(page).find(({ body }) => body.includes(`name="${name}"`));
    if (form === undefined) {
      throw new Error(`the page at ${withoutQuery(page.url)} (${page.status}) has no such form`);
    }
    const fields = new URLSearchParams([...hiddenFields(form.body), [name, value]]);
    return await this.#follow(form.action, { method: "POST", body: fields }, stopAt);
  }

  /** A request as a script of our own pages would make it: with the header that guards against forgery. */
  async script(url: string, { method = "GET", json }: ScriptRequest = {}): Promise<Page> {
    const headers: Record<string, string> = { accept: "application/json" };
    if (method !== "GET") {
      headers["x-hawser-csrf"] = "1";
      headers["origin"] = new URL(url).origin;
    }
    if (json !== undefined) headers["content-type"] = "application/json";
    const body = json === undefined ? null : JSON.stringify(json);
    return await this.#send(url, { method, headers, body });
  }

  async #follow(url: string, init: RequestInit, stopAt: (url: string) => boolean): Promise<Page> {
    let page = await this.#send(url, init);
    for (let hops = 0; hops < REDIRECTS_MAX; hops++) {
      const location = page.headers.get("location");
      if (!REDIRECTS.has(page.status) || location === null) return page;
      const next = new URL(location, page.url).href;
      if (stopAt(next)) return page;
      page = await this.#send(next, {});
    }
    throw new Error(`more than ${REDIRECTS_MAX} redirects from ${withoutQuery(url)}`);
  }

  async #send(url: string, init: RequestInit): Promise<Page> {
    const { origin } = new URL(url);
    const jar = this.#cookies.get(origin) ?? new Map<string, string>();
    this.#cookies.set(origin, jar);
    const headers = new Headers(init.headers);
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join("; ");
    if (cookie !== "") headers.set("cookie", cookie);
    const signal = AbortSignal.timeout(REQUEST_MS);
    const response = await fetch(url, { ...init, headers, redirect: "manual", signal });
    for (const line of response.headers.getSetCookie()) keepCookie(jar, line);
    return {
      url,
      status: response.status,
      headers: response.headers,
      body: await response.text(),
    };
  }
}

function keepCookie(jar: Map<string, string>, line: string): void {
  const [, name = "", value = ""] = /^([^=;]+)=([^;]*)/.exec(line) ?? [];
  if (value === "" || /;\s*max-age=0\b/i.test(line)) jar.delete(name);
  else jar.set(name, value);
}

interface Form {
  /** Absolute. */
  readonly action: string;
  readonly body: string;
}

function formsOf(page: Page): Form[] {
  const forms = page.body.matchAll(/<form\b([^>]*)>([\s\S]*?)<\/form>/g);
  return [...forms].map(([, attributes = "", body = ""]) => {
    const action = /\baction="([^"]*)"/.exec(attributes)?.[1] ?? "";
    return { action: new URL(action.replaceAll("&amp;", "&"), page.url).href, body };
  });
}

function hiddenFields(form: string): [string, string][] {
  const inputs = [...form.matchAll(/<input\b[^>]*type="hidden"[^>]*>/g)].map(([input]) => input);
  const attributeOf = (input: string, name: string): string =>
    new RegExp(`\\b${name}="([^"]*)"`).exec(input)?.[1] ?? "";
  return inputs.map((input) => [attributeOf(input, "name"), attributeOf(input, "value")]);
}

/** Addresses of a sign-in carry its code and state. */
function withoutQuery(url: string): string {
  return url.replace(/[?#].*$/s, "");
}
