import { AccessTokens } from "./access-token.ts";
import { type EndSession, endSession } from "./logout.ts";
import { BackchannelLogout } from "./logout-token.ts";
import type { LogoutSink, MachineClients, OidcPorts } from "./ports.ts";
import { Provider, type ProviderState } from "./provider.ts";
import type { Secret } from "./secret.ts";
import type { OidcSettings } from "./settings.ts";
import { SignIn } from "./sign-in.ts";

/** Stores that signing in and out work with. */
export interface RelyingPartyStores {
  readonly logouts: LogoutSink;
  readonly machineClients: MachineClients;
}

/** All that this part does for one provider, built and wired. Nothing is asked of the provider before it is needed. */
export class RelyingParty {
  readonly signIn: SignIn;
  readonly backchannelLogout: BackchannelLogout;
  readonly accessTokens: AccessTokens;
  readonly settings: OidcSettings;
  readonly #provider: Provider;

  /** Logs the warnings of the settings, once. */
  constructor(settings: OidcSettings, ports: OidcPorts, stores: RelyingPartyStores) {
    this.settings = settings;
    this.#provider = new Provider({ ...settings, purpose: "sign-in" }, ports);
    this.signIn = new SignIn(settings, this.#provider, ports, stores.logouts);
    this.backchannelLogout = new BackchannelLogout(settings, this.#provider, ports, stores.logouts);
    this.accessTokens = new AccessTokens(settings, ports, stores.machineClients);
    for (const warning of settings.warnings) ports.log.warn({}, warning);
  }

  /** For readiness. */
  get state(): ProviderState {
    return this.#provider.state;
  }

  /** Whether this is a public client, for readiness. */
  get isPublicClient(): boolean {
    return this.settings.credentials.method === "none";
  }

  /** Discovers the provider in the background. Never throws. */
  warmUp(): void {
    this.#provider.warmUp();
  }

  /** Where a browser signs out at the provider; null where it cannot. See {@link endSession}. */
  endSession(idToken: Secret | null): Promise<EndSession | null> {
    return endSession(this.settings, this.#provider, idToken);
  }

  /** Stops the background work. */
  close(): void {
    this.#provider.close();
    this.accessTokens.close();
  }
}
