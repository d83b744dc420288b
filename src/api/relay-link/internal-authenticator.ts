import { createHash, timingSafeEqual } from "node:crypto";
import { assert } from "../../core/assert.ts";
import type { Authenticator, AuthVerdict, Credential, Principal } from "../ports.ts";

const RELAY: Principal = {
  kind: "internal",
  ref: "relay",
  tenantId: "",
  userId: "",
  role: "member",
  scopes: new Set(),
};

/** Knows the shared secret of the internal APIs, and nobody else: for the internal listener. */
export class InternalAuthenticator implements Authenticator {
  readonly #digest: Buffer;

  constructor(secret: string) {
    assert(secret !== "", "the internal listener has a secret");
    this.#digest = digestOf(secret);
  }

  authenticate(credential: Credential): AuthVerdict {
    const isRight =
      credential.kind === "bearer" && timingSafeEqual(digestOf(credential.token), this.#digest);
    return isRight ? { ok: true, principal: RELAY } : { ok: false, reason: "rejected" };
  }
}

/** Digests have one length, whatever was sent. */
function digestOf(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
