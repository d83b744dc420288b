import type { Accounts, RelatedAccount } from "./accounts.ts";
import { CLIENT_ASSERTION_TYPE, type ClientAssertions } from "./client-assertion.ts";
import { type CodeTokenWish, codeTokenFault } from "./code-token.ts";
import { AccessProxyError } from "./errors.ts";
import { accountHash, type HashAlgorithm, referralHash } from "./half-hash.ts";
import type { IdpClient } from "./idp-client.ts";
import type { IdpKeys } from "./idp-keys.ts";
import type { IdpRecord, IdpStore, TokenRecord, TokenStore } from "./ports.ts";

/** One call that needs code tokens. */
export interface MediatedCall {
  readonly accounts: Accounts;
  readonly toTaId: string;
  readonly callerScope: string;
  /** Ends what runs when the caller leaves. */
  readonly signal: AbortSignal;
}

export interface MediatorOptions {
  readonly selfId: string;
  readonly hashAlg: HashAlgorithm;
  /** Milliseconds since 1970. */
  readonly wallNow: () => number;
}

export interface MediatorParts {
  readonly tokens: TokenStore;
  readonly idps: IdpStore;
  readonly assertions: ClientAssertions;
  readonly client: IdpClient;
  /** Null where code tokens are not checked by their signature. */
  readonly keys: IdpKeys | null;
}

/** Another ID provider of a call, and its accounts. */
interface SubIdp {
  readonly idp: IdpRecord;
  readonly users: readonly RelatedAccount[];
}

/** Everything that a call needs, found before anybody is asked. */
interface Plan {
  readonly token: TokenRecord;
  readonly main: IdpRecord;
  /** Accounts at the main ID provider. */
  readonly users: readonly RelatedAccount[];
  readonly subs: readonly SubIdp[];
}

type Tagged = Readonly<Record<string, string>>;

function byTag(accounts: readonly RelatedAccount[], value: (of: RelatedAccount) => string): Tagged {
  // Tags are anybody's words, `__proto__` among them.
  return Object.fromEntries(accounts.map((account) => [account.tag, value(account)]));
}

const tagsOf = (accounts: readonly RelatedAccount[]) => accounts.map(({ tag }) => tag);

/**
 * Gets a code token from each ID provider that a call involves: from the main one first, since the others want its referral, then
 * from these at the same time.
 *
 * @see TA cooperation, sections 4.4 and 4.5
 */
export class Mediator {
  readonly #parts: MediatorParts;
  readonly #options: MediatorOptions;

  constructor(parts: MediatorParts, options: MediatorOptions) {
    this.#parts = parts;
    this.#options = options;
  }

  /**
   * @returns the code tokens, the main ID provider's first
   * @throws AccessProxyError rows E12 to E21
   */
  async mediate(call: MediatedCall): Promise<readonly string[]> {
    const plan = await this.#plan(call);
    const stop = new AbortController();
    const signal = AbortSignal.any([call.signal, stop.signal]);
    const main = await this.#askMain(call, plan, signal);
    const { referral } = main;
    if (referral === null) return [main.codeToken];
    try {
      const subs = plan.subs.map((sub) => this.#askSub(call, sub, referral, signal));
      return [main.codeToken, ...(await Promise.all(subs))];
    } catch (error) {
      // One that fails ends the call: the others need not answer any more.
      stop.abort();
      throw error;
    }
  }

  async #plan({ accounts, callerScope }: MediatedCall): Promise<Plan> {
    const { tokens, idps } = this.#parts;
    const token = await tokens.getByTag(callerScope, accounts.principal.atTag);
    if (token === undefined) throw new AccessProxyError("ERR_ACCESS_PROXY_NO_TOKEN");
    if (this.#options.wallNow() > token.expiresAt) {
      throw new AccessProxyError("ERR_ACCESS_PROXY_TOKEN_EXPIRED");
    }
    const main = await idps.get(token.issuer);
    if (main === undefined) {
      throw new AccessProxyError("ERR_ACCESS_PROXY_MAIN_IDP", [token.issuer]);
    }
    const groups = new Map<string, RelatedAccount[]>();
    for (const account of accounts.related) {
      const group = groups.get(account.iss);
      if (group === undefined) groups.set(account.iss, [account]);
      else group.push(account);
    }
    const users = groups.get(token.issuer) ?? [];
    groups.delete(token.issuer);
    const subs: SubIdp[] = [];
    for (const [issuer, group] of groups) {
      const idp = await idps.get(issuer);
      if (idp === undefined) throw new AccessProxyError("ERR_ACCESS_PROXY_SUB_IDP", [issuer]);
      subs.push({ idp, users: group });
    }
    return { token, main, users, subs };
  }

