import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";
import type { JSONWebKeySet } from "jose";
import { makeKey, publicKeys, type SigningKey, sign } from "./keys.ts";
import type { TestTime } from "./ports.ts";

export type Claims = Record<string, unknown>;

/** A request that the provider got. */
export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly authorization: string | null;
  readonly form: URLSearchParams;
}

/** An answer in place of the ordinary one. */
export type Answer = (response: ServerResponse, request: SeenRequest) => void | Promise<void>;

/** What a test changes; everything is read when it is needed. */
export interface Script {
  /** Fields over those of the ordinary metadata; undefined leaves one out. */
  metadata: Claims;
  /** Claims over the ordinary ones; undefined leaves one out. */
  claims: Claims;
  header: Claims;
  /** Makes the ID token of the claims; null leaves it out of the response. */
  idToken: ((claims: Claims) => Promise<string> | string | null) | null;
  /** Fields over those of the ordinary token response. */
  tokenResponse: Claims;
  userinfo: Claims;
  jwks: (() => JSONWebKeySet) | null;
  /** Answers by path. */
  answers: Map<string, Answer>;
}

interface Issued {
  readonly nonce: string;
  readonly challenge: string;
}

const CLIENT_ID = "hawser";
export const SUBJECT = "subject-1";

/**
 * An identity provider that does what a test tells it: by default it is a good one. It has no pages; {@link authorize}
 * stands for the browser that signs in there.
 */
export class ScriptedIdp {
  readonly requests: SeenRequest[] = [];
  readonly script: Script = {
    metadata: {},
    claims: {},
    header: {},
    idToken: null,
    tokenResponse: {},
    userinfo: { sub: SUBJECT, name: "Ada Example", email: "ada@example.org" },
    jwks: null,
    answers: new Map(),
  };
  keys: SigningKey[];
  readonly #time: TestTime;
  readonly #server: Server;
  readonly #issued = new Map<string, Issued>();
  readonly #arrivals = new Map<string, () => void>();
  #origin = "";

