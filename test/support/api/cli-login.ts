import type { TestContext } from "node:test";
import { pino } from "pino";
import { cliLoginRoutes, ownKeyRoutes } from "../../../src/api/cli-login/index.ts";
import {
  type ApiContext,
  type AuditEntry,
  type AuthVerdict,
  type Principal,
  RelayClient,
  type Route,
  RunningByPrincipal,
} from "../../../src/api/index.ts";
import { findApiKey, type Store, type User } from "../../../src/api/store/index.ts";
import type { CredentialChanges } from "../../../src/core/contract.ts";
import { parseToken } from "../../../src/core/token.ts";
import { digestOf } from "../api-store/people.ts";
import { type Api, startApi } from "./harness.ts";

/** An API server with the routes of the command line's sign-in, on a store of the test's. */
export interface CliLoginApi extends Api {
  readonly audited: AuditEntry[];
  readonly announced: Partial<CredentialChanges>[];
  readonly context: ApiContext;
  /** Makes a login cookie of that text one of the user's. */
  signIn(cookie: string, user: User, authTimeMs?: number): void;
  /** Makes it nobody's again. */
  signOut(cookie: string): void;
}

export const COOKIE_NAME = "hawser_sid";

/**
 * @param base what browsers call the server; by default its own address, which is told when it listens
 * @param more routes besides
 */
export async function startCliLoginApi(
  t: TestContext,
  store: Store,
  options: { base?: string; more?: (context: ApiContext) => readonly Route[] } = {},
): Promise<CliLoginApi> {
  const publicBaseUrl = options.base ?? "http://127.0.0.1:3721";
  const audited: AuditEntry[] = [];
  const announced: Partial<CredentialChanges>[] = [];
  const sessions = new Map<string, Principal>();
  const logger = pino({ level: "silent" });
  const relay = new RelayClient({ baseUrl: "http://127.0.0.1:9", secret: "unused", logger });
  t.after(() => relay.destroy());
  const context: ApiContext = {
    store,
    relay,
    changes: {
      announce: async (changes) => {
        announced.push(changes);
      },
    },
    audit: { record: (entry) => audited.push(entry), tell: (entry) => audited.push(entry) },
    endings: new RunningByPrincipal(),
    logger,
    now: () => store.now(),
  };
  const authenticateCookie = (value: string): AuthVerdict => {
    const principal = sessions.get(value);
    return principal === undefined
      ? { ok: false, reason: "rejected" }
      : { ok: true, principal, setCookie: () => `${COOKIE_NAME}=renewed; Path=/` };
  };
  const routes = [
    ...cliLoginRoutes(context, { authenticateCookie, publicBaseUrl }),
    ...ownKeyRoutes(context),
    ...(options.more?.(context) ?? []),
  ];
  const api = await startApi(t, routes, { publicBaseUrl });
  // Keys are looked up in the store, as the server does.
  api.authenticator.authenticate = async (credential) => {
    if (credential.kind === "cookie") return authenticateCookie(credential.value);
    const parsed = parseToken(credential.token);
    const key = parsed.ok ? await findApiKey(store, parsed) : null;
    if (key === null) return { ok: false, reason: "rejected" };
    const principal: Principal = {
      kind: "key",
      ref: key.ref,
      tenantId: key.tenant,
      userId: key.ownerId,
      role: key.ownerRole,
      scopes: new Set(key.scopes),
    };
    return { ok: true, principal };
  };
  return {
    ...api,
    audited,
    announced,
    context,
    signIn(cookie, user, authTimeMs = store.now()) {
      const key = digestOf(cookie);
      sessions.set(cookie, {
        kind: "session",
        ref: key.slice(0, 12),
        tenantId: user.tenant,
        userId: user.id,
        role: user.role,
        scopes: new Set(),
        session: {
          key,
          publicId: "0".repeat(24),
          authTimeMs,
          createdAtMs: authTimeMs,
          idleExpiresAtMs: authTimeMs + 3_600_000,
          absoluteExpiresAtMs: authTimeMs + 3_600_000,
        },
      });
    },
    signOut: (cookie) => sessions.delete(cookie),
  };
}
