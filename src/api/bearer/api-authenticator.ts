import type { Asker, Authenticator, AuthVerdict, Credential, PrincipalKind } from "../ports.ts";
import type { BearerAuthenticator } from "./bearer-authenticator.ts";

/** Decides the value of the login cookie. */
export type CookieAuthenticator = (
  value: string,
  admits: readonly PrincipalKind[],
  asker: Asker,
  isPassive: boolean,
) => AuthVerdict | Promise<AuthVerdict>;

/** Decides all credentials: the login cookie by one way, what `Authorization` carries by the other. */
export class ApiAuthenticator implements Authenticator {
  readonly #cookie: CookieAuthenticator;
  readonly #bearer: BearerAuthenticator;

  constructor(cookie: CookieAuthenticator, bearer: BearerAuthenticator) {
    this.#cookie = cookie;
    this.#bearer = bearer;
  }

  authenticate(
    credential: Credential,
    admits: readonly PrincipalKind[],
    asker: Asker,
    isPassive: boolean,
  ): AuthVerdict | Promise<AuthVerdict> {
    if (credential.kind === "bearer") {
      return this.#bearer.authenticate(credential.token, admits, asker);
    }
    // A cookie proves a person and nothing else.
    if (!admits.includes("session")) return { ok: false, reason: "rejected" };
    return this.#cookie(credential.value, admits, asker, isPassive);
  }
}
