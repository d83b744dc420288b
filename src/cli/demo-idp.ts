import { randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { newPrivateKey } from "../core/new-private-key.ts";
import { cliError } from "./errors.ts";

/** An OpenID provider of our own on loopback: what `hawser dev` signs people in at. It asks for no password. */
export interface DemoIdp {
  /** `http://127.0.0.1:<port>`. */
  readonly issuer: string;
  readonly clientId: string;
  /** Null for a public client. */
  readonly clientSecret: string | null;
  close(): Promise<void>;
}

/** How the demo provider is set up. */
export interface DemoIdpOptions {
  /** The API server's base URL: where people are sent back to. */
  readonly publicBaseUrl: string;
  /** The API server has no secret; PKCE alone protects its codes. */
  readonly publicClient: boolean;
}

/** People that the page offers. Any other name is taken too. */
export const DEMO_PEOPLE = ["alice", "bob"] as const;

const LOOPBACK = "127.0.0.1";
const CLIENT_ID = "hawser-dev";
const SCOPES = "openid profile email";
const FORM_BYTES_MAX = 4_096;
const NAME = /^[A-Za-z0-9._-]{1,64}$/;
const INTERACTION = /^\/sign-in\/([A-Za-z0-9_-]{1,64})$/;

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

/** What we use of a provider. */
interface Provider {
  callback(): Handler;
  interactionFinished(
    request: IncomingMessage,
    response: ServerResponse,
    result: object,
    options: { mergeWithLastSubmission: boolean },
  ): Promise<void>;
}

/** What we use of the context of a provider's request. */
interface ProviderContext {
  readonly oidc: {
    readonly provider: { readonly Grant: new (fields: object) => Grant };
    readonly client: { readonly clientId: string };
    readonly session: { readonly accountId: string };
  };
}

interface Grant {
  addOIDCScope(scope: string): void;
  save(): Promise<string>;
}

/**
 * Starts the provider on a free port.
 *
 * @throws AppError `ERR_CLI_DEV_FAILED` where the package `oidc-provider` is not installed
 */
export async function startDemoIdp(options: DemoIdpOptions): Promise<DemoIdp> {
  const loud = silence();
  let handler: Handler = (_request, response) => response.writeHead(503).end();
  const server = createServer((request, response) => handler(request, response));
  const close = async (): Promise<void> => {
    loud();
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  };
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(0, LOOPBACK, resolve);
    });
    const issuer = `http://${LOOPBACK}:${(server.address() as AddressInfo).port}`;
    const clientSecret = options.publicClient ? null : randomBytes(32).toString("base64url");
    const Provider = await loadProvider();
    const provider = new Provider(issuer, configuration(options.publicBaseUrl, clientSecret));
    handler = handlerOf(provider);
    return { issuer, clientId: CLIENT_ID, clientSecret, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function loadProvider(): Promise<new (issuer: string, configuration: object) => Provider> {
  try {
    const loaded = await import("oidc-provider");
    return loaded.default as unknown as new (
      issuer: string,
      configuration: object,
    ) => Provider;
  } catch (error) {
    const advice = "it comes with the sources of Hawser: npm ci in their folder installs it";
    throw cliError(
      "ERR_CLI_DEV_FAILED",
      `the demo identity provider needs the package oidc-provider; ${advice}`,
      error,
    );
  }
}

/** Keeps the provider's advice about production out of a demo. Returns what ends that. */
function silence(): () => void {
  const { warn, info } = console;
  const unlessAdvice =
    (print: (...values: unknown[]) => void) =>
    (...values: unknown[]): void => {
      if (!/oidc-provider (?:WARNING|NOTICE)/.test(String(values[0]))) print(...values);
    };
  console.warn = unlessAdvice(warn);
  console.info = unlessAdvice(info);
  return () => {
    console.warn = warn;
    console.info = info;
  };
}

function configuration(publicBaseUrl: string, clientSecret: string | null): object {
  const privateKey = newPrivateKey({ type: "ec", curve: "P-256" });
  const proof =
    clientSecret === null
      ? { token_endpoint_auth_method: "none" }
      : { token_endpoint_auth_method: "client_secret_basic", client_secret: clientSecret };
  return {
    clients: [
      {
        client_id: CLIENT_ID,
        ...proof,
        redirect_uris: [`${publicBaseUrl}/api/auth/callback`],
        post_logout_redirect_uris: [`${publicBaseUrl}/api/auth/logged-out`],
        backchannel_logout_uri: `${publicBaseUrl}/api/auth/backchannel-logout`,
        backchannel_logout_session_required: true,
        grant_types: ["authorization_code"],
        response_types: ["code"],
        id_token_signed_response_alg: "ES256",
      },
    ],
    jwks: { keys: [{ ...privateKey.export({ format: "jwk" }), kid: "demo", alg: "ES256" }] },
    cookies: { keys: [randomBytes(32).toString("hex")] },
    claims: { openid: ["sub"], profile: ["name"], email: ["email"] },
    conformIdTokenClaims: false,
    findAccount: (_context: unknown, sub: string) => ({
      accountId: sub,
      claims: () => ({ sub, name: displayName(sub), email: `${sub}@example.org` }),
    }),
    // Nobody is asked for consent: the grant is there already.
    loadExistingGrant: async ({ oidc }: ProviderContext) => {
      const { clientId } = oidc.client;
      const grant = new oidc.provider.Grant({ accountId: oidc.session.accountId, clientId });
      grant.addOIDCScope(SCOPES);
      await grant.save();
      return grant;
    },
    interactions: { url: (_context: unknown, { uid }: { uid: string }) => `/sign-in/${uid}` },
    // The guard against private addresses goes with the dispatcher; our own address is one.
    fetch: (url: string, { dispatcher: _, ...init }: RequestInit & { dispatcher?: unknown }) =>
      fetch(url, init as RequestInit),
    features: {
      devInteractions: { enabled: false },
      backchannelLogout: { enabled: true },
      rpInitiatedLogout: { enabled: true },
    },
    ttl: { AccessToken: 300, IdToken: 300, Session: 86_400, Interaction: 600, Grant: 86_400 },
  };
}

function displayName(sub: string): string {
  return `${sub.slice(0, 1).toUpperCase()}${sub.slice(1)} (demo)`;
}

/** The sign-in page is ours, all else the provider's. */
function handlerOf(provider: Provider): Handler {
  const others = provider.callback();
  return (request, response) => {
    const path = (request.url ?? "/").split("?")[0] ?? "/";
    if (!INTERACTION.test(path)) others(request, response);
    else if (request.method === "POST") void takeName(provider, request, response);
    else sendPage(response, 200, signInPage(path, ""));
  };
}

async function takeName(
  provider: Provider,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  try {
    let body = "";
    for await (const piece of request) {
      body += String(piece);
      if (body.length > FORM_BYTES_MAX) break;
    }
    const name = new URLSearchParams(body).get("login") ?? "";
    if (!NAME.test(name)) {
      const note = "A name has 1 to 64 letters, digits, dots, dashes and underscores.";
      sendPage(response, 400, signInPage((request.url ?? "").split("?")[0] ?? "", note));
      return;
    }
    const result = { login: { accountId: name, remember: false } };
    await provider.interactionFinished(request, response, result, {
      mergeWithLastSubmission: false,
    });
  } catch {
    // The browser came without its cookie, or too late.
    if (!response.headersSent) sendPage(response, 400, page("<p>Please start again.</p>"));
  }
}

function signInPage(action: string, note: string): string {
  const buttons = DEMO_PEOPLE.map(
    (name) => `<button name="login" value="${name}">${displayName(name)}</button>`,
  );
  return page(`<p>Who are you? This provider is for trials: it asks for no password.</p>
<form method="post" action="${action}">${buttons.join(" ")}</form>
<form method="post" action="${action}"><label>Somebody else: <input name="login" required></label>
<button>Sign in</button></form><p>${note}</p>`);
}

function page(content: string): string {
  return `<!doctype html><html lang="en"><title>Demo identity provider</title>
<h1>Demo identity provider</h1>${content}</html>\n`;
}

function sendPage(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, {
    "content-type": "text/html; charset=utf-8",
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  });
  response.end(text);
}
