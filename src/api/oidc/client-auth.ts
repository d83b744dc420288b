import { importPKCS8 } from "jose";
import {
  type ClientAuth,
  ClientSecretBasic,
  ClientSecretPost,
  None,
  PrivateKeyJwt,
} from "openid-client";
import type { ClientCredentials } from "./settings.ts";

/**
 * How this client proves itself at the token endpoint. Always explicit: the library's default would send a secret in
 * the body, and take an empty one for a public client.
 *
 * @see OpenID Connect Core 1.0, section 9
 */
export async function clientAuthOf(credentials: ClientCredentials): Promise<ClientAuth> {
  switch (credentials.method) {
    case "none":
      return None();
    case "client_secret_basic":
      return ClientSecretBasic(credentials.secret.reveal());
    case "client_secret_post":
      return ClientSecretPost(credentials.secret.reveal());
    case "private_key_jwt": {
      const key = await importPKCS8(credentials.privateKey.reveal(), credentials.alg);
      return PrivateKeyJwt(credentials.keyId === null ? key : { key, kid: credentials.keyId });
    }
  }
}
