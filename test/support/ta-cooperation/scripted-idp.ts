import type { TestContext } from "node:test";
import type { ReceiverIdp } from "../../../examples/ta-cooperation/receiver/index.ts";
import { FROM_TA, newSigner, publicJwk, TO_TA } from "../../../examples/ta-cooperation/stack.ts";
import {
  answerJson,
  type Json,
  readJson,
} from "../../../examples/ta-cooperation/wire/json-http.ts";
import {
  httpServer,
  listenOnLoopback,
} from "../../../examples/ta-cooperation/wire/loopback-server.ts";
import { type Signer, signJwt } from "../../../examples/ta-cooperation/wire/signed-jwt.ts";
import { START_MS } from "./parties.ts";

/** What an answer of a coop-to endpoint is made of; a test changes what it wants to be otherwise. */
export interface CoopToScript {
  status: number;
  /** Laid over the members; undefined leaves one out. */
  members: Json;
  /** Laid over the claims of the ids_token; undefined leaves one out. */
  claims: Json;
  /** Signs the ids_token. */
  signer: Signer;
}

/** An ID provider whose coop-to endpoint answers what a test wants. */
export interface ScriptedIdp extends ReceiverIdp {
  readonly signer: Signer;
  readonly script: CoopToScript;
  /** Requests that came, in their order. */
  readonly asked: Json[];
  /** A code token of this ID provider for the to-TA; undefined leaves a claim out. */
  codeToken(claims?: Json): Promise<string>;
  close(): Promise<void>;
}

const START_S = START_MS / 1_000;

function said(json: Json): Json {
  return Object.fromEntries(Object.entries(json).filter(([, value]) => value !== undefined));
}

/**
 * Starts one; it ends with its test.
 *
 * @param ids accounts that its ids_token tells of, by tag
 * @param hasPrincipal whether it gives an access token too
 */
export async function startScriptedIdp(
  t: TestContext,
  issuer: string,
  ids: Json,
  hasPrincipal: boolean,
): Promise<ScriptedIdp> {
  const signer = await newSigner(`${new URL(issuer).host}-1`);
  const script: CoopToScript = { status: 200, members: {}, claims: {}, signer };
  const asked: Json[] = [];
  const claims = { iss: issuer, sub: FROM_TA, aud: TO_TA, exp: START_S + 600, iat: START_S, ids };
  const token = { access_token: "Bn3GtU9yKe6LwQ1RzXc8VoHm5JsPaD", token_type: "Bearer" };
  const main = hasPrincipal ? { ...token, expires_in: 3_600, scope: "openid" } : {};
  const server = await listenOnLoopback(
    httpServer(async (request, answer) => {
      asked.push(await readJson(request));
      const idsToken = await signJwt(said({ ...claims, ...script.claims }), script.signer);
      const members = said({ ...main, ids_token: idsToken, ...script.members });
      answerJson(answer, script.status, members);
    }),
  );
  t.after(() => server.close());
  return {
    issuer,
    signer,
    script,
    asked,
    close: () => server.close(),
    coopToUrl: `${server.url}/api/coop/to`,
    jwks: [publicJwk(signer)],
    codeToken: (change = {}) =>
      signJwt(
        said({
          iss: issuer,
          sub: "c1Qn8VxT2sLw5RzK7yHb3MfJ9pDgAe",
          aud: TO_TA,
          from_client: FROM_TA,
          ...(hasPrincipal ? { user_tag: "reader" } : { user_tags: ["observer"] }),
          ...change,
        }),
        signer,
      ),
  };
}
