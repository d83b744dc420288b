import type { RequestListener } from "node:http";
import type { TestContext } from "node:test";
import { type ForwardOptions, forwardRoute } from "../../../src/api/forward/index.ts";
import {
  API_DEFAULTS,
  type ApiContext,
  type ApiServer,
  type AuthVerdict,
  type Credential,
  type Principal,
  RelayClient,
  Router,
  sessionCookieName,
  startApiServer,
} from "../../../src/api/index.ts";
import type { User } from "../../../src/api/store/index.ts";
import type { MintedToken } from "../../../src/core/token.ts";
import { activeDevice, person } from "../api-store/people.ts";
import { SECRET } from "../relay/start-relay.ts";
import type { WsDevice } from "../relay/ws-device.ts";
import { type Rig, type RigOptions, startRig } from "../relay-link/rig.ts";
import { type RawAnswer, rawRequest } from "./raw-request.ts";

/** The API's public listener with the forward alone, in front of a real relay and a real store. */
export interface ForwardRig {
  readonly rig: Rig;
  readonly api: ApiServer;
  readonly ann: User;
  readonly device: { readonly id: string; readonly token: MintedToken };
  /** Path of the device's root. */
  readonly root: string;
  /** Who the bearer tokens and cookies are. */
  readonly callers: Map<string, Principal>;
  /** A request with the key of Ann; `target` below the device's root. */
  send(
    method: string,
    target: string,
    lines?: readonly string[],
    body?: string,
  ): Promise<RawAnswer>;
  /** The same with any path, and with the credential among the lines. */
  raw(request: string, lines?: readonly string[], body?: string): Promise<RawAnswer>;
}

export const BASE_URL = "https://hawser.test";
export const COOKIE = `${sessionCookieName(true)}=cookie-of-ann`;

/** Who a user is with a key or a session. */
export function principalOf(
  user: User,
  kind: "key" | "session",
  more: Partial<Principal> = {},
): Principal {
  const { id: userId, tenant: tenantId, role } = user;
  const ref = `${kind}-of-${user.sub}`;
  return { kind, ref, tenantId, userId, role, scopes: new Set(["tunnel:use"]), ...more };
}

/** The rig's, with another relay where one is named. */
function contextOf(t: TestContext, rig: Rig, relayUrl: string | undefined): ApiContext {
  if (relayUrl === undefined) return rig.context;
  const { store, changes, audit, endings, logger, now } = rig.context;
  const relay = new RelayClient({ baseUrl: relayUrl, secret: SECRET, logger });
  t.after(() => relay.destroy());
  return { store, relay, changes, audit, endings, logger, now };
}

/** Starts all of it, the device's tunnel included where it serves something. */
export async function startForwardRig(
  t: TestContext,
  serve: RequestListener | null,
  options: Partial<ForwardOptions> & RigOptions & { readonly relayUrl?: string } = {},
): Promise<ForwardRig & { readonly tunnel: WsDevice | null }> {
  const rig = await startRig(t, options);
  const ann = await person(rig.store, "ann");
  const device = await activeDevice(rig.store, ann);
  const callers = new Map<string, Principal>([
    ["key-of-ann", principalOf(ann, "key")],
    ["cookie-of-ann", principalOf(ann, "session")],
  ]);
  const route = forwardRoute(contextOf(t, rig, options.relayUrl), {
    publicBaseUrl: BASE_URL,
    ...options,
  });
  const authenticate = (credential: Credential): AuthVerdict => {
    const secret = credential.kind === "cookie" ? credential.value : credential.token;
    const principal = callers.get(secret);
    return principal === undefined ? { ok: false, reason: "rejected" } : { ok: true, principal };
  };
  const api = await startApiServer(
    { ...API_DEFAULTS, listenHost: "127.0.0.1", listenPort: 0, publicBaseUrl: BASE_URL },
    {
      router: new Router("public", [route]),
      authenticator: { authenticate },
      logger: rig.logger,
      audit: { record: () => {} },
    },
  );
  t.after(() => api.close());
  const tunnel = serve === null ? null : await rig.connect(t, device.token.text, { http: serve });
  const root = `/api/devices/${device.id}/http`;
  const raw: ForwardRig["raw"] = (request, lines = [], body = "") => {
    const head = [`${request} HTTP/1.1`, "Host: hawser.test", ...lines].join("\r\n");
    return rawRequest(api.port, `${head}\r\n\r\n${body}`, request.startsWith("HEAD "));
  };
  return {
    rig,
    api,
    ann,
    device,
    root,
    callers,
    tunnel,
    raw,
    send: (method, target, lines = [], body = "") =>
      raw(`${method} ${root}${target}`, ["Authorization: Bearer key-of-ann", ...lines], body),
  };
}
