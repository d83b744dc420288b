import type { TestContext } from "node:test";
import { pino } from "pino";
import { z } from "zod";
import {
  API_DEFAULTS,
  type ApiOptions,
  type ApiServer,
  type Authenticator,
  type AuthVerdict,
  descriptionRoute,
  type HttpAuditEvent,
  healthRoutes,
  html,
  json,
  type Principal,
  type PrincipalKind,
  type Route,
  Router,
  type RouterFace,
  route,
  startApiServer,
  TAKEN,
} from "../../../src/api/index.ts";
import { ManualClock } from "../../../src/core/clock.ts";
import { type RawAnswer, rawRequest } from "../forward/raw-request.ts";
import { ManualTimers } from "./manual-timers.ts";

/** Credentials that {@link FakeAuthenticator} knows, by what they prove. */
export const GOOD = {
  session: "good-session",
  key: "good-key",
  service: "good-service",
  device: "good-device",
  internal: "good-internal",
} as const satisfies Record<PrincipalKind, string>;

export function principal(kind: PrincipalKind, over: Partial<Principal> = {}): Principal {
  const scopes = new Set(["things:read"]);
  const own = { tenantId: "t1", userId: "u1", role: "member", scopes } as const;
  return { kind, ref: `ref-of-${kind}`, ...own, ...over };
}

/** Knows {@link GOOD}, and gives whatever it knows whether or not the route takes it: the guard must check. */
export class FakeAuthenticator implements Authenticator {
  readonly asked: string[] = [];
  /** Overrides the verdict for one credential. */
  readonly verdicts = new Map<string, () => AuthVerdict | Promise<AuthVerdict>>();

  authenticate(
    credential: Parameters<Authenticator["authenticate"]>[0],
  ): AuthVerdict | Promise<AuthVerdict> {
    const secret = credential.kind === "cookie" ? credential.value : credential.token;
    this.asked.push(secret);
    const scripted = this.verdicts.get(secret);
    if (scripted !== undefined) return scripted();
    for (const [kind, known] of Object.entries(GOOD)) {
      if (known === secret) return { ok: true, principal: principal(kind as PrincipalKind) };
    }
    return { ok: false, reason: "rejected" };
  }
}

export interface Api {
  readonly port: number;
  readonly server: ApiServer;
  readonly router: Router;
  readonly authenticator: FakeAuthenticator;
  readonly audit: HttpAuditEvent[];
  readonly lines: Record<string, unknown>[];
  readonly clock: ManualClock;
  readonly timers: ManualTimers;
  /** Sends one request by its method, target and further head lines; `Host` and the blank line are added. */
  send(request: string, lines?: readonly string[], body?: string): Promise<RawAnswer>;
  /** Resolves when the access log has a line that fits. */
  logged(fits: (line: Record<string, unknown>) => boolean): Promise<Record<string, unknown>>;
}

/** A listener on loopback with the given routes, closed when the test ends. */
export async function startApi(
  t: TestContext,
  routes: readonly Route[] = sampleRoutes(),
  over: Partial<ApiOptions> = {},
  face: RouterFace = "public",
): Promise<Api> {
  const publicBaseUrl = over.publicBaseUrl ?? "https://api.test";
  const router = new Router(face, routes);
  const authenticator = new FakeAuthenticator();
  const audit: HttpAuditEvent[] = [];
  const lines: Record<string, unknown>[] = [];
  const waiting = new Set<() => void>();
  const clock = new ManualClock();
  const timers = new ManualTimers();
  const logger = pino(
    { level: "trace" },
    {
      write(line: string) {
        lines.push(JSON.parse(line));
        for (const look of waiting) look();
      },
    },
  );
  const options: ApiOptions = {
    ...API_DEFAULTS,
    listenHost: "127.0.0.1",
    listenPort: 0,
    publicBaseUrl,
    ...over,
  };
  const server = await startApiServer(options, {
    router,
    authenticator,
    logger,
    audit: { record: (event) => audit.push(event) },
    clock,
    timers,
  });
  t.after(() => server.close());
  return {
    port: server.port,
    server,
    router,
    authenticator,
    audit,
    lines,
    clock,
    timers,
    send(request, fields = [], body = "") {
      const head = [`${request} HTTP/1.1`, "Host: api.test", ...fields].join("\r\n");
      return rawRequest(server.port, `${head}\r\n\r\n${body}`, request.startsWith("HEAD "));
    },
    logged(fits) {
      return new Promise((resolve) => {
        const look = (): void => {
          const line = lines.find(fits);
          if (line === undefined) return;
          waiting.delete(look);
          resolve(line);
        };
        waiting.add(look);
        look();
      });
    },
  };
}

