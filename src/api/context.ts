import type { Logger } from "pino";
import type { CredentialChanges } from "../core/contract.ts";
import type { Slot } from "../core/slot-list.ts";
import type { Asker, Principal } from "./ports.ts";
import type { RelayClient } from "./relay-client.ts";
import type { Store, TenantId } from "./store/index.ts";

/** What the parts of the API server share: built once, handed to each of them. */
export interface ApiContext {
  readonly store: Store;
  /** Of the relay's internal API. */
  readonly relay: RelayClient;
  readonly changes: RelayChanges;
  readonly audit: AuditLog;
  readonly endings: Endings;
  readonly logger: Logger;
  /** Milliseconds since 1970 in UTC; the same clock as the store's. */
  readonly now: () => number;
}

/** Something that happened, for the audit log. No field may hold a secret. */
export interface AuditEntry {
  /** A stable name, for example `key_created`. */
  readonly event: string;
  /** Null for what is nobody's, such as a sign-in that failed. */
  readonly tenant: TenantId | null;
  /** The request that it happened in; null for what the server did by itself. */
  readonly asker: Asker | null;
  /** User id, token reference or client id of who did it; null for nobody known. */
  readonly actor: string | null;
  /** The first 12 hex digits of SHA-256 of a login session's id, where there is one. */
  readonly sessionRef?: string | null;
  readonly objectId?: string | null;
  readonly detail?: Readonly<Record<string, string | number | boolean | null>> | null;
}

/** Where events go: to the database, and as JSON lines to a stream of their own. */
export interface AuditLog {
  /** Writes both, in order and in the background. Never throws. */
  record(entry: AuditEntry): void;
  /** Writes the line alone: for events whose row is written in a transaction of the store. */
  tell(entry: AuditEntry): void;
  /** Stores what waits, for who is about to read; false where that cannot be now. Absent where nothing waits. Never rejects. */
  flush?(): Promise<boolean>;
}

/** Tells the relay what is good no longer. Called after the commit, never before. */
export interface RelayChanges {
  /**
   * Lists that are left out are empty. Settles when the relay has taken it, or after a moment where it cannot be
   * reached: then it is sent again until it is taken. Never rejects.
   */
  announce(changes: Partial<CredentialChanges>): Promise<void>;
}

/** Who stopped being let in, so that what still runs in their name is cut. */
export interface Endings {
  /** Cuts what runs in the name of these principals, by their `ref`. */
  end(refs: Iterable<string>): void;
  /** Something begins to run: it is cut once when its principal ends, unless it is over before. */
  begin(running: Running): Slot<Running>;
  /** It runs no longer. Idempotent. */
  over(slot: Slot<Running>): void;
}

/** What runs in the name of a principal. */
export interface Running {
  /** Of the principal. */
  readonly ref: string;
  /** Its principal has ended. */
  cut(): void;
}

/** The actor that a principal is in the audit log: the person behind a session, else the credential's reference. */
export function actorOf(principal: Principal): string {
  return principal.kind === "session" ? principal.userId : principal.ref;
}
