import type { MachineClient, MachineClients } from "../oidc/index.ts";
import { findMachineClient, type Store } from "../store/index.ts";

/** The registry of machine clients in the database, as access tokens are checked against it. */
export class StoredMachineClients implements MachineClients {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  async find(issuer: string, clientId: string): Promise<MachineClient | null> {
    for (const spelling of spellingsOf(issuer)) {
      const client = await findMachineClient(this.#store, spelling, clientId);
      if (client !== null) return client;
    }
    return null;
  }
}

/** An issuer that is a bare origin is the same with and without its slash, and may be registered either way. */
function spellingsOf(issuer: string): readonly string[] {
  if (!URL.canParse(issuer) || new URL(issuer).pathname !== "/") return [issuer];
  return [issuer, issuer.endsWith("/") ? issuer.slice(0, -1) : `${issuer}/`];
}
