import { Agent, type Dispatcher } from "undici";
import { AccessProxyError } from "./errors.ts";
import type { IdpRecord } from "./ports.ts";
import { trusting } from "./trust.ts";
import { isObject } from "./unsigned-jwt.ts";

export interface IdpClientOptions {
  /** From the beginning of a request to the end of its answer. */
  readonly timeoutMs: number;
  readonly answerBytesMax: number;
  /** Certificates in PEM, beside those of the system's list, that ID providers are checked against; null for none. */
  readonly ca: string | null;
}

type Json = Readonly<Record<string, unknown>>;

/** An answer of an ID provider, read whole. */
interface Received {
  readonly status: number;
  readonly isJson: boolean;
  readonly text: string;
}

/** A part of an error answer as it may be told: the code alone, since a description may hold anything. */
function errorCode(text: string): string {
  try {
    const value: unknown = JSON.parse(text);
    if (isObject(value) && typeof value["error"] === "string") return value["error"].slice(0, 64);
  } catch {
    // No JSON: the status has to do.
  }
  return "";
}

/**
 * Requests to ID providers, over connections that are kept. Redirects are not followed.
 *
 * @see TA cooperation, sections 3.5, 4.4 and 11
 */
export class IdpClient {
  readonly #agent: Agent;
  readonly #options: IdpClientOptions;

  constructor(options: IdpClientOptions) {
    this.#options = options;
    this.#agent = new Agent({
      connections: 64,
      connect: {
        timeout: options.timeoutMs,
        ...(options.ca === null ? {} : { secureContext: trusting(options.ca) }),
      },
    });
  }

  /**
   * Posts to the ID provider's endpoint.
   *
   * @returns the members of its answer
   * @throws AccessProxyError rows E18 to E20; what `signal` gives as a reason where it ends the request
   */
  async ask(idp: IdpRecord, body: Json, signal: AbortSignal): Promise<Json> {
    const { status, isJson, text } = await this.#received(idp, signal, {
      method: "POST",
      headers: { "content-type": "application/json", accept: "application/json" },
      body: JSON.stringify(body),
      url: idp.cooperationFromEndpoint,
    });
    if (status !== 200) {
      const told = `${status} ${errorCode(text)}`.trim();
      throw new AccessProxyError("ERR_ACCESS_PROXY_IDP_STATUS", [idp.issuer, told]);
    }
    const value = isJson ? parsed(text) : null;
    if (isObject(value)) return value;
    throw new AccessProxyError("ERR_ACCESS_PROXY_IDP_ANSWER", [idp.issuer]);
  }

  /**
   * The JSON value that the ID provider's key set is.
   *
   * @throws AccessProxyError rows E18 to E20
   */
  async fetchKeys(idp: IdpRecord, url: string): Promise<unknown> {
    const { status, text } = await this.#received(idp, null, {
      method: "GET",
      headers: { accept: "application/json" },
      url,
    });
    if (status === 200) return parsed(text);
    throw new AccessProxyError("ERR_ACCESS_PROXY_IDP_STATUS", [idp.issuer, String(status)]);
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  async #received(
    idp: IdpRecord,
    signal: AbortSignal | null,
    request: Pick<Dispatcher.RequestOptions, "method" | "headers" | "body"> & {
      readonly url: string;
    },
  ): Promise<Received> {
    const { timeoutMs, answerBytesMax } = this.#options;
    const limit = AbortSignal.timeout(timeoutMs);
    const { origin, pathname, search } = new URL(request.url);
    let isTooLarge = false;
    try {
      const { statusCode, headers, body } = await this.#agent.request({
        origin,
        path: pathname + search,
        method: request.method,
        headers: request.headers ?? {},
        body: request.body ?? null,
        signal: signal === null ? limit : AbortSignal.any([limit, signal]),
      });
      const chunks: Buffer[] = [];
      let bytes = 0;
      for await (const chunk of body) {
        bytes += (chunk as Buffer).length;
        isTooLarge = bytes > answerBytesMax;
        if (isTooLarge) break;
        chunks.push(chunk as Buffer);
      }
      const type = String(headers["content-type"] ?? "");
      // Of a refusal the status is enough.
      if (!isTooLarge || statusCode !== 200) {
        return {
          status: statusCode,
          isJson: /^application\/json[ \t]*(;|$)/i.test(type),
          text: isTooLarge ? "" : Buffer.concat(chunks).toString("utf8"),
        };
      }
    } catch (cause) {
      signal?.throwIfAborted();
      throw new AccessProxyError("ERR_ACCESS_PROXY_IDP_UNREACHABLE", [idp.issuer], { cause });
    }
    throw new AccessProxyError("ERR_ACCESS_PROXY_IDP_ANSWER", [idp.issuer]);
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
