import {
  createApiKey,
  type NewApiKey,
  type Store,
  type User,
} from "../../../src/api/store/index.ts";
import { type MintedToken, mintToken } from "../../../src/core/token.ts";

const DAY_MS = 24 * 60 * 60_000;

/** A key of a user that may call devices, unless `more` says otherwise. */
export async function apiKey(
  store: Store,
  user: User,
  more: Partial<NewApiKey> = {},
): Promise<MintedToken> {
  const key = mintToken("key");
  await createApiKey(store, user.tenant, user.id, {
    ref: key.ref,
    secretDigest: key.secretDigest,
    name: "harness",
    scopes: ["tunnel:use"],
    devices: null,
    requestsPerMinute: null,
    expiresAt: store.now() + DAY_MS,
    ...more,
  });
  return key;
}
