import { Client, type Dispatcher } from "undici";
import { parseAuthorizeAnswer } from "../../core/authorize.ts";
import type { BaseUrl } from "../../core/base-url.ts";
import type { AuthorizeAnswer, AuthorizeRequest } from "../../core/contract.ts";
import { GateError } from "./errors.ts";

const PATH = "/internal/authorize";
/** 500 keys that are held to 1,000 devices each have 10 MB. */
const ANSWER_BYTES_MAX = 16 << 20;

/** One kind of call to the API server, over one kept-alive connection. */
export class AuthorizeCall {
  readonly #client: Client;
  readonly #path: string;
  readonly #authorization: string;
  readonly #timeoutMs: number;

  /** @param timeoutMs for a whole call, its body included */
  constructor(api: BaseUrl, secret: string, timeoutMs: number) {
    this.#client = new Client(api.origin, { connect: { timeout: timeoutMs } });
    this.#path = api.prefix + PATH;
    this.#authorization = `Bearer ${secret}`;
    this.#timeoutMs = timeoutMs;
  }

  /** Asks. @throws GateError */
  async send(request: AuthorizeRequest): Promise<AuthorizeAnswer> {
    const body = JSON.stringify(request);
    const signal = AbortSignal.timeout(this.#timeoutMs);
    try {
      return await this.#once(request, body, signal);
    } catch (error) {
      // A server that restarts closes the connection under a call. It changes nothing, so it may be made again.
      if (!isCut(error) || signal.aborted) throw this.#wrapped(error);
    }
    try {
      return await this.#once(request, body, signal);
    } catch (error) {
      throw this.#wrapped(error);
    }
  }

  /** Cuts what runs. */
  async close(): Promise<void> {
    await this.#client.destroy();
  }

  async #once(
    request: AuthorizeRequest,
    body: string,
    signal: AbortSignal,
  ): Promise<AuthorizeAnswer> {
    const { statusCode, body: answer } = await this.#client.request({
      path: this.#path,
      method: "POST",
      headers: { authorization: this.#authorization, "content-type": "application/json" },
      body,
      signal,
    });
    if (statusCode !== 200) {
      await answer.dump();
      throw new GateError("ERR_GATE_STATUS", statusCode);
    }
    const text = await textOf(answer);
    const parsed = text === null ? null : parseAuthorizeAnswer(text, request);
    if (parsed === null) throw new GateError("ERR_GATE_ANSWER", statusCode);
    return parsed;
  }

  #wrapped(error: unknown): GateError {
    return error instanceof GateError ? error : new GateError("ERR_GATE_UNREACHABLE", 0, error);
  }
}

/** Whether a connection that was up broke off. */
function isCut(error: unknown): boolean {
  const code: unknown = error instanceof Error && "code" in error ? error.code : undefined;
  return code === "UND_ERR_SOCKET" || code === "ECONNRESET" || code === "EPIPE";
}

/** The body as text, null where it has too many bytes; the connection is closed then. */
async function textOf(body: Dispatcher.ResponseData["body"]): Promise<string | null> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of body as AsyncIterable<Buffer>) {
    bytes += piece.length;
    if (bytes > ANSWER_BYTES_MAX) return null;
    pieces.push(piece);
  }
  return Buffer.concat(pieces, bytes).toString("utf8");
}
