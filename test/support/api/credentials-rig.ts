import type { TestContext } from "node:test";
import { pino } from "pino";
import { z } from "zod";
import { auditRoutes, DatabaseAuditLog, httpAudit } from "../../../src/api/audit/index.ts";
import {
  ApiAuthenticator,
  BearerAuthenticator,
  type BearerDeps,
  PrincipalLimits,
  type RequestRates,
} from "../../../src/api/bearer/index.ts";
import {
  API_DEFAULTS,
  type ApiContext,
  type ApiOptions,
  type ApiServer,
  type AuthVerdict,
  json,
  type Principal,
  RelayClient,
  type Route,
  Router,
  type RouterFace,
  RunningByPrincipal,
  route,
  startApiServer,
} from "../../../src/api/index.ts";
import { keyRoutes, machineClientRoutes } from "../../../src/api/keys/index.ts";
import { getUser, type Store, type User } from "../../../src/api/store/index.ts";
import { ManualClock } from "../../../src/core/clock.ts";
import type { CredentialChanges } from "../../../src/core/contract.ts";
import { type DatabaseCase, onEachDatabase } from "../api-store/each-database.ts";
import { sessionFacts } from "./session-facts.ts";

export const INTERNAL_SECRET = "canary-internal-secret-0c9d1a";
const BASE_URL = "http://127.0.0.1:3721";

/** What a rig may be given beside its database. */
export interface RigOptions {
  readonly accessTokens?: BearerDeps["accessTokens"];
  readonly routes?: readonly Route[];
  readonly rates?: RequestRates;
  readonly face?: RouterFace;
  readonly over?: Partial<ApiOptions>;
}

/** An answer of the API. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: whatever the API answers is looked into by its tests.
  readonly body: any;
}

/**
 * A real API server over a database, with keys, audit log and bearer credentials. Its login cookies are a stand-in: each
 * is a value that {@link CredentialsRig.signIn} gave out.
 */
export class CredentialsRig {
  readonly store: Store;
  readonly context: ApiContext;
  readonly bearer: BearerAuthenticator;
  readonly audit: DatabaseAuditLog;
  readonly limits: PrincipalLimits;
  /** What the relay was told, in order. */
  readonly announced: Partial<CredentialChanges>[] = [];
  /** Everything that was logged, and the audit lines. */
  readonly log: string[] = [];
  readonly lines: string[] = [];
  readonly #sessions = new Map<string, Principal>();
  #origin = "";
  #server: ApiServer | null = null;

  private constructor(store: Store, { accessTokens = null, rates }: RigOptions) {
    this.store = store;
    const logger = pino({ level: "trace" }, { write: (line: string) => this.log.push(line) });
    this.audit = new DatabaseAuditLog({
      store,
      stream: { write: (line) => this.lines.push(line), reopen() {}, close: async () => {} },
      logger,
      now: () => store.now(),
    });
    this.bearer = new BearerAuthenticator({
      store,
      accessTokens,
      logger,
    });
    this.limits = new PrincipalLimits({
      now: () => store.now(),
      ...(rates === undefined ? {} : { rates }),
    });
    this.context = {
      store,
      relay: new RelayClient({ baseUrl: "http://127.0.0.1:9", secret: INTERNAL_SECRET }),
      changes: { announce: async (changes) => void this.announced.push(changes) },
      audit: this.audit,
      endings: new RunningByPrincipal(),
      logger,
      now: () => store.now(),
    };
  }

