import type { LogoutNotice, LogoutSink, SignInRef } from "../oidc/index.ts";
import {
  type EndedSession,
  endLoginSessionsByProvider,
  isSignInEnded,
  type Store,
} from "../store/index.ts";

/** Announced logouts, in the store. */
export class StoreLogouts implements LogoutSink {
  readonly #store: Store;
  readonly #ended = new WeakMap<LogoutNotice, readonly EndedSession[]>();

  constructor(store: Store) {
    this.#store = store;
  }

  async apply(notice: LogoutNotice): Promise<"applied" | "replayed"> {
    const { replayed, ended } = await endLoginSessionsByProvider(this.#store, {
      iss: notice.issuer,
      sub: notice.sub,
      sid: notice.sid,
      jti: notice.tokenId,
      iat: notice.issuedAtMs,
      rememberUntil: notice.tokenIdUntilMs,
    });
    this.#ended.set(notice, ended);
    return replayed ? "replayed" : "applied";
  }

  isEnded({ issuer, sub, sid, issuedAtMs }: SignInRef): Promise<boolean> {
    const signIn = { iss: issuer, sub, idpSid: sid, issuedAt: issuedAtMs };
    return isSignInEnded(this.#store, signIn);
  }

  /** The sessions that a notice has ended. */
  endedBy(notice: LogoutNotice): readonly EndedSession[] {
    return this.#ended.get(notice) ?? [];
  }
}
