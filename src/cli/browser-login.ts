import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { digestsEqual, parseToken } from "../core/token.ts";
import { ApiClient, ApiRefusal, record, textOf } from "./api-client.ts";
import { type CliErrorCode, CommandError } from "./errors.ts";
import { openBrowser } from "./open-browser.ts";
import type { Output } from "./print.ts";

/** What a person is asked for in the browser. */
export interface LoginRequest {
  readonly api: string;
  readonly ca: string | null;
  readonly timeoutMs: number;
  /** What the key will be called. */
  readonly name: string;
  /** Scopes with spaces between them; null for all that the person may give. */
  readonly scope: string | null;
  readonly days: number | null;
  /** False where the address is only printed. */
  readonly browser: boolean;
  /** How long the person may take. */
  readonly waitMs: number;
}

/** A key that the server issued. `key` is secret. */
export interface IssuedKey {
  readonly key: string;
  readonly ref: string;
  readonly name: string;
  readonly scopes: readonly string[];
  readonly expires_at: string;
  readonly user: { readonly email: string | null; readonly name: string | null };
}

const LOGIN: CliErrorCode = "ERR_CLI_LOGIN";
const CALLBACK_PATH = "/callback";

/**
 * Signs somebody in with their browser and gets an API key: the page of the server sends the browser to a listener of
 * this process on loopback with a code that is good once, and only with the verifier that stays in this process.
 *
 * @param progress is told where to go and what is waited for; `process.stderr` but in tests
 * @throws CommandError `ERR_CLI_LOGIN` where it is denied or takes too long; what {@link ApiClient} rejects with
 * @see RFC 8252, section 7.3; RFC 7636
 */
export async function loginWithBrowser(
  request: LoginRequest,
  progress: Output = process.stderr,
): Promise<IssuedKey> {
  const verifier = randomBytes(32).toString("base64url");
  const state = randomBytes(32).toString("base64url");
  const client = new ApiClient({
    api: request.api,
    key: null,
    ca: request.ca,
    timeoutMs: request.timeoutMs,
  });
  const listener = new CallbackListener(state);
  try {
    await checkReach(client);
    const redirectUri = await listener.listen();
    const query = new URLSearchParams({
      redirect_uri: redirectUri,
      code_challenge: createHash("sha256").update(verifier).digest("base64url"),
      code_challenge_method: "S256",
      state,
      name: request.name,
      ...(request.scope === null ? {} : { scope: request.scope }),
      ...(request.days === null ? {} : { days: String(request.days) }),
    });
    const url = `${client.api}/cli-login?${query}`;
    progress.write(`Open this page in a browser on this machine:\n\n  ${url}\n\n`);
    if (request.browser) openBrowser(url);
    progress.write(
      `Waiting for your answer there, for up to ${Math.round(request.waitMs / 1_000)} s …\n`,
    );
    const code = await listener.code(request.waitMs);
    const answer = await client.post("/api/cli-login/exchange", { code, code_verifier: verifier });
    return issuedKey(answer);
  } finally {
    await listener.close();
    await client.close();
  }
}

/** What keeps the code from being exchanged later is told before a person is asked. */
async function checkReach(client: ApiClient): Promise<void> {
  try {
    await client.get("/api/auth/me", { optional: 1, passive: 1 });
  } catch (error) {
    // A refusal of the API's own is an answer of the right server, which may have its reasons.
    const isRelay = error instanceof ApiRefusal && error.code.startsWith("ERR_RELAY_");
    if (!(error instanceof ApiRefusal) || isRelay) throw error;
  }
}

function issuedKey(answer: unknown): IssuedKey {
  const issued = record(answer);
  const user = record(issued["user"]);
  const key = textOf(issued, "key");
  const parsed = parseToken(key);
  const scopes = issued["scopes"];
  if (!parsed.ok || parsed.kind !== "key" || !Array.isArray(scopes)) {
    throw new CommandError(
      "ERR_CLI_API_ANSWER" satisfies CliErrorCode,
      "The server issued no key.",
      "",
    );
  }
  const orNull = (value: unknown): string | null => (typeof value === "string" ? value : null);
  return {
    key,
    ref: parsed.ref,
    name: textOf(issued, "name"),
    scopes: scopes.map(String),
    expires_at: textOf(issued, "expires_at"),
    user: { email: orNull(user["email"]), name: orNull(user["name"]) },
  };
}

/** Waits on loopback for the browser to bring the code. */
class CallbackListener {
  readonly #state: string;
  readonly #server = createServer((request, response) => this.#answer(request, response));
  #settle: (code: string | CommandError) => void = () => {};
  readonly #settled: Promise<string | CommandError>;

  constructor(state: string) {
    this.#state = state;
    this.#settled = new Promise((resolve) => {
      this.#settle = resolve;
    });
  }

  /** @returns the redirect URI */
  async listen(): Promise<string> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    return `http://${this.#host()}${CALLBACK_PATH}`;
  }

  /** The code, or the error that the person's answer or silence is. */
  async code(waitMs: number): Promise<string> {
    const timer = setTimeout(() => {
      const sentence = "Nobody answered in the browser in time.";
      this.#settle(
        new CommandError(LOGIN, sentence, "Run the command again; --wait gives more time."),
      );
    }, waitMs);
    const settled = await this.#settled;
    clearTimeout(timer);
    if (settled instanceof CommandError) throw settled;
    return settled;
  }

  async close(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeIdleConnections();
    // What is still open has its answer, or is none of ours.
    setImmediate(() => this.#server.closeAllConnections());
    await closed;
  }

  #host(): string {
    const address = this.#server.address();
    return typeof address === "object" && address !== null ? `127.0.0.1:${address.port}` : "";
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    // Another name that leads here is somebody else's page that tries.
    const isOurs = request.method === "GET" && request.headers.host === this.#host();
    const [path, query = ""] = (request.url ?? "").split("?");
    if (!isOurs || path !== CALLBACK_PATH) {
      page(response, 404, "There is nothing here.");
      return;
    }
    const searchParams = new URLSearchParams(query);
    if (!sameText(searchParams.get("state") ?? "", this.#state)) {
      page(response, 400, "This answer belongs to another sign-in. The command goes on waiting.");
      return;
    }
    const code = searchParams.get("code");
    const settled =
      code !== null && code !== ""
        ? code
        : new CommandError(LOGIN, "The sign-in was not allowed in the browser.", "");
    const told =
      settled === code
        ? "Done. You can close this page and go back to the command line."
        : "Nothing was allowed. You can close this page.";
    response.on("close", () => this.#settle(settled));
    page(response, 200, told);
  }
}

function page(response: ServerResponse, status: number, sentence: string): void {
  response.writeHead(status, {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
    connection: "close",
  });
  response.end(
    `<!doctype html><html lang="en"><meta charset="utf-8"><title>Hawser</title><p>${sentence}</p></html>\n`,
  );
}

function sameText(left: string, right: string): boolean {
  const digest = (text: string): string => createHash("sha256").update(text).digest("hex");
  return digestsEqual(digest(left), digest(right));
}
