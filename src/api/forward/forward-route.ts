import type { IncomingMessage } from "node:http";
import type { Dispatcher } from "undici";
import { z } from "zod";
import { assert } from "../../core/assert.ts";
import { isDeviceId } from "../../core/token.ts";
import type { ApiContext } from "../context.ts";
import { actorOf } from "../context.ts";
import { type ApiError, apiError } from "../errors.ts";
import type { Principal } from "../ports.ts";
import { hasBody } from "../request-fields.ts";
import { type Call, type Route, route } from "../route.ts";
import { tenantId } from "../store/index.ts";
import { processTimers, type Timers } from "../timers.ts";
import { requestNames } from "./field-names.ts";
import { ForwardExchange } from "./forward-exchange.ts";
import { KnownDevices } from "./known-devices.ts";
import { ForwardLimits } from "./limits.ts";
import type { DevicePlace } from "./location.ts";
import { PrincipalRecheck, runningName } from "./principal-recheck.ts";

/** What {@link forwardRoute} is told. */
export interface ForwardOptions {
  /** Where people find us: devices are told its host and scheme, whatever a request says. */
  readonly publicBaseUrl: string;
  /** Requests under way at once; each has a connection to the relay. Default 1,024. */
  readonly inFlightMax?: number;
  /** The same of one tenant. Default 256. */
  readonly inFlightPerTenantMax?: number;
  /** How often it is asked whether those in whose name something runs are still let in. Default 60,000. */
  readonly recheckMs?: number;
  readonly timers?: Timers;
}

const RECHECK_MS = 60_000;
const IN_FLIGHT_MAX = 1_024;
const IN_FLIGHT_PER_TENANT_MAX = 256;
/** A value that may stand in a field of a request. */
const VISIBLE = /^[!-~]{1,200}$/;

/**
 * Types of bodies that a page may send with the cookie. A form can send none of them, so that a page of another site would
 * have to ask first, whatever else protects us.
 */
const COOKIE_MEDIA_TYPES = [
  "application/json",
  "application/merge-patch+json",
  "application/json-patch+json",
  "application/octet-stream",
  "application/xml",
  "application/x-ndjson",
  "application/cbor",
  "application/gzip",
  "application/zip",
  "application/yaml",
];

const params = z.object({ id: z.string().refine(isDeviceId) });

/**
 * `ANY /api/devices/:id/http/*path`: one exchange with the service of a device, streamed both ways.
 *
 * @see docs/forward.md
 */
export function forwardRoute(context: ApiContext, options: ForwardOptions): Route {
  const limits = new ForwardLimits(
    options.inFlightMax ?? IN_FLIGHT_MAX,
    options.inFlightPerTenantMax ?? IN_FLIGHT_PER_TENANT_MAX,
  );
  const recheck = new PrincipalRecheck(
    context,
    options.timers ?? processTimers,
    options.recheckMs ?? RECHECK_MS,
  );
  const base = new URL(options.publicBaseUrl);
  const known = new KnownDevices(context.store, context.now);
  return route({
    method: "ANY",
    path: "/api/devices/:id/http/*path",
    class: "key",
    scope: "tunnel:use",
    summary: "Calls the HTTP service of a device.",
    params,
    body: {
      kind: "stream",
      cookieMediaTypes: COOKIE_MEDIA_TYPES,
      summary: "Goes to the device as it is.",
    },
    responses: { 200: { description: "What the device answers, with its status." } },
    handler: async (call) => {
      const { principal, params: named } = call;
      assert(principal !== null, "the route is not open");
      const { id } = named;
      const tenantName = await tenantNameFor(known, principal, id);
      if (tenantName === null) throw missing(context, call, principal);
      // The client may have left meanwhile.
      if (call.signal.aborted) throw apiError("bad_request");
      const { tenantId: tenant } = principal;
      limits.enter(tenant);
      const place: DevicePlace = { origin: base.origin, prefix: `/api/devices/${id}/http` };
      const { request, response } = call;
      const target = `/${call.tail}`;
      const exchange = new ForwardExchange({
        request,
        response,
        place,
        target,
        logger: context.logger,
      });
      const release = context.endings.onEnd(runningName(principal), () => exchange.cut());
      recheck.begin(principal);
      exchange.onOver = () => {
        release();
        recheck.end(principal);
        limits.leave(tenant);
      };
      const { relay } = context;
      return await exchange.send(relay.dispatcher, {
        path: `${pathOf(relay.baseUrl)}/internal/device/${id}/forward${target}`,
        method: call.method as Dispatcher.HttpMethod,
        headers: fieldsFor(call, base, place, {
          authorization: relay.authorization,
          tenantName,
          userId: principal.userId,
        }),
        body: bodyOf(request),
      });
    },
  });
}

