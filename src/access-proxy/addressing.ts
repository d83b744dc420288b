import { type Accounts, readAccounts } from "./accounts.ts";
import { AccessProxyError } from "./errors.ts";
import type { RawFields } from "./forward-fields.ts";
import { sessionKey } from "./session-key.ts";
import { readTarget, type Target } from "./target.ts";

/** Whom a call concerns and where it goes, read from its own fields. */
export class Addressing {
  readonly accounts: Accounts;
  readonly target: Target;
  /** The session key of the caller that asked last: a backend's calls repeat themselves. */
  #key: { readonly selfId: string; readonly callerScope: string; readonly text: string } | null =
    null;

  constructor(accounts: Accounts, target: Target) {
    this.accounts = accounts;
    this.target = target;
  }

  /** Under which key a session for it is kept. */
  sessionKey(selfId: string, callerScope: string): string {
    const there = this.#key;
    if (there !== null && there.selfId === selfId && there.callerScope === callerScope) {
      return there.text;
    }
    const { accounts, target } = this;
    const { toTaId, url } = target;
    const scope = { selfId, callerScope, toTaId, targetOrigin: url.origin, accounts };
    const text = sessionKey(scope);
    this.#key = { selfId, callerScope, text };
    return text;
  }
}

/** Texts that are remembered, and how long one of them may be. */
const REMEMBERED_MAX = 1_000;
const TEXT_CHARACTERS_MAX = 4_096;

const TO = "x-access-proxy-to";
const TO_ID = "x-access-proxy-to-id";
/** As long as the one before. */
const USERS = "x-access-proxy-users";

/** Reads the fields that are the proxy's own, and remembers what the last ones said. */
export class Addressings {
  readonly #remembered = new Map<string, Addressing>();

  /** @throws AccessProxyError rows E1, E2 and E4 to E10 */
  read(fields: RawFields): Addressing {
    const to: string[] = [];
    const toId: string[] = [];
    const users: string[] = [];
    for (let at = 0; at < fields.length; at += 2) {
      const field = fields[at] as string;
      if (field.length !== TO.length && field.length !== TO_ID.length) continue;
      const name = field.toLowerCase();
      if (name === TO) to.push(fields[at + 1] as string);
      else if (name === TO_ID) toId.push(fields[at + 1] as string);
      else if (name === USERS) users.push(fields[at + 1] as string);
    }
    if (to.length !== 1 || toId.length > 1 || users.length !== 1) return read(to, toId, users);
    const text = `${to[0]}\n${toId.length === 0 ? "" : toId[0]}\n${users[0]}`;
    const there = this.#remembered.get(text);
    if (there !== undefined) return there;
    const addressing = read(to, toId, users);
    if (text.length <= TEXT_CHARACTERS_MAX) {
      if (this.#remembered.size >= REMEMBERED_MAX) this.#remembered.clear();
      this.#remembered.set(text, addressing);
    }
    return addressing;
  }
}

function read(
  to: readonly string[],
  toId: readonly string[],
  users: readonly string[],
): Addressing {
  const target = readTarget(to, toId);
  if (users.length > 1) throw new AccessProxyError("ERR_ACCESS_PROXY_USERS");
  return new Addressing(readAccounts(users[0]), target);
}
