import { once } from "node:events";
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type RequestListener,
} from "node:http";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";
import Provider from "oidc-provider";
import { makeKey } from "./keys.ts";
import { BASE_URL, CLIENT_SECRET } from "./rig.ts";

/** What audience access tokens of machines have. */
export const API_AUDIENCE = "https://api.example.org";
export const MACHINE_SECRET = "canary-machine-secret-6f2e";

/** A request to the provider's token endpoint, as it came. */
export interface TokenRequest {
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  /** What was answered. */
  answer: string;
}

/** A real `oidc-provider` on loopback, with a confidential, a public and a machine client. */
export interface RealIdp {
  readonly issuer: string;
  /** Gets the calls to our back-channel address; a test puts its own in. Returns the status. */
  readonly backchannel: { receive(type: string | undefined, body: Buffer): Promise<number> };
  readonly tokenRequests: readonly TokenRequest[];
}

/** What of a {@link RealIdp} is not the same for all tests. */
export interface RealIdpOptions {
  /** Where people find the relying party. */
  readonly baseUrl?: string;
  /** Where its logout tokens go; by default to `backchannel`. */
  readonly backchannelLogoutUri?: string;
  /** A name of loopback under which the provider is found; by default the address, which is one site with our own. */
  readonly host?: string;
  /** Claims of a person besides name and e-mail, asked at each sign-in. */
  readonly claimsOf?: ClaimsOf;
}

/** Extra claims by the name that somebody signs in with. */
export type ClaimsOf = (login: string) => Readonly<Record<string, unknown>>;

export async function startRealIdp(t: TestContext, options: RealIdpOptions = {}): Promise<RealIdp> {
  const backchannel: RealIdp["backchannel"] = { receive: async () => 501 };
  const logoutUri = await listen(t, async (request, response) => {
    const body = Buffer.from(await textOf(request), "latin1");
    const type = request.headers["content-type"];
    response.writeHead(await backchannel.receive(type, body)).end();
  });
  const tokenRequests: TokenRequest[] = [];
  let handler: RequestListener = () => {};
  const address = await listen(t, (request, response) => handler(request, response));
  const issuer = address.replace("127.0.0.1", options.host ?? "127.0.0.1");
  const settings = configuration(
    options.baseUrl ?? BASE_URL,
    options.backchannelLogoutUri ?? logoutUri,
    options.claimsOf ?? (() => ({})),
  );
  const provider = quietly(t, () => new Provider(issuer, settings));
  provider.use(async (context, next) => {
    if (context.path !== "/token") {
      await next();
      return;
    }
    const entry = { headers: context.req.headers, body: "", answer: "" };
    tokenRequests.push(entry);
    // The provider reads by this iterator; what passes is noted.
    const read = context.req.iterator.bind(context.req);
    context.req.iterator = (readOptions) =>
      noted(read(readOptions), (chunk) => {
        entry.body += chunk.toString("latin1");
      });
    await next();
    entry.answer = JSON.stringify(context.body);
  });
  handler = provider.callback();
  return { issuer, backchannel, tokenRequests };
}

async function* noted(
  chunks: AsyncIterable<Buffer>,
  note: (chunk: Buffer) => void,
): NodeJS.AsyncIterator<Buffer, undefined, unknown> {
  for await (const chunk of chunks) {
    note(chunk);
    yield chunk;
  }
  return undefined;
}

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("latin1");
}

/** Its advice about production is not for a test. */
function quietly<T>(t: TestContext, make: () => T): T {
  const mocks = [
    t.mock.method(console, "warn", () => {}),
    t.mock.method(console, "info", () => {}),
  ];
  try {
    return make();
  } finally {
    for (const { mock } of mocks) mock.restore();
  }
}

