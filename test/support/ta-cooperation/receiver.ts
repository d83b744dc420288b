import assert from "node:assert/strict";
import type { IncomingHttpHeaders } from "node:http";
import type { TestContext } from "node:test";
import {
  type ContentHandler,
  TestReceiver,
  type TestReceiverOptions,
} from "../../../examples/ta-cooperation/receiver/index.ts";
import {
  ALICE,
  BOB,
  IDP_A,
  IDP_B,
  newSigner,
  TO_TA,
} from "../../../examples/ta-cooperation/stack.ts";
import type { Json } from "../../../examples/ta-cooperation/wire/json-http.ts";
import type { Signer } from "../../../examples/ta-cooperation/wire/signed-jwt.ts";
import { readUnsignedJwt } from "../../../src/access-proxy/index.ts";
import { START_MS } from "./parties.ts";
import { type RawAnswer, rawCall } from "./raw-call.ts";
import { type ScriptedIdp, startScriptedIdp } from "./scripted-idp.ts";

/** A request as the content handler got it. */
export interface Content {
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  /** Names and values in turn. */
  readonly rawHeaders: readonly string[];
  readonly body: string;
}

/** A receiver between two ID providers, of which A is the main one, and a content handler that keeps what it gets. */
export interface ReceiverParties {
  readonly receiver: TestReceiver;
  readonly signer: Signer;
  readonly idpA: ScriptedIdp;
  readonly idpB: ScriptedIdp;
  /** Milliseconds since 1970. */
  readonly clock: { now: number };
  readonly contents: readonly Content[];
  /** Calls the receiver with code tokens, one line each, and other fields. */
  call(tokens: readonly string[], fields?: readonly string[], path?: string): Promise<RawAnswer>;
}

/** Starts a receiver; all ends with the test. */
export async function startReceiver(
  t: TestContext,
  options: Partial<Pick<TestReceiverOptions, "secureCookie" | "entriesMax" | "content">> = {},
): Promise<ReceiverParties> {
  const clock = { now: START_MS };
  const contents: Content[] = [];
  const content: ContentHandler = async (request, answer) => {
    let body = "";
    for await (const piece of request) body += String(piece);
    const { url = "", headers, rawHeaders } = request;
    contents.push({ url, headers, rawHeaders, body });
    answer.end("content");
  };
  const signer = await newSigner("to-1");
  const idpA = await startScriptedIdp(t, IDP_A, { reader: { sub: ALICE } }, true);
  const idpB = await startScriptedIdp(t, IDP_B, { observer: { sub: BOB } }, false);
  const receiver = await new TestReceiver({
    content,
    ...options,
    signer,
    selfId: TO_TA,
    idps: [idpA, idpB],
    wallNow: () => clock.now,
  }).start();
  t.after(() => receiver.close());
  return {
    receiver,
    signer,
    idpA,
    idpB,
    clock,
    contents,
    call: (tokens, fields = [], path = "/") =>
      rawCall(receiver.url + path, [
        ...tokens.flatMap((token) => ["X-Edo-Code-Tokens", token]),
        ...fields,
      ]),
  };
}

/** The claims of an unsigned JWT in a field. */
export function unsignedClaims(value: unknown): Json {
  const jwt = readUnsignedJwt(String(value));
  assert.ok(jwt.ok);
  return jwt.claims;
}

/** A protocol error: its status and code, the same text in field and body. */
export function assertProtocolError(
  { status, headers, text }: RawAnswer,
  expected: string,
): string {
  const body = JSON.parse(text) as Json;
  assert.equal(`${status} ${body["error"]}`, expected, text);
  assert.equal(headers["content-type"], "application/json");
  assert.equal(headers["cache-control"], "no-store");
  const told = headers["x-edo-cooperation-error"];
  assert.equal(told, body["error_description"]);
  return String(told);
}

/** The session that an answer grants. */
export function sessionOf({ headers }: RawAnswer): string {
  const [cookie = ""] = headers["set-cookie"] ?? [];
  const id = /^Edo-Cooperation=([\w-]{30});/.exec(cookie)?.[1];
  assert.ok(id !== undefined, cookie);
  return id;
}
