import type { ApiContext } from "../context.ts";
import type { Asker } from "../ports.ts";
import type { EndedSession } from "../store/index.ts";
import type { RecentEnds } from "./recent-ends.ts";

/** Why sessions end, for the audit log. */
export type EndReason =
  | "signed_out"
  | "replaced"
  | "renewed"
  | "session_limit"
  | "timed_out"
  | "ended_by_user"
  | "ended_by_admin"
  | "provider"
  | "disabled";

const EXPIRED: ReadonlySet<EndReason> = new Set(["session_limit", "timed_out"]);

/** Who ended them, as far as that is known. */
export interface EndedBy {
  readonly asker: Asker | null;
  readonly actor: string | null;
}

/** The first 12 hex digits of a session's key, as logs name it. */
export function sessionRefOf(key: string): string {
  return key.slice(0, 12);
}

/** What follows when sessions are gone from the store: what runs in their name is cut, and the audit log is told. */
export class SessionEndings {
  readonly #context: ApiContext;
  readonly #recent: RecentEnds;

  constructor(context: ApiContext, recent: RecentEnds) {
    this.#context = context;
    this.#recent = recent;
  }

  /** Call after the commit. A session that was renewed has an event of its own. */
  ended(sessions: readonly EndedSession[], reason: EndReason, by: EndedBy): void {
    for (const { key } of sessions) this.#recent.note(key, "ended");
    this.#context.endings.end(sessions.map(({ key }) => sessionRefOf(key)));
    if (reason === "renewed") return;
    for (const { key, publicId, tenant, userId } of sessions) {
      this.#context.audit.record({
        event: EXPIRED.has(reason) ? "session_expired" : "session_logout",
        tenant,
        asker: by.asker,
        actor: by.actor ?? userId,
        sessionRef: sessionRefOf(key),
        objectId: publicId,
        detail: { reason, user: userId },
      });
    }
  }
}