  /** Starts one. It must be closed before its database is. */
  static async start(store: Store, options: RigOptions = {}): Promise<CredentialsRig> {
    const rig = new CredentialsRig(store, options);
    const { context } = rig;
    const routes = options.routes ?? [
      ...keyRoutes(context),
      ...machineClientRoutes(context),
      ...auditRoutes(context),
      ...probes(),
    ];
    const face = options.face ?? "public";
    const router = new Router(face, routes);
    const server = await startApiServer(
      {
        ...API_DEFAULTS,
        listenHost: "127.0.0.1",
        listenPort: 0,
        publicBaseUrl: BASE_URL,
        ...options.over,
      },
      {
        router,
        authenticator: new ApiAuthenticator((value) => rig.#cookie(value), rig.bearer),
        logger: context.logger,
        audit: httpAudit(rig.audit, () => store.now()),
        gate: rig.limits,
        clock: new ManualClock(),
      },
    );
    rig.#origin = `http://127.0.0.1:${server.port}`;
    rig.#server = server;
    return rig;
  }

  async close(): Promise<void> {
    await this.#server?.close();
    await this.bearer.close();
    await this.audit.close();
    await this.context.relay.destroy();
  }

  /** A login cookie of a user who signed in just now, or some time ago. */
  signIn(user: User, agoMs = 0): string {
    const value = `session-${this.#sessions.size}`;
    this.#sessions.set(value, {
      kind: "session",
      ref: `${this.#sessions.size}`.padStart(12, "0"),
      tenantId: user.tenant,
      userId: user.id,
      role: user.role,
      scopes: new Set(),
      session: sessionFacts(this.store.now() - agoMs),
    });
    return `cookie ${value}`;
  }

  /** One request. `as` is what {@link signIn} gave, a bearer token, or "" for nobody. */
  async send(request: string, as = "", body?: unknown, headers: Record<string, string> = {}) {
    const [method = "", path = ""] = request.split(" ");
    const cookie = /^cookie (.*)$/.exec(as)?.[1];
    const answer = await fetch(this.#origin + path, {
      method,
      headers: {
        ...(cookie === undefined ? {} : { cookie: `hawser_sid=${cookie}`, "x-hawser-csrf": "1" }),
        ...(cookie === undefined && as !== "" ? { authorization: `Bearer ${as}` } : {}),
        ...(cookie === undefined ? {} : { origin: BASE_URL }),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    const isJson = /json/.test(answer.headers.get("content-type") ?? "");
    const { status, headers: fields } = answer;
    return { status, headers: fields, text, body: isJson ? JSON.parse(text) : null } as Answer;
  }

  /** A session is what its user is now, as a store of sessions would say. */
  async #cookie(value: string): Promise<AuthVerdict> {
    const session = this.#sessions.get(value);
    if (session === undefined) return { ok: false, reason: "rejected" };
    const user = await getUser(this.store, session.tenantId as User["tenant"], session.userId);
    if (user === null) return { ok: false, reason: "rejected" };
    return { ok: true, principal: { ...session, role: user.role } };
  }
}

/** Runs a case with a rig on SQLite and on PostgreSQL, each time with an empty database. */
export function onEachRig(
  name: string,
  run: (rig: CredentialsRig, on: DatabaseCase, t: TestContext) => Promise<void>,
  options: RigOptions = {},
): void {
  onEachDatabase(name, async (on, t) => {
    const rig = await CredentialsRig.start(await on.open(), options);
    try {
      await run(rig, on, t);
    } finally {
      await rig.close();
    }
  });
}

/** One route of each class that says who asked. */
export function probes(): Route[] {
  const seen = z.object({ principal: z.unknown() });
  const responses = { 200: { description: "Who asked.", schema: seen } };
  const handler = ({ principal }: { principal: Principal | null }) =>
    json(200, {
      ...principal,
      scopes: [...(principal?.scopes ?? [])],
      devices: principal?.devices === undefined ? null : [...principal.devices],
    });
  const scoped = ["devices:read", "tunnel:use", "enrolment:write"].map((scope) =>
    route({
      method: "GET",
      path: `/api/probe/scope/${scope.replace(":", "-")}`,
      class: "key",
      scope,
      summary: "Wants a scope.",
      responses,
      handler,
    }),
  );
  const classes = (["session", "key", "device"] as const).map((name) =>
    route({
      method: "GET",
      path: `/api/probe/${name}`,
      class: name,
      summary: "Wants a kind of caller.",
      responses,
      handler,
    }),
  );
  return [...scoped, ...classes];
}