/** 404 for a device that the caller does not have. Whether it exists elsewhere is not looked at. */
function missing(
  { audit }: ApiContext,
  call: Call<z.output<typeof params>>,
  principal: Principal,
): ApiError {
  audit.record({
    event: "malicious_direct_reference",
    tenant: tenantId(principal.tenantId),
    asker: call,
    actor: actorOf(principal),
    sessionRef: principal.kind === "session" ? principal.ref : null,
    objectId: call.params.id,
  });
  return apiError("not_found");
}

/** Null for a device of another tenant, and for one that a key is not held to, as for one that there is not. */
async function tenantNameFor(
  known: KnownDevices,
  { devices, tenantId: tenant }: Principal,
  id: string,
): Promise<string | null> {
  if (devices !== undefined && !devices.has(id)) return null;
  return await known.tenantNameFor(tenantId(tenant), id);
}

/** What stands before `/internal` in paths; mostly "". */
function pathOf(baseUrl: string): string {
  const slash = baseUrl.indexOf("/", baseUrl.indexOf("//") + 2);
  return slash < 0 ? "" : baseUrl.slice(slash);
}

/**
 * The body, null for none. The client's request itself is not handed over: whoever sends it on destroys it when the answer
 * comes early, and with it the connection on which that answer is to go.
 */
function bodyOf(request: IncomingMessage): Buffer | null {
  if (!hasBody(request)) return null;
  // The types know streams alone; iterables are taken as well.
  return request.iterator({ destroyOnReturn: false }) as unknown as Buffer;
}

/** Names and values in turn, of the request to the relay: what a client may say to a device, and what we say of it. */
function fieldsFor(
  call: Pick<Call, "request" | "requestId" | "address">,
  base: URL,
  place: DevicePlace,
  said: { readonly authorization: string; readonly tenantName: string; readonly userId: string },
): string[] {
  const { request, requestId, address } = call;
  const { rawHeaders } = request;
  const nominated = nominatedBy(request.headers.connection);
  const proto = base.protocol.slice(0, -1);
  const fields = [
    "authorization",
    said.authorization,
    "host",
    base.host,
    "x-request-id",
    requestId,
    "x-forwarded-for",
    address,
    "x-forwarded-proto",
    proto,
    "x-forwarded-host",
    base.host,
    "x-forwarded-prefix",
    place.prefix,
    "x-hawser-tenant",
    said.tenantName,
  ];
  if (VISIBLE.test(said.userId)) fields.push("x-hawser-user", said.userId);
  const length = request.headers["content-length"];
  if (length !== undefined && hasBody(request)) fields.push("content-length", length);
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] ?? "";
    if (!requestNames.passes(name) || nominated?.has(name.toLowerCase())) continue;
    fields.push(name, rawHeaders[at + 1] ?? "");
  }
  return fields;
}

/** Fields that belong to the connection alone, because `Connection` names them; null for none. */
function nominatedBy(connection: string | undefined): ReadonlySet<string> | null {
  if (connection === undefined || connection === "keep-alive" || connection === "close")
    return null;
  return new Set(connection.split(",").map((name) => name.trim().toLowerCase()));
}
