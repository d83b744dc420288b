import type { CustomFetch } from "openid-client";
import { Circuit } from "./circuit.ts";
import { OidcError } from "./errors.ts";
import type { IdpCallKind, OidcFetch, OidcPorts } from "./ports.ts";

/** Time for one call, its body and its second attempt included. */
export const IDP_CALL_MS = 5_000;
/** Bytes of one answer. */
export const IDP_BODY_BYTES_MAX = 262_144;

/**
 * All calls to one identity provider. Each has 5 s and 256 KiB, follows no redirect, and passes the circuit. A GET
 * whose connection failed is tried once more; a token request never is, because its code may have been used.
 */
export class IdpHttp {
  readonly #ports: OidcPorts;
  readonly #transport: OidcFetch;
  readonly #circuit: Circuit;

  constructor(ports: OidcPorts) {
    this.#ports = ports;
    this.#transport = ports.fetch ?? fetch;
    this.#circuit = new Circuit(ports.clock);
  }

  /** Whether calls are refused at present because the provider failed. */
  get isOpen(): boolean {
    return this.#circuit.isOpen;
  }

  /** `fetch` in the shape that openid-client wants. Its own time limit is left aside. */
  readonly libraryFetch: CustomFetch = (url, { method, headers, body }) =>
    this.#call(kindOf(url, method), url, {
      method,
      headers,
      ...(body === undefined ? {} : { body }),
    });

  /** Fetches a key set. Errors as all calls, and `ERR_OIDC_IDP_RESPONSE` for all but 200 and JSON. */
  async keySet(url: string): Promise<unknown> {
    const response = await this.#call("keys", url, { headers: { accept: "application/json" } });
    const type = mediaType(response);
    if (response.status !== 200 || !/^application\/(?:.+\+)?json$/.test(type)) {
      throw new OidcError("ERR_OIDC_IDP_RESPONSE", "not_json");
    }
    try {
      return await response.json();
    } catch {
      throw new OidcError("ERR_OIDC_IDP_RESPONSE", "not_json");
    }
  }

  /**
   * One call. The body of the response is already read. Errors: `ERR_OIDC_IDP_TIMEOUT`,
   * `ERR_OIDC_IDP_UNREACHABLE`, `ERR_OIDC_IDP_CIRCUIT`, `ERR_OIDC_IDP_RESPONSE`.
   */
  async #call(kind: IdpCallKind, url: string, init: RequestInit): Promise<Response> {
    const { observer } = this.#ports;
    if (!this.#circuit.enter()) {
      observer?.idpCalled(kind, "refused");
      throw new OidcError("ERR_OIDC_IDP_CIRCUIT");
    }
    let isAnswered = false;
    try {
      const response = await this.#within(url, init);
      isAnswered = response.status < 500;
      return response;
    } finally {
      if (isAnswered) this.#circuit.succeed();
      else this.#circuit.fail();
      observer?.idpCalled(kind, isAnswered ? "answered" : "failed");
    }
  }

  async #within(url: string, init: RequestInit): Promise<Response> {
    const { timers } = this.#ports;
    const controller = new AbortController();
    const timer = timers.set(() => controller.abort(), IDP_CALL_MS);
    try {
      return await this.#attempts(url, { ...init, redirect: "manual", signal: controller.signal });
    } catch (error) {
      if (controller.signal.aborted) throw new OidcError("ERR_OIDC_IDP_TIMEOUT");
      if (error instanceof OidcError) throw error;
      throw new OidcError("ERR_OIDC_IDP_UNREACHABLE");
    } finally {
      timers.clear(timer);
    }
  }

  async #attempts(url: string, init: RequestInit): Promise<Response> {
    const isGet = init.method === undefined || init.method === "GET";
    try {
      return await this.#once(url, init);
    } catch (error) {
      if (!isGet || error instanceof OidcError || init.signal?.aborted === true) throw error;
      return await this.#once(url, init);
    }
  }

  async #once(url: string, init: RequestInit): Promise<Response> {
    const response = await this.#transport(url, init);
    const owned = await readBody(response);
    // A signed answer of the userinfo endpoint would need a verification that we never asked for.
    if (mediaType(response) === "application/jwt") {
      throw new OidcError("ERR_OIDC_IDP_RESPONSE", "jwt");
    }
    const { status, headers } = response;
    return new Response(isBodiless(status) ? null : owned, { status, headers });
  }
}

/** What the library calls for, by what only that call has. */
function kindOf(url: string, method: string): IdpCallKind {
  if (method === "POST") return "token";
  return new URL(url).pathname.includes("/.well-known/") ? "discovery" : "userinfo";
}

/** Statuses whose response may not be built with a body. */
function isBodiless(status: number): boolean {
  return status === 204 || status === 205 || status === 304;
}

function mediaType(response: Response): string {
  return (response.headers.get("content-type") ?? "").split(";")[0]?.trim().toLowerCase() ?? "";
}

async function readBody(response: Response): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let total = 0;
  if (response.body === null) return Buffer.alloc(0);
  const reader = response.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return Buffer.concat(chunks, total);
    const chunk: Uint8Array = value;
    total += chunk.byteLength;
    if (total > IDP_BODY_BYTES_MAX) {
      await reader.cancel();
      throw new OidcError("ERR_OIDC_IDP_RESPONSE", "too_large");
    }
    chunks.push(chunk);
  }
}
