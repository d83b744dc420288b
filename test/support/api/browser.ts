import { type IncomingHttpHeaders, request } from "node:http";

/** An answer as the browser got it. */
export interface Page {
  readonly url: URL;
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** What a page of `origin` does; without one it is the person, who types an address. */
export interface Sending {
  readonly method?: string;
  /** Origin of the page that does it. */
  readonly from?: string | null;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

interface StoredCookie {
  readonly name: string;
  readonly value: string;
  readonly host: string;
  readonly isHostOnly: boolean;
  readonly path: string;
  readonly isSecure: boolean;
  readonly isHttpOnly: boolean;
  readonly sameSite: "lax" | "strict" | "none";
}

const REDIRECTS_MAX = 20;
type Site = "none" | "same-origin" | "same-site" | "cross-site";

/**
 * A model of a browser: a cookie jar that holds the rules of `Secure`, `__Host-`, `HttpOnly` and `SameSite`, and
 * requests that say where they come from as browsers do. Origins that nobody here serves are mapped to ports of
 * loopback; https to one of them is taken to end at a proxy in front of it.
 */
export class Browser {
  userAgent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
  /** What every request carries besides, for example the fields of a proxy. */
  extraHeaders: Record<string, string> = {};
  /** Every request, as it was sent. */
  readonly sent: { readonly method: string; readonly url: string; readonly cookie: string }[] = [];
  /** Every answer, the ones on the way included. */
  readonly pages: Page[] = [];
  readonly #ports: ReadonlyMap<string, number>;
  #cookies: StoredCookie[] = [];

  /** @param ports of loopback by the origins that they serve */
  constructor(ports: ReadonlyMap<string, number> = new Map()) {
    this.#ports = ports;
  }

  /** `name=value` of each cookie that a request to `url` would carry, were it same-site. */
  cookiesFor(url: string): string[] {
    return this.#matching(new URL(url), "same-origin", true, "GET").map(
      ({ name, value }) => `${name}=${value}`,
    );
  }

  /** The value of a cookie; null where there is none. */
  cookie(name: string): string | null {
    return this.#cookies.find((cookie) => cookie.name === name)?.value ?? null;
  }

  /** What `document.cookie` of a page gives. */
  scriptCookies(url: string): string[] {
    const { hostname } = new URL(url);
    return this.#cookies
      .filter(({ host, isHttpOnly }) => host === hostname && !isHttpOnly)
      .map(({ name, value }) => `${name}=${value}`);
  }