export const bearer = (token: string): string => `Authorization: Bearer ${token}`;
export const cookie = (value: string): string => `Cookie: __Host-hawser_sid=${value}`;

/** A problem's members. */
export function problem(answer: RawAnswer): Record<string, unknown> {
  return JSON.parse(answer.body.toString());
}

const ok = { 200: { description: "Done.", schema: z.object({ ok: z.boolean() }) } };
const done = () => json(200, { ok: true });
const id = z.object({ id: z.string().regex(/^[a-z0-9]{4}$/) });

/** A route of each class and shape. */
export function sampleRoutes(): Route[] {
  const router = new Router("public");
  const description = descriptionRoute(router, {
    title: "Sample",
    version: "1",
    publicBaseUrl: "https://api.test",
    cookieName: "__Host-hawser_sid",
  });
  const routes = [
    ...healthRoutes({ check: async () => ({ ready: true, detail: { store: "up" } }) }),
    description,
    route({
      method: "GET",
      path: "/api/auth/login",
      class: "page",
      reason: "Signing in begins here.",
      summary: "Sign in.",
      head: false,
      responses: { 200: { description: "A page.", mediaType: "text/html" } },
      handler: () => html(200, "<!doctype html><style>p{}</style><p>Hello", ["p{}"]),
    }),
    route({
      method: "GET",
      path: "/api/auth/logged-out",
      class: "page",
      reason: "Shown to people who just signed out.",
      summary: "Fails.",
      responses: { 200: { description: "A page.", mediaType: "text/html" } },
      handler: () => {
        throw new Error("canary-of-a-cause");
      },
    }),
    route({
      method: "GET",
      path: "/api/auth/me",
      class: "session",
      summary: "Who I am.",
      responses: ok,
      handler: done,
    }),
    route({
      method: "GET",
      path: "/api/things",
      class: "key",
      scope: "things:read",
      summary: "Lists.",
      query: z.object({ limit: z.coerce.number().int().min(1).max(10).optional() }),
      responses: ok,
      handler: done,
    }),
    route({
      method: "POST",
      path: "/api/things",
      class: "key",
      summary: "Makes.",
      body: {
        kind: "json",
        schema: z.strictObject({ name: z.string().max(8) }),
        bytesMax: 64,
        mediaTypes: ["application/json", "application/merge-patch+json"],
      },
      responses: { 201: { description: "Made.", schema: z.object({ name: z.string() }) } },
      handler: ({ body }) => json(201, { name: body.name }, { location: "/api/things/abcd" }),
    }),
    route({
      method: "GET",
      path: "/api/things/:id",
      class: "key",
      summary: "Reads.",
      params: id,
      responses: ok,
      handler: done,
    }),
    route({
      method: "DELETE",
      path: "/api/things/:id",
      class: "key",
      scope: "things:write",
      summary: "Deletes.",
      params: id,
      responses: ok,
      handler: done,
    }),
    route({
      method: "POST",
      path: "/api/things/:id/boom",
      class: "session",
      summary: "Fails.",
      params: id,
      responses: ok,
      handler: ({ response }) => {
        response.setHeader("set-cookie", "half=done");
        throw new Error("canary-of-a-cause");
      },
    }),
    route({
      method: "PUT",
      path: "/api/admin/things/:id",
      class: "session",
      role: "admin",
      summary: "Is for admins.",
      params: id,
      responses: ok,
      handler: done,
    }),
    route({
      method: "ANY",
      path: "/api/things/:id/http/*path",
      class: "key",
      summary: "Passes bytes both ways.",
      params: id,
      body: { kind: "stream", summary: "Anything." },
      responses: { 200: { description: "What came." } },
      handler: ({ request, response, tail }) => {
        response.setHeader("x-tail", tail);
        request.pipe(response);
        return TAKEN;
      },
    }),
    route({
      method: "POST",
      path: "/api/device/rotate",
      class: "device",
      summary: "Rotates.",
      responses: ok,
      handler: done,
    }),
  ];
  for (const each of routes) router.add(each);
  return routes;
}
