import { type Slot, SlotList } from "../../core/slot-list.ts";
import { StoredMachineClients } from "../bearer/index.ts";
import type { ApiContext } from "../context.ts";
import type { Principal } from "../ports.ts";
import { findEndedPrincipals } from "../store/index.ts";
import type { Timers } from "../timers.ts";

interface Asked {
  /** By what the store knows a session or a key. */
  readonly id: string;
  readonly kind: "session" | "key" | "service";
  readonly principal: Principal;
}

/** By what the endings know those in whose name a request runs: clients of two issuers may have one id. */
export function runningName({ ref, client }: Principal): string {
  return client === undefined ? ref : `${ref} ${client.issuer}`;
}

/**
 * Asks once a minute whether those in whose name requests run are still let in. This process ends at once what it ends itself;
 * what another process ended, and what just expires, is found here. Nothing is asked while nothing runs.
 */
export class PrincipalRecheck {
  readonly #context: ApiContext;
  readonly #timers: Timers;
  readonly #everyMs: number;
  readonly #clients: StoredMachineClients;
  /** One for each request that runs. */
  readonly #running = new SlotList<Principal>();
  #isSet = false;

  constructor(context: ApiContext, timers: Timers, everyMs: number) {
    this.#context = context;
    this.#timers = timers;
    this.#everyMs = everyMs;
    this.#clients = new StoredMachineClients(context.store);
  }

  /** A request begins to run. */
  begin(principal: Principal): Slot<Principal> {
    const slot = this.#running.add(principal);
    if (!this.#isSet) this.#schedule();
    return slot;
  }

  /** It runs no longer. */
  end(slot: Slot<Principal>): void {
    this.#running.remove(slot);
  }

  #schedule(): void {
    if (this.#isSet || this.#running.size === 0) return;
    this.#isSet = true;
    this.#timers.after(this.#everyMs, () => {
      void this.#check();
    });
  }

  async #check(): Promise<void> {
    const { store, endings, logger } = this.#context;
    const running = this.#asked();
    const idsOf = (wanted: Asked["kind"]): string[] =>
      running.filter(([, { kind }]) => kind === wanted).map(([, { id }]) => id);
    try {
      const asked = { sessions: idsOf("session"), keys: idsOf("key") };
      const ended = await findEndedPrincipals(store, asked);
      endings.end(
        running
          .filter(([, { kind, id }]) => kind !== "service" && ended.has(id))
          .map(([name]) => name),
      );
      for (const [name, { principal }] of running) {
        if (await this.#isClientGone(principal)) endings.end([name]);
      }
    } catch (error) {
      // Who was let in stays in while nobody can say otherwise.
      logger.warn({ err: error }, "running requests cannot be checked");
    }
    this.#isSet = false;
    this.#schedule();
  }

  /** Those in whose name something runs, each once, by {@link runningName}. */
  #asked(): [string, Asked][] {
    const asked = new Map<string, Asked>();
    for (const principal of this.#running) {
      const { ref, kind, session } = principal;
      const name = runningName(principal);
      if (kind === "key" || kind === "service") asked.set(name, { id: ref, kind, principal });
      else if (session !== undefined) {
        asked.set(name, { id: session.key, kind: "session", principal });
      }
    }
    return [...asked];
  }

  /** The registration counts, and not the token: that one was good when it was used, and few live for long. */
  async #isClientGone({ client, tenantId }: Principal): Promise<boolean> {
    if (client === undefined) return false;
    const found = await this.#clients.find(client.issuer, client.clientId);
    return found?.tenant !== tenantId;
  }
}
