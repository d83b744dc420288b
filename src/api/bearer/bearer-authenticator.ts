import type { Logger } from "pino";
import { parseToken, type TokenKind } from "../../core/token.ts";
import { type AccessTokens, type MachinePrincipal, OidcError } from "../oidc/index.ts";
import type { Asker, AuthVerdict, Principal, PrincipalKind } from "../ports.ts";
import { ADMIN_SCOPES } from "../scopes.ts";
import {
  authorizeDeviceTokens,
  LAST_USED_WRITE_MS,
  noteApiKeyUsed,
  STORE_RETRY_S,
  type Store,
  type TokenDigest,
} from "../store/index.ts";
import { isScope } from "./key-scopes.ts";
import { type KeyVerdict, KeyVerdicts } from "./key-verdicts.ts";

/** What a {@link BearerAuthenticator} works with. */
export interface BearerDeps {
  readonly store: Store;
  /** Null where no access tokens of an identity provider are taken. */
  readonly accessTokens: Pick<AccessTokens, "verify"> | null;
  readonly logger: Logger;
}

const REJECTED: AuthVerdict = { ok: false, reason: "rejected" };
/** Uses that are being written at a time; a use beyond that is written the next time. */
const NOTES_MAX = 64;
/** RFC 7515, section 3.1: three parts of base64url. */
const JWS = /^[\w-]+\.[\w-]+\.[\w-]+$/;

/**
 * Decides what `Authorization: Bearer` carries. What a token is shows in its form, and one that the route does not take, or
 * whose checksum is wrong, is rejected without a look into the database. Of what was looked up only good keys are
 * remembered, for a second: {@link KeyVerdicts}.
 */
export class BearerAuthenticator {
  readonly #deps: BearerDeps;
  readonly #keys: KeyVerdicts;
  readonly #notes = new Map<string, Promise<void>>();

  constructor(deps: BearerDeps) {
    this.#deps = deps;
    this.#keys = new KeyVerdicts(deps.store);
  }

  /** Never rejects. */
  async authenticate(
    token: string,
    admits: readonly PrincipalKind[],
    asker: Asker,
  ): Promise<AuthVerdict> {
    try {
      return await this.#decide(token, admits, asker);
    } catch (error) {
      const code = error instanceof Error && "code" in error ? String(error.code) : "";
      const type = error instanceof Error ? error.name : typeof error;
      this.#deps.logger.error({ type, code }, "credentials cannot be checked now");
      return unavailable(STORE_RETRY_S);
    }
  }

  /** Waits for last uses that are being written. */
  async close(): Promise<void> {
    await Promise.all(this.#notes.values());
  }

  #decide(
    token: string,
    admits: readonly PrincipalKind[],
    asker: Asker,
  ): AuthVerdict | Promise<AuthVerdict> {
    if (admits.includes("device")) return this.#device(token);
    if (admits.includes("key") && token.startsWith("hwk_")) return this.#key(token, asker);
    if (admits.includes("service") && JWS.test(token)) return this.#service(token);
    return REJECTED;
  }

  async #device(token: string): Promise<AuthVerdict> {
    const presented = presentedAs(token, "device");
    if (presented === null) return REJECTED;
    const [device] = await authorizeDeviceTokens(this.#deps.store, [presented]);
    if (device == null) return REJECTED;
    return {
      ok: true,
      principal: {
        kind: "device",
        ref: device.ref,
        tenantId: device.tenant,
        userId: device.ownerId,
        role: "member",
        scopes: new Set(),
        deviceId: device.deviceId,
      },
    };
  }

  async #key(token: string, asker: Asker): Promise<AuthVerdict> {
    const presented = presentedAs(token, "key");
    if (presented === null) return REJECTED;
    const verdict = await this.#keys.find(presented);
    if (verdict === null) return REJECTED;
    this.#noteUse(verdict, asker);
    return { ok: true, principal: verdict.principal };
  }

  /** In the background: a use that cannot be noted is no reason to refuse it. */
  #noteUse(verdict: KeyVerdict, { address }: Asker): void {
    const { store, logger } = this.#deps;
    const { ref } = verdict.principal;
    const now = store.now();
    const isRecent = verdict.lastUsedAt !== null && now - verdict.lastUsedAt < LAST_USED_WRITE_MS;
    if (isRecent || this.#notes.has(ref) || this.#notes.size >= NOTES_MAX) return;
    verdict.lastUsedAt = now;
    const note = noteApiKeyUsed(store, ref, address)
      .catch(() => logger.warn({ key: ref }, "the use of a key cannot be noted"))
      .finally(() => this.#notes.delete(ref));
    this.#notes.set(ref, note);
  }

  async #service(token: string): Promise<AuthVerdict> {
    const { accessTokens, logger } = this.#deps;
    if (accessTokens === null) return REJECTED;
    try {
      return { ok: true, principal: principalOfMachine(await accessTokens.verify(token)) };
    } catch (error) {
      if (!(error instanceof OidcError)) throw error;
      if (error.row.status === 401) {
        logger.info({ rule: error.rule }, "access token rejected");
        return REJECTED;
      }
      logger.warn({ code: error.code, rule: error.rule }, "access tokens cannot be checked now");
      return unavailable(error.row.retryAfter || STORE_RETRY_S);
    }
  }
}

/** Null where the text is no token of that kind: its length, alphabet and checksum are looked at, and nothing is asked. */
function presentedAs(text: string, kind: TokenKind): TokenDigest | null {
  const parsed = parseToken(text);
  return parsed.ok && parsed.kind === kind ? parsed : null;
}

/**
 * A machine is no person: it has no user, and what it may do is what its registration and its token both say. It counts
 * as an administrator where that holds something of an administrator's.
 */
function principalOfMachine(machine: MachinePrincipal): Principal {
  const scopes = machine.scopes.filter(isScope);
  return {
    kind: "service",
    ref: `client:${machine.clientId}`,
    tenantId: machine.tenant,
    userId: "",
    role: scopes.some((scope) => ADMIN_SCOPES.has(scope)) ? "admin" : "member",
    scopes: new Set(scopes),
    expiresAtMs: machine.expiresAtMs,
    client: { issuer: machine.issuer, clientId: machine.clientId },
  };
}

function unavailable(retryAfter: number): AuthVerdict {
  return { ok: false, reason: "unavailable", retryAfter };
}
