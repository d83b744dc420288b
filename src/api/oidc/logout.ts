import {
  allowInsecureRequests,
  buildEndSessionUrl,
  Configuration,
  None,
  randomState,
} from "openid-client";
import type { ProviderMetadata } from "./metadata.ts";
import type { Provider } from "./provider.ts";
import { Secret } from "./secret.ts";
import type { OidcSettings } from "./settings.ts";

/** Where a browser goes to sign out at the provider too. */
export interface EndSession {
  /** Holds the ID token where `idTokenHint` is on: for a `Location`, never for JSON or a log. */
  readonly url: Secret;
  /** Comes back to the logged-out page. Nothing may depend on it. */
  readonly state: string;
}

/**
 * Builds the URL of the provider's logout page: `client_id`, the exact registered `post_logout_redirect_uri`, a new
 * `state`, and `id_token_hint` by configuration. Null where the provider has no such page or cannot be reached: the
 * sign-out is local then.
 *
 * Never throws, and asks the provider only where no copy of its metadata is there yet.
 * @param idToken that of the session that ends; null where it was not kept
 * @see OpenID Connect RP-Initiated Logout 1.0, section 2
 */
export async function endSession(
  settings: OidcSettings,
  provider: Provider,
  idToken: Secret | null,
): Promise<EndSession | null> {
  const metadata = await knownMetadata(provider);
  if (metadata === null || metadata.endSessionEndpoint === null) return null;
  const config = new Configuration(metadata.server, settings.clientId, undefined, None());
  if (settings.allowInsecure) allowInsecureRequests(config);
  const state = randomState();
  const parameters: Record<string, string> = {
    post_logout_redirect_uri: settings.postLogoutRedirectUri,
    state,
  };
  if (idToken !== null && settings.idTokenHint) parameters["id_token_hint"] = idToken.reveal();
  return { url: new Secret(buildEndSessionUrl(config, parameters).href), state };
}

async function knownMetadata(provider: Provider): Promise<ProviderMetadata | null> {
  try {
    return await provider.metadata();
  } catch {
    return null;
  }
}
