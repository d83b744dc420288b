import type { TestContext } from "node:test";
import type { Exchange } from "../../../examples/ta-cooperation/idp/index.ts";
import type {
  ContentHandler,
  ReceivedRequest,
} from "../../../examples/ta-cooperation/receiver/index.ts";
import {
  FROM_TA,
  type Stack,
  type StackOptions,
  startStack,
  TO_TA,
} from "../../../examples/ta-cooperation/stack.ts";
import type { Json } from "../../../examples/ta-cooperation/wire/json-http.ts";
import { type Signer, signJwt } from "../../../examples/ta-cooperation/wire/signed-jwt.ts";
import { CLIENT_ASSERTION_TYPE, randomString } from "../../../src/access-proxy/index.ts";

/** All parties of a test, its clock, and what was said. */
export interface Parties extends Stack {
  /** Milliseconds since 1970: moves when a test moves it. */
  readonly clock: { now: number };
  readonly exchanges: readonly Exchange[];
  readonly requests: readonly ReceivedRequest[];
}

/** An answer, read whole. */
export interface Answered {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Json;
}

/** 2026-01-01T00:00:00Z. */
export const START_MS = 1_767_225_600_000;

const noContent: ContentHandler = (_request, answer) => {
  answer.writeHead(204).end();
};

/** Starts all parties on a clock that stands still; they end with the test. */
export async function startParties(
  t: TestContext,
  options: Partial<Pick<StackOptions, "content" | "idp" | "proxy">> = {},
): Promise<Parties> {
  const clock = { now: START_MS };
  const exchanges: Exchange[] = [];
  const requests: ReceivedRequest[] = [];
  const stack = await startStack({
    content: noContent,
    ...options,
    wallNow: () => clock.now,
    onExchange: (exchange) => void exchanges.push(exchange),
    onRequest: (request) => void requests.push(request),
  });
  t.after(() => stack.close());
  return { ...stack, clock, exchanges, requests };
}

/** What an assertion says that is not as it should be; undefined leaves a claim out. */
export type AssertionChange = Readonly<
  Partial<Record<"iss" | "sub" | "aud" | "jti" | "exp" | "iat", unknown>>
>;

/** A client assertion of a TA for an endpoint. */
export async function assertion(
  { clock }: Parties,
  signer: Signer,
  clientId: string,
  audience: string,
  change: AssertionChange = {},
): Promise<string> {
  const now = Math.floor(clock.now / 1_000);
  const claims = {
    iss: clientId,
    sub: clientId,
    aud: audience,
    jti: randomString(20),
    exp: now + 300,
    iat: now,
    ...change,
  };
  const said = Object.entries(claims).filter(([, value]) => value !== undefined);
  return signJwt(Object.fromEntries(said), signer);
}

/** Posts a JSON body, or a text as it is. */
export async function post(
  url: string,
  body: Json | string,
  type = "application/json",
): Promise<Answered> {
  const response = await fetch(url, {
    method: "POST",
    redirect: "manual",
    headers: { "content-type": type },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
  return {
    status: response.status,
    headers: response.headers,
    body: (await response.json()) as Json,
  };
}

/** A coop-from request to the main ID provider, A; members that are undefined are left out. */
export async function mainRequest(parties: Parties, change: Json = {}): Promise<Json> {
  const { idpA, signers, accessToken } = parties;
  return {
    response_type: "code_token",
    from_client: FROM_TA,
    to_client: TO_TA,
    grant_type: "access_token",
    access_token: accessToken,
    user_tag: "reader",
    client_assertion_type: CLIENT_ASSERTION_TYPE,
    client_assertion: await assertion(parties, signers.from, FROM_TA, idpA.coopFromUrl),
    ...change,
  };
}

/** A coop-to request to ID provider A. */
export async function toRequest(parties: Parties, code: unknown, change: Json = {}): Promise<Json> {
  const { idpA, signers } = parties;
  return {
    grant_type: "cooperation_code",
    code,
    client_assertion_type: CLIENT_ASSERTION_TYPE,
    client_assertion: await assertion(parties, signers.to, TO_TA, idpA.coopToUrl),
    ...change,
  };
}
