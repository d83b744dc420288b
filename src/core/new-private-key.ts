import { createPrivateKey, generateKeyPairSync, type KeyObject } from "node:crypto";

/** What kind of key is made. */
export type NewKeyKind =
  | { readonly type: "rsa"; readonly bits: number }
  | { readonly type: "ec"; readonly curve: "P-256" | "P-384" | "P-521" }
  | { readonly type: "ed25519" };

const ENCODINGS = {
  publicKeyEncoding: { type: "spki", format: "pem" },
  privateKeyEncoding: { type: "pkcs8", format: "pem" },
} as const;

/**
 * Makes a private key; `createPublicKey` gives the other half. Takes tenths of a second for RSA.
 *
 * The key goes through PEM: the object that Node itself gives shares a lock with the job that made it, and a thread that exports it
 * as a JWK while it collects that job waits for itself, for ever.
 */
export function newPrivateKey(kind: NewKeyKind): KeyObject {
  switch (kind.type) {
    case "rsa":
      return read(generateKeyPairSync("rsa", { ...ENCODINGS, modulusLength: kind.bits }));
    case "ec":
      return read(generateKeyPairSync("ec", { ...ENCODINGS, namedCurve: kind.curve }));
    case "ed25519":
      return read(generateKeyPairSync("ed25519", ENCODINGS));
  }
}

/** The types know no overload for these encodings; they give a text. */
function read({ privateKey }: { readonly privateKey: unknown }): KeyObject {
  return createPrivateKey(privateKey as string);
}
