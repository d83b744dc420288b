import { compactVerify, importJWK, type JWK, SignJWT } from "jose";
import {
  chooseKey,
  decodePart,
  isSigningAlgorithm,
  type SigningAlgorithm,
} from "../../../src/access-proxy/index.ts";
import type { Json } from "./json-http.ts";

/** A JWT that was read and not yet checked. */
export interface ReadJwt {
  readonly text: string;
  /** Null where it is none that signs, `none` among them. */
  readonly alg: SigningAlgorithm | null;
  readonly kid: string | undefined;
  readonly claims: Json;
}

/** What a party signs with. */
export interface Signer {
  readonly alg: SigningAlgorithm;
  /** Private; its `kid` goes into the header. */
  readonly jwk: JWK;
}

/** Seconds that a token is taken after its end: clocks differ. */
const LEEWAY_S = 30;

/** Reads a compact JWT, whatever its algorithm; null where it is none. */
export function readJwt(text: unknown): ReadJwt | null {
  if (typeof text !== "string") return null;
  const parts = text.split(".");
  const [head = "", body = ""] = parts;
  const header = decodePart(head);
  const claims = decodePart(body);
  if (parts.length !== 3 || header === null || claims === null) return null;
  const { alg, kid } = header;
  return {
    text,
    claims,
    alg: isSigningAlgorithm(alg) ? alg : null,
    kid: typeof kid === "string" ? kid : undefined,
  };
}

/** Whether one of the keys made the JWT's signature. An unsigned one never verifies. */
export async function verifies(jwt: ReadJwt, keys: readonly JWK[]): Promise<boolean> {
  const { text, alg, kid } = jwt;
  if (alg === null) return false;
  const key = chooseKey(keys, { alg, kid, operation: "verify" });
  if (key === undefined) return false;
  try {
    await compactVerify(text, await importJWK(key, alg), { algorithms: [alg] });
    return true;
  } catch {
    return false;
  }
}

/** Signs claims in their order. */
export async function signJwt(claims: Json, { alg, jwk }: Signer): Promise<string> {
  const header = jwk.kid === undefined ? { alg } : { alg, kid: jwk.kid };
  return new SignJWT(claims).setProtectedHeader(header).sign(await importJWK(jwk, alg));
}

/** A claim or member that is a text with something in it; else null. */
export function textOf(of: Json, name: string): string | null {
  const value = of[name];
  return typeof value === "string" && value !== "" ? value : null;
}

/** A claim that is a time in whole seconds since 1970; else null. */
export function timeOf(claims: Json, name: string): number | null {
  const value = claims[name];
  return Number.isSafeInteger(value) ? (value as number) : null;
}

/** `aud`, which is one text or several. */
export function audienceOf({ aud }: Json): readonly unknown[] {
  return Array.isArray(aud) ? aud : [aud];
}

/** @param exp seconds since 1970 @param nowMs milliseconds since 1970 */
export function isExpired(exp: number, nowMs: number): boolean {
  return nowMs / 1_000 > exp + LEEWAY_S;
}

/** When an assertion or token is of no use to anybody any more, in milliseconds since 1970. */
export function endOfUseMs(exp: number): number {
  return (exp + LEEWAY_S) * 1_000;
}
