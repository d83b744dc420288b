import type { PartyKeys } from "../wire/party-keys.ts";
import type { Signer } from "../wire/signed-jwt.ts";
import type { ClientAuthenticator } from "./client-authenticator.ts";
import type { Directory } from "./directory.ts";
import type { Grants } from "./grants.ts";

/** What the endpoints of one ID provider share. */
export interface IdpContext {
  readonly issuer: string;
  readonly directory: Directory;
  readonly grants: Grants;
  readonly clients: ClientAuthenticator;
  readonly keys: PartyKeys;
  readonly signer: Signer;
  /** How long referrals and ids_tokens are good. */
  readonly tokenLifetimeMs: number;
  /** Milliseconds since 1970. */
  readonly wallNow: () => number;
}

/** Whole seconds since 1970. */
export function secondsOf(wallNowMs: number): number {
  return Math.floor(wallNowMs / 1_000);
}
