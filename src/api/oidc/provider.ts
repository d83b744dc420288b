import { allowInsecureRequests, customFetch, discovery } from "openid-client";
import { Backoff } from "../../core/backoff.ts";
import { OidcError, toOidcError } from "./errors.ts";
import { IdpHttp } from "./idp-http.ts";
import { KeySet } from "./key-set.ts";
import { checkMetadata, type MetadataRules, type ProviderMetadata } from "./metadata.ts";
import type { OidcPorts } from "./ports.ts";

const REFRESH_MS = 3_600_000;
const RETRY_BASE_MS = 2_000;
const RETRY_LEAST_MS = 1_000;
const RETRY_CAP_MS = 60_000;

/** How a provider stands: not asked yet, well, failing with a good copy at hand, failing without one. */
export type ProviderState = "unknown" | "up" | "stale" | "down";

/**
 * One identity provider: its metadata and its keys. Nothing is asked before it is needed, so a process starts without
 * its provider. Whoever needs the metadata first waits for one shared discovery; after that the last good copy serves,
 * and is renewed in the background, every hour, or 1 to 60 s after a failure.
 */
export class Provider {
  readonly keys: KeySet;
  readonly http: IdpHttp;
  readonly #rules: MetadataRules;
  readonly #ports: OidcPorts;
  readonly #backoff: Backoff;
  #metadata: ProviderMetadata | null = null;
  #discovering: Promise<ProviderMetadata> | null = null;
  #failed = false;
  #timer: unknown = null;
  #closed = false;

  constructor(rules: MetadataRules, ports: OidcPorts) {
    this.#rules = rules;
    this.#ports = ports;
    this.http = new IdpHttp(ports);
    this.keys = new KeySet(async () => {
      const { jwksUri } = await this.metadata();
      return await this.http.keySet(jwksUri);
    }, ports.clock);
    this.#backoff = new Backoff({
      baseMs: RETRY_BASE_MS,
      capMs: RETRY_CAP_MS,
      ...(ports.random === undefined ? {} : { random: ports.random }),
    });
  }

  /** For readiness: a provider that is down does not make the process unready. */
  get state(): ProviderState {
    if (this.#metadata !== null) return this.#failed || this.http.isOpen ? "stale" : "up";
    return this.#failed ? "down" : "unknown";
  }

  /** The last good copy; null before the first. Asks nobody. */
  get lastMetadata(): ProviderMetadata | null {
    return this.#metadata;
  }

  /** The last good copy, or the result of a discovery that all who wait share. Errors: those of the table. */
  async metadata(): Promise<ProviderMetadata> {
    return this.#metadata ?? (await this.#discover());
  }

  /** Discovers in the background and goes on trying. Never throws. */
  warmUp(): void {
    this.#discover().catch(() => {});
  }

  /** Stops the background work. */
  close(): void {
    this.#closed = true;
    this.#ports.timers.clear(this.#timer);
    this.#timer = null;
  }

  #discover(): Promise<ProviderMetadata> {
    this.#discovering ??= this.#ask().finally(() => {
      this.#discovering = null;
    });
    return this.#discovering;
  }

  async #ask(): Promise<ProviderMetadata> {
    const { log } = this.#ports;
    try {
      const config = await discovery(
        new URL(this.#rules.issuer),
        "discovery",
        undefined,
        undefined,
        {
          [customFetch]: this.http.libraryFetch,
          execute: this.#rules.allowInsecure ? [allowInsecureRequests] : [],
        },
      );
      this.#metadata = checkMetadata(config.serverMetadata(), this.#rules);
      if (this.#failed) log.info({ issuer: this.#rules.issuer }, "identity provider is back");
      this.#failed = false;
      this.#backoff.reset();
      this.#later(REFRESH_MS);
      return this.#metadata;
    } catch (thrown) {
      const error = discoveryError(thrown);
      this.#failed = true;
      log.warn(
        { issuer: this.#rules.issuer, code: error.code, rule: error.rule },
        "identity provider cannot be discovered",
      );
      this.#later(Math.max(RETRY_LEAST_MS, this.#backoff.next()));
      throw error;
    }
  }

  #later(delayMs: number): void {
    const { timers } = this.#ports;
    timers.clear(this.#timer);
    this.#timer = this.#closed ? null : timers.set(() => this.warmUp(), delayMs);
  }
}

/** In discovery a comparison that failed is that of the issuer, not of a subject. */
function discoveryError(thrown: unknown): OidcError {
  const error = toOidcError(thrown);
  const isMetadata =
    error.code === "ERR_OIDC_USERINFO_SUBJECT" || error.code === "ERR_OIDC_ID_TOKEN_INVALID";
  return isMetadata ? new OidcError("ERR_OIDC_METADATA", "issuer") : error;
}
