import { createHash } from "node:crypto";
import type { PendingSignIn, PendingSignIns } from "../oidc/index.ts";
import {
  addPendingSignIn,
  PENDING_LIMITS,
  type PendingLimits,
  type Store,
  takePendingSignIn,
} from "../store/index.ts";
import type { AuthOptions } from "./options.ts";
import type { TokenBox } from "./token-box.ts";

/** The pending sign-ins of one browser, in the store: by digests, and encrypted. */
export class BrowserSignIns implements PendingSignIns {
  /** What the store threw; the relying party takes over no causes. */
  failure: unknown = null;
  /** Digest of the state that was taken last. */
  takenState: string | null = null;
  readonly #store: Store;
  readonly #box: TokenBox;
  readonly #browserKey: string;
  readonly #limits: PendingLimits;

  constructor(
    store: Store,
    box: TokenBox,
    browserKey: string,
    { pendingPerBrowserMax, pendingMax }: AuthOptions,
  ) {
    this.#store = store;
    this.#box = box;
    this.#browserKey = browserKey;
    this.#limits = { ...PENDING_LIMITS, perBrowserMax: pendingPerBrowserMax, totalMax: pendingMax };
  }

  async put(pending: PendingSignIn): Promise<void> {
    const stateDigest = digestOf(pending.state);
    const sealed = this.#box.seal(
      "pending-sign-in",
      this.#place(stateDigest),
      JSON.stringify(pending),
    );
    const entry = { browserKey: this.#browserKey, stateDigest, sealed };
    await this.#kept(addPendingSignIn(this.#store, entry, this.#limits));
  }

  async take(state: string): Promise<PendingSignIn | null> {
    const stateDigest = digestOf(state);
    const taken = await this.#kept(takePendingSignIn(this.#store, this.#browserKey, stateDigest));
    if (taken === null) return null;
    this.takenState = stateDigest;
    const text = this.#box.open("pending-sign-in", this.#place(stateDigest), taken.sealed);
    return text === null ? null : JSON.parse(text);
  }

  #place(stateDigest: string): string {
    return `${this.#browserKey}.${stateDigest}`;
  }

  async #kept<T>(work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      this.failure = error;
      throw error;
    }
  }
}

/** A browser without a cookie has begun nothing. */
export const NOTHING_PENDING: PendingSignIns = {
  put: () => Promise.reject(new Error("a browser without an id begins nothing")),
  take: () => Promise.resolve(null),
};

function digestOf(state: string): string {
  return createHash("sha256").update(state).digest("hex");
}
