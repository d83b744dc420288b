import { createHash, timingSafeEqual } from "node:crypto";

const BEARER = /^bearer +([\x21-\x7e]+) *$/i;

function digest(text: string): Buffer {
  return createHash("sha256").update(text, "utf8").digest();
}

/** Checks the shared secret of the internal API. Keeps its digest only. */
export class InternalSecret {
  readonly #digest: Buffer;

  constructor(secret: string) {
    this.#digest = digest(secret);
  }

  /** Whether an `Authorization` field carries the secret as a bearer token. Takes the same time for all that do not. */
  accepts(authorization: string): boolean {
    const presented = BEARER.exec(authorization)?.[1];
    return presented !== undefined && timingSafeEqual(digest(presented), this.#digest);
  }
}