async function listen(t: TestContext, listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function configuration(baseUrl: string, backchannelLogoutUri: string, claimsOf: ClaimsOf): object {
  const { kid, alg, privateKey } = makeKey();
  const browserClient = {
    redirect_uris: [`${baseUrl}/api/auth/callback`],
    post_logout_redirect_uris: [`${baseUrl}/api/auth/logged-out`],
    grant_types: ["authorization_code", "refresh_token"],
    response_types: ["code"],
    backchannel_logout_uri: backchannelLogoutUri,
    backchannel_logout_session_required: true,
  };
  return {
    clients: [
      {
        ...browserClient,
        client_id: "confidential",
        client_secret: CLIENT_SECRET,
        token_endpoint_auth_method: "client_secret_basic",
      },
      {
        ...browserClient,
        client_id: "posting",
        client_secret: CLIENT_SECRET,
        token_endpoint_auth_method: "client_secret_post",
      },
      { ...browserClient, client_id: "public", token_endpoint_auth_method: "none" },
      {
        client_id: "harness",
        client_secret: MACHINE_SECRET,
        token_endpoint_auth_method: "client_secret_basic",
        grant_types: ["client_credentials"],
        response_types: [],
        redirect_uris: [],
      },
    ],
    jwks: { keys: [{ ...privateKey.export({ format: "jwk" }), kid, alg, use: "sig" }] },
    cookies: { keys: ["cookie-key-of-a-test"] },
    claims: { openid: ["sub"], profile: ["name", "org", "groups"], email: ["email"] },
    findAccount: (_context: unknown, sub: string) => ({
      accountId: sub,
      claims: () => ({
        sub,
        name: `Name of ${sub}`,
        email: `${sub}@example.org`,
        ...claimsOf(sub),
      }),
    }),
    // The guard against private addresses goes with the dispatcher; our own address is one.
    fetch: (url: string, { dispatcher: _, ...init }: RequestInit & { dispatcher?: unknown }) =>
      fetch(url, init as RequestInit),
    features: {
      devInteractions: { enabled: true },
      backchannelLogout: { enabled: true },
      rpInitiatedLogout: { enabled: true },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: () => ({
          scope: "devices:read tunnel:use",
          audience: API_AUDIENCE,
          accessTokenFormat: "jwt",
        }),
      },
    },
    ttl: { AccessToken: 300, IdToken: 300, Session: 3_600, Interaction: 600, Grant: 3_600 },
  };
}

/** A browser with a cookie jar that fills in the provider's forms. */
export class UserAgent {
  readonly #issuer: string;
  readonly #cookies = new Map<string, string>();

  constructor(issuer: string) {
    this.#issuer = issuer;
  }

  /** Signs in and consents; returns the address outside of the provider that it ends at. */
  async signIn(url: string, login: string): Promise<URL> {
    return await this.#browse(url, { login, password: "any" });
  }

  /** Goes through the logout page. */
  async signOut(url: string): Promise<URL> {
    return await this.#browse(url, { logout: "yes" });
  }

  async #browse(start: string, fields: Readonly<Record<string, string>>): Promise<URL> {
    let response = await this.#send(start, {});
    for (let hop = 0; hop < 20; hop++) {
      const location = response.headers.get("location");
      if (location !== null) {
        const target = new URL(location, this.#issuer);
        if (target.origin !== this.#issuer) return target;
        response = await this.#send(target.href, {});
        continue;
      }
      const page = await response.text();
      const action = /<form[^>]* action="([^"]+)"/.exec(page)?.[1];
      if (action === undefined) throw new Error(`no form on a page with status ${response.status}`);
      const hidden = [
        ...page.matchAll(/<input[^>]*type="hidden"[^>]*name="([^"]+)"[^>]*value="([^"]*)"/g),
      ];
      const form = new URLSearchParams(fields);
      for (const [, name = "", value = ""] of hidden) form.set(name, value);
      response = await this.#send(new URL(action, this.#issuer).href, {
        method: "POST",
        body: form,
      });
    }
    throw new Error("too many steps");
  }

  async #send(url: string, init: RequestInit): Promise<Response> {
    const cookie = [...this.#cookies].map(([name, value]) => `${name}=${value}`).join("; ");
    const response = await fetch(url, { ...init, redirect: "manual", headers: { cookie } });
    for (const line of response.headers.getSetCookie()) {
      const [, name = "", value = ""] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
      if (value === "") this.#cookies.delete(name);
      else this.#cookies.set(name, value);
    }
    return response;
  }
}
