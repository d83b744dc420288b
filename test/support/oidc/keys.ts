import { createPublicKey, sign as cryptoSign, type KeyObject } from "node:crypto";
import { base64url, type JSONWebKeySet, SignJWT } from "jose";
import { type NewKeyKind, newPrivateKey } from "../../../src/core/new-private-key.ts";

/** A key that a provider signs with. */
export interface SigningKey {
  readonly kid: string;
  readonly alg: string;
  readonly privateKey: KeyObject;
}

const KINDS = {
  RS256: { type: "rsa", bits: 2_048 },
  PS256: { type: "rsa", bits: 2_048 },
  ES256: { type: "ec", curve: "P-256" },
  EdDSA: { type: "ed25519" },
} as const satisfies Record<string, NewKeyKind>;

let made = 0;

/** Makes a key; its `kid` is new. */
export function makeKey(alg: keyof typeof KINDS = "RS256"): SigningKey {
  const kid = `key-${++made}`;
  const privateKey = newPrivateKey(KINDS[alg]);
  return { kid, alg, privateKey };
}

/** The set that a provider publishes. */
export function publicKeys(keys: readonly SigningKey[], withKid = true): JSONWebKeySet {
  return {
    keys: keys.map(({ kid, alg, privateKey }) => ({
      ...createPublicKey(privateKey).export({ format: "jwk" }),
      ...(withKid ? { kid } : {}),
      alg,
      use: "sig",
      kty: createPublicKey(privateKey).export({ format: "jwk" }).kty ?? "",
    })),
  };
}

/** Signs; header fields that are undefined are left out. */
export async function sign(
  claims: Readonly<Record<string, unknown>>,
  key: SigningKey,
  header: Readonly<Record<string, unknown>> = {},
): Promise<string> {
  const fields = { alg: key.alg, kid: key.kid, ...header };
  const kept = Object.entries(fields).filter(([, value]) => value !== undefined);
  return await new SignJWT({ ...claims })
    .setProtectedHeader(Object.fromEntries(kept) as { alg: string })
    .sign(key.privateKey);
}

/** Signs with RS256 under a header that jose would not write. */
export function signRaw(header: object, claims: object, key: SigningKey): string {
  const signed = `${encoded(header)}.${encoded(claims)}`;
  return `${signed}.${cryptoSign("sha256", Buffer.from(signed), key.privateKey).toString("base64url")}`;
}

/** A token without a signature. */
export function unsigned(claims: object): string {
  return `${encoded({ alg: "none" })}.${encoded(claims)}.`;
}

/** A token with a MAC that is made with a text. */
export async function macSigned(claims: object, secret: string): Promise<string> {
  const key = new TextEncoder().encode(secret.padEnd(32, "\0"));
  return await new SignJWT({ ...claims }).setProtectedHeader({ alg: "HS256" }).sign(key);
}

/** The token with one byte of its signature changed. */
export function flipSignature(token: string): string {
  const [header = "", payload = "", signature = ""] = token.split(".");
  const bytes = base64url.decode(signature);
  bytes[0] = (bytes[0] ?? 0) ^ 1;
  return `${header}.${payload}.${base64url.encode(bytes)}`;
}

function encoded(value: object): string {
  return base64url.encode(JSON.stringify(value));
}