  constructor(time: TestTime) {
    this.#time = time;
    this.keys = [defaultKey()];
    this.#server = createServer((request, response) => {
      this.#handle(request, response).catch(() => response.destroy());
    });
  }

  /** Listens on loopback until the test is over. */
  async start(t: TestContext): Promise<this> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    this.#origin = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
    t.after(() => this.stop());
    return this;
  }

  get issuer(): string {
    return this.#origin;
  }

  /** Stops listening; a later {@link restart} takes the same port. */
  async stop(): Promise<void> {
    if (!this.#server.listening) return;
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, "close");
  }

  async restart(): Promise<void> {
    this.#server.listen(Number(new URL(this.#origin).port), "127.0.0.1");
    await once(this.#server, "listening");
  }

  /** How many requests a path got. */
  hits(path: string): number {
    return this.requests.filter((request) => request.path === path).length;
  }

  /** Resolves when the next request to `path` has arrived. */
  arrival(path: string): Promise<void> {
    return new Promise((resolve) => this.#arrivals.set(path, resolve));
  }

  /** The one token request that was made. */
  get tokenRequest(): SeenRequest {
    const found = this.requests.filter(({ path }) => path === "/token");
    const [request] = found;
    if (request === undefined || found.length > 1)
      throw new Error(`${found.length} token requests`);
    return request;
  }

  /** What the browser brings back from the authorization URL. */
  authorize(url: string, patch: Claims = {}): string {
    const asked = new URL(url).searchParams;
    const code = randomBytes(24).toString("base64url");
    this.#issued.set(code, {
      nonce: asked.get("nonce") ?? "",
      challenge: asked.get("code_challenge") ?? "",
    });
    const parameters = { code, state: asked.get("state"), iss: this.issuer, ...patch };
    const kept = Object.entries(parameters).filter(([, value]) => value !== undefined);
    return new URLSearchParams(
      kept.map(([name, value]): [string, string] => [name, String(value)]),
    ).toString();
  }

  /** The claims of an ID token that is in order. */
  ordinaryClaims(nonce: string, accessToken: string): Claims {
    const now = this.#time.epochSec();
    const hash = createHash("sha256").update(accessToken).digest();
    return {
      iss: this.issuer,
      sub: SUBJECT,
      aud: CLIENT_ID,
      exp: now + 300,
      iat: now,
      nonce,
      sid: "idp-session-1",
      auth_time: now,
      at_hash: hash.subarray(0, 16).toString("base64url"),
    };
  }

  /** Signs with the first key and the script's header. */
  async sign(claims: Claims): Promise<string> {
    const [key] = this.keys;
    if (key === undefined) throw new Error("no key");
    return await sign(without(claims), key, this.script.header);
  }

  async #handle(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk as Buffer);
    const request: SeenRequest = {
      method: incoming.method ?? "",
      path: new URL(incoming.url ?? "", this.#origin).pathname,
      authorization: incoming.headers.authorization ?? null,
      form: new URLSearchParams(Buffer.concat(chunks).toString("utf8")),
    };
    this.requests.push(request);
    this.#arrivals.get(request.path)?.();
    const answer = this.script.answers.get(request.path);
    if (answer !== undefined) return await answer(response, request);
    switch (request.path) {
      case "/.well-known/openid-configuration":
        return json(response, 200, without({ ...this.#metadata(), ...this.script.metadata }));
      case "/jwks":
        return json(response, 200, this.script.jwks?.() ?? publicKeys(this.keys));
      case "/token":
        return await this.#token(request, response);
      case "/userinfo":
        return json(response, 200, this.script.userinfo);
      default:
        return json(response, 404, {});
    }
  }

  #metadata(): Claims {
    const at = (path: string): string => this.issuer + path;
    return {
      issuer: this.issuer,
      authorization_endpoint: at("/authorize"),
      token_endpoint: at("/token"),
      userinfo_endpoint: at("/userinfo"),
      end_session_endpoint: at("/end-session"),
      jwks_uri: at("/jwks"),
      response_types_supported: ["code"],
      subject_types_supported: ["public"],
      id_token_signing_alg_values_supported: ["RS256", "PS256", "ES256", "EdDSA"],
      code_challenge_methods_supported: ["S256"],
      authorization_response_iss_parameter_supported: true,
    };
  }

  /** RFC 6749, section 4.1.3, and RFC 7636, section 4.6: a code works once, with its verifier. */
  async #token({ form }: SeenRequest, response: ServerResponse): Promise<void> {
    const code = form.get("code") ?? "";
    const issued = this.#issued.get(code);
    this.#issued.delete(code);
    const challenge = createHash("sha256").update(form.get("code_verifier") ?? "");
    if (issued === undefined || issued.challenge !== challenge.digest("base64url")) {
      return json(response, 400, { error: "invalid_grant" });
    }
    const accessToken = randomBytes(24).toString("base64url");
    const ordinary = this.ordinaryClaims(issued.nonce, accessToken);
    const claims = without({ ...ordinary, ...this.script.claims });
    const make = this.script.idToken ?? ((all: Claims) => this.sign(all));
    const idToken = await make(claims);
    const tokens: Claims = {
      access_token: accessToken,
      token_type: "Bearer",
      expires_in: 300,
      scope: "openid profile email",
      id_token: idToken ?? undefined,
      ...this.script.tokenResponse,
    };
    return json(response, 200, without(tokens));
  }
}

let shared: SigningKey | null = null;

/** Made once a process: RSA keys cost a moment. */
function defaultKey(): SigningKey {
  shared ??= makeKey();
  return shared;
}

function without(fields: Claims): Claims {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

/** Answers with JSON. */
export function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(body));
}

/** Never answers. */
export function hang(): void {}

/** Resets the connection. */
export function reset(response: ServerResponse): void {
  response.socket?.resetAndDestroy();
}

/** An answer with a body of another kind. */
export function plain(
  status: number,
  body: string,
  headers: Record<string, string> = { "content-type": "text/html" },
): Answer {
  return (response) => {
    response.writeHead(status, headers);
    response.end(body);
  };
}
