import type { buildConnector, Client, Dispatcher } from "undici";
import type { BaseUrl } from "../../core/base-url.ts";
import { GateError } from "./errors.ts";

/** How calls reach the API server. */
export interface ApiClientOptions {
  readonly api: BaseUrl;
  readonly secret: string;
  /** For a whole call, its body included. */
  readonly timeoutMs: number;
  /** PEM certificates that an https server's is checked against; Node's own list without it. */
  readonly ca: string | null;
}

/** What an answer's text says; null where it is no answer. */
export type AnswerReader<T> = (text: string) => T | null;

/** One kind of call to the API server, over one kept-alive connection: one call at a time. */
export class ApiClient {
  readonly #origin: string;
  readonly #connect: buildConnector.BuildOptions;
  #client: Promise<Client> | null = null;
  #isClosed = false;
  readonly #path: string;
  readonly #authorization: string;
  readonly #timeoutMs: number;
  readonly #answerBytesMax: number;

  /** @param path below the base URL: `/internal/authorize` */
  constructor(options: ApiClientOptions, path: string, answerBytesMax: number) {
    const { api, secret, timeoutMs, ca } = options;
    this.#origin = api.origin;
    this.#connect = { timeout: timeoutMs, ...(ca === null ? {} : { ca }) };
    this.#path = api.prefix + path;
    this.#authorization = `Bearer ${secret}`;
    this.#timeoutMs = timeoutMs;
    this.#answerBytesMax = answerBytesMax;
  }

  /**
   * Posts JSON and reads the answer.
   *
   * @param reader loads what reads an answer's text and gives null where it is not one; called for each try, when the
   *   question has left
   * @throws GateError
   */
  async post<T>(value: unknown, reader: () => Promise<AnswerReader<T>>): Promise<T> {
    const body = JSON.stringify(value);
    const signal = AbortSignal.timeout(this.#timeoutMs);
    try {
      return await this.#twice(await this.#load(), body, signal, reader);
    } catch (error) {
      throw wrapped(error);
    }
  }

  /** Cuts what runs. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await (await this.#client)?.destroy();
  }

  /** A server that restarts closes the connection under a call. What is asked or told may be so twice. */
  async #twice<T>(
    client: Client,
    body: string,
    signal: AbortSignal,
    reader: () => Promise<AnswerReader<T>>,
  ): Promise<T> {
    try {
      return await this.#once(client, body, signal, reader);
    } catch (error) {
      if (!isCut(error) || signal.aborted) throw error;
    }
    return await this.#once(client, body, signal, reader);
  }

  /**
   * The client is loaded with the first call, as what reads the answer is: a relay that starts has to listen first. A
   * fleet that comes back waits for that.
   */
  #load(): Promise<Client> {
    this.#client ??= import("undici").then(({ Client }) => {
      const client = new Client(this.#origin, { connect: this.#connect });
      if (this.#isClosed) void client.destroy();
      return client;
    });
    return this.#client;
  }

  async #once<T>(
    client: Client,
    body: string,
    signal: AbortSignal,
    reader: () => Promise<AnswerReader<T>>,
  ): Promise<T> {
    const asked = client.request({
      path: this.#path,
      method: "POST",
      headers: { authorization: this.#authorization, "content-type": "application/json" },
      body,
      signal,
    });
    const [{ statusCode, body: answer }, read] = await Promise.all([asked, reader()]);
    if (statusCode !== 200) {
      await answer.dump();
      throw new GateError("ERR_GATE_STATUS", statusCode);
    }
    const text = await textOf(answer, this.#answerBytesMax);
    const parsed = text === null ? null : read(text);
    if (parsed === null) throw new GateError("ERR_GATE_ANSWER", statusCode);
    return parsed;
  }
}

function wrapped(error: unknown): GateError {
  return error instanceof GateError ? error : new GateError("ERR_GATE_UNREACHABLE", 0, error);
}

/** Whether a connection that was up broke off. */
function isCut(error: unknown): boolean {
  const code: unknown = error instanceof Error && "code" in error ? error.code : undefined;
  return code === "UND_ERR_SOCKET" || code === "ECONNRESET" || code === "EPIPE";
}

/** The body as text, null where it has too many bytes; the connection is closed then. */
async function textOf(
  body: Dispatcher.ResponseData["body"],
  bytesMax: number,
): Promise<string | null> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of body as AsyncIterable<Buffer>) {
    bytes += piece.length;
    if (bytes > bytesMax) return null;
    pieces.push(piece);
  }
  return Buffer.concat(pieces, bytes).toString("utf8");
}