  async #askMain(
    { accounts, toTaId }: MediatedCall,
    { token, main, users, subs }: Plan,
    signal: AbortSignal,
  ): Promise<{ readonly codeToken: string; readonly referral: string | null }> {
    const { selfId, hashAlg } = this.#options;
    const wantsReferral = subs.length > 0;
    const related = subs.flatMap((sub) => sub.users);
    const answer = await this.#ask(main, signal, {
      response_type: wantsReferral ? "code_token referral" : "code_token",
      from_client: selfId,
      to_client: toTaId,
      grant_type: "access_token",
      access_token: token.token,
      user_tag: accounts.principal.tag,
      ...(users.length > 0 ? { users: byTag(users, ({ sub }) => sub) } : {}),
      ...(wantsReferral
        ? {
            related_users: byTag(related, ({ iss, sub }) => accountHash(hashAlg, iss, sub)),
            hash_alg: hashAlg,
            related_issuers: subs.map(({ idp }) => idp.issuer),
          }
        : {}),
    });
    const { code_token: codeToken, referral } = answer;
    if (typeof codeToken !== "string" || (wantsReferral && typeof referral !== "string")) {
      throw new AccessProxyError("ERR_ACCESS_PROXY_IDP_ANSWER", [main.issuer]);
    }
    const received = wantsReferral && typeof referral === "string" ? referral : null;
    await this.#check(main, codeToken, {
      issuer: main.issuer,
      toTaId,
      userTag: accounts.principal.tag,
      userTags: tagsOf(users),
      refHash: received === null ? null : referralHash(hashAlg, received),
    });
    return { codeToken, referral: received };
  }

  async #askSub(
    { toTaId }: MediatedCall,
    { idp, users }: SubIdp,
    referral: string,
    signal: AbortSignal,
  ): Promise<string> {
    const { code_token: codeToken } = await this.#ask(idp, signal, {
      response_type: "code_token",
      grant_type: "referral",
      referral,
      users: byTag(users, ({ sub }) => sub),
    });
    if (typeof codeToken !== "string") {
      throw new AccessProxyError("ERR_ACCESS_PROXY_IDP_ANSWER", [idp.issuer]);
    }
    await this.#check(idp, codeToken, {
      issuer: idp.issuer,
      toTaId,
      userTag: null,
      userTags: tagsOf(users),
      refHash: referralHash(this.#options.hashAlg, referral),
    });
    return codeToken;
  }

  async #ask(
    idp: IdpRecord,
    signal: AbortSignal,
    body: Readonly<Record<string, unknown>>,
  ): Promise<Readonly<Record<string, unknown>>> {
    const endpoint = idp.cooperationFromEndpoint;
    return this.#parts.client.ask(
      idp,
      {
        ...body,
        client_assertion_type: CLIENT_ASSERTION_TYPE,
        client_assertion: await this.#parts.assertions.sign(endpoint),
      },
      signal,
    );
  }

  async #check(idp: IdpRecord, codeToken: string, wish: CodeTokenWish): Promise<void> {
    const { keys } = this.#parts;
    let fault = await codeTokenFault(codeToken, wish, (await keys?.of(idp)) ?? null);
    if (fault === "key" && keys !== null && (await keys.renew(idp))) {
      fault = await codeTokenFault(codeToken, wish, await keys.of(idp));
    }
    if (fault === null) return;
    throw new AccessProxyError("ERR_ACCESS_PROXY_CODE_TOKEN", [idp.issuer], {
      cause: new Error(`code token: ${fault}`),
    });
  }
}