  /** A second browser with the same cookies, as a thief or a test of replay would have. */
  copy(): Browser {
    const twin = new Browser(this.#ports);
    twin.#cookies = [...this.#cookies];
    return twin;
  }

  /** Puts a cookie into the jar, whatever the rules say. */
  plant(url: string, name: string, value: string): void {
    const host = new URL(url).hostname;
    this.#cookies = this.#cookies.filter((cookie) => cookie.name !== name || cookie.host !== host);
    const rest = { isHostOnly: true, path: "/", isSecure: false, isHttpOnly: true } as const;
    this.#cookies.push({ name, value, host, sameSite: "lax", ...rest });
  }

  /** Follows a link or sends a form, and all redirects; ends at a page. */
  async navigate(url: string, sending: Sending = {}): Promise<Page> {
    let page = await this.step(url, sending);
    // A chain that was at another site once stays a foreign one.
    let from = sending.from ?? null;
    for (let hop = 0; hop < REDIRECTS_MAX; hop++) {
      const location = page.headers.location;
      if (location === undefined) return page;
      const target = new URL(location, page.url);
      if (siteOf(from, page.url) !== "cross-site" && from !== null) from = page.url.origin;
      page = await this.#send(target, { ...sending, method: "GET", body: "", from }, "navigate");
    }
    throw new Error("too many redirects");
  }

  /** The same without following redirects. */
  step(url: string, sending: Sending = {}): Promise<Page> {
    return this.#send(new URL(url), sending, "navigate");
  }

  /** Sends a form of a page of `from`, and follows. */
  submit(url: string, from: string, fields: Readonly<Record<string, string>> = {}): Promise<Page> {
    return this.navigate(url, formOf(from, fields));
  }

  /** The same without following redirects. */
  submitStep(url: string, from: string, fields: Readonly<Record<string, string>> = {}) {
    return this.step(url, formOf(from, fields));
  }

  /** What a script of a page of `from` gets from `fetch` with credentials. Redirects are not followed. */
  fetch(url: string, sending: Sending & { readonly from: string }): Promise<Page> {
    return this.#send(new URL(url), sending, "cors");
  }

  async #send(url: URL, sending: Sending, mode: "navigate" | "cors"): Promise<Page> {
    const { method = "GET", from = null, headers = {}, body = "" } = sending;
    const site = siteOf(from, url);
    const isNavigation = mode === "navigate";
    const cookie = this.#matching(url, site, isNavigation, method)
      .map(({ name, value }) => `${name}=${value}`)
      .join("; ");
    const sendsOrigin =
      from !== null && (method !== "GET" || (!isNavigation && site !== "same-origin"));
    const fields: Record<string, string> = {
      host: url.host,
      "user-agent": this.userAgent,
      accept: isNavigation ? "text/html,application/xhtml+xml,*/*;q=0.8" : "*/*",
      "sec-fetch-site": site,
      "sec-fetch-mode": mode,
      "sec-fetch-dest": isNavigation ? "document" : "empty",
      ...(sendsOrigin ? { origin: from } : {}),
      ...(cookie === "" ? {} : { cookie }),
      ...(body === "" ? {} : { "content-length": String(Buffer.byteLength(body)) }),
      ...this.extraHeaders,
      ...headers,
    };
    this.sent.push({ method, url: url.href, cookie });
    const page = await exchange(url, this.#ports.get(url.origin), method, fields, body);
    for (const line of page.headers["set-cookie"] ?? []) this.#store(line, url, site, isNavigation);
    this.pages.push(page);
    return page;
  }

  /** RFC 6265bis, section 5.8.3. */
  #matching(url: URL, site: Site, isNavigation: boolean, method: string): StoredCookie[] {
    const isForeign = site === "cross-site";
    return this.#cookies.filter((cookie) => {
      const { host, isHostOnly, path, isSecure, sameSite } = cookie;
      const hostFits = url.hostname === host || (!isHostOnly && url.hostname.endsWith(`.${host}`));
      if (!hostFits || !url.pathname.startsWith(path)) return false;
      if (isSecure && !isTrustworthy(url)) return false;
      if (!isForeign || sameSite === "none") return true;
      return sameSite === "lax" && isNavigation && method === "GET";
    });
  }

  /** RFC 6265bis, section 5.7. */
  #store(line: string, url: URL, site: Site, isNavigation: boolean): void {
    const [pair = "", ...attributes] = line.split(";").map((part) => part.trim());
    const at = pair.indexOf("=");
    const [name, value] = [pair.slice(0, at), pair.slice(at + 1)];
    const given = new Map(
      attributes.map((attribute) => {
        const [key = "", text = ""] = attribute.split("=");
        return [key.toLowerCase(), text] as const;
      }),
    );
    const isSecure = given.has("secure");
    const sameSite = (given.get("samesite")?.toLowerCase() ?? "lax") as StoredCookie["sameSite"];
    const domain = given.get("domain");
    const path = given.get("path") ?? "/";
    if (isSecure && !isTrustworthy(url)) return;
    if (name.startsWith("__Host-") && (!isSecure || domain !== undefined || path !== "/")) return;
    if (sameSite !== "none" && site === "cross-site" && !isNavigation) return;
    const host = domain ?? url.hostname;
    this.#cookies = this.#cookies.filter((old) => old.name !== name || old.host !== host);
    if (Number(given.get("max-age") ?? 1) <= 0) return;
    const isHostOnly = domain === undefined;
    const isHttpOnly = given.has("httponly");
    this.#cookies.push({ name, value, host, isHostOnly, path, isSecure, isHttpOnly, sameSite });
  }
}

function formOf(from: string, fields: Readonly<Record<string, string>>): Sending {
  const headers = { "content-type": "application/x-www-form-urlencoded" };
  return { method: "POST", from, headers, body: new URLSearchParams(fields).toString() };
}

/** How near the page that asks is; public suffixes are taken to have one label. */
function siteOf(from: string | null, url: URL): Site {
  if (from === null) return "none";
  if (from === "null") return "cross-site";
  const source = new URL(from);
  if (source.origin === url.origin) return "same-origin";
  const domain = ({ hostname }: URL): string =>
    /^[\d.]+$|^\[/.test(hostname) ? hostname : hostname.split(".").slice(-2).join(".");
  const isSame = source.protocol === url.protocol && domain(source) === domain(url);
  return isSame ? "same-site" : "cross-site";
}

function isTrustworthy(url: URL): boolean {
  return url.protocol === "https:" || /^(?:localhost|127\.[\d.]+|\[::1\])$/.test(url.hostname);
}

function exchange(
  url: URL,
  port: number | undefined,
  method: string,
  headers: Record<string, string>,
  body: string,
): Promise<Page> {
  const to = { host: "127.0.0.1", port: port ?? Number(url.port) };
  return new Promise((resolve, reject) => {
    const outgoing = request(
      { ...to, method, path: url.pathname + url.search, headers, agent: false },
      (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("error", reject);
        response.on("end", () => {
          const text = Buffer.concat(chunks).toString("utf8");
          const status = response.statusCode ?? 0;
          resolve({ url, status, headers: response.headers, body: text });
        });
      },
    );
    outgoing.on("error", reject);
    outgoing.end(body);
  });
}
