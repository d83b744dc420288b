/** The base URL of a server, taken apart. */
export interface BaseUrl {
  /** Scheme, host and port: `http://127.0.0.1:3722`. */
  readonly origin: string;
  /** Path in front of all paths, without a "/" at its end; mostly empty. */
  readonly prefix: string;
}

/** Why a text is no base URL. */
export type BaseUrlFault = "no URL" | "scheme" | "credentials" | "query";

/**
 * Reads a base URL: `http` or `https`, no user name or password, no query and no fragment. All "/" at its end are cut.
 */
export function parseBaseUrl(
  text: string,
): ({ readonly ok: true } & BaseUrl) | { readonly ok: false; readonly fault: BaseUrlFault } {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return { ok: false, fault: "no URL" };
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") return { ok: false, fault: "scheme" };
  if (url.username !== "" || url.password !== "") return { ok: false, fault: "credentials" };
  if (/[?#]/.test(text)) return { ok: false, fault: "query" };
  let end = url.pathname.length;
  while (end > 0 && url.pathname[end - 1] === "/") end -= 1;
  return { ok: true, origin: url.origin, prefix: url.pathname.slice(0, end) };
}
