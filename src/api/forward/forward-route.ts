import { z } from "zod";
import { assert } from "../../core/assert.ts";
import { isDeviceId } from "../../core/token.ts";
import type { ApiContext } from "../context.ts";
import { actorOf } from "../context.ts";
import { type ApiError, apiError } from "../errors.ts";
import { after, type Later } from "../later.ts";
import type { Principal } from "../ports.ts";
import { type Reply, TAKEN } from "../reply.ts";
import { type Call, type Route, route } from "../route.ts";
import { tenantId } from "../store/index.ts";
import { processTimers, type Timers } from "../timers.ts";
import { ForwardExchange } from "./forward-exchange.ts";
import { KnownDevices } from "./known-devices.ts";
import { ForwardLimits } from "./limits.ts";
import type { DevicePlace } from "./location.ts";
import { PrincipalRecheck, runningName } from "./principal-recheck.ts";
import { RequestHeads } from "./request-head.ts";

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
type DeviceCall = Call<z.output<typeof params>>;

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
  let heads: RequestHeads | null = null;
  const start = (call: DeviceCall, principal: Principal, tenantName: string | null): Reply => {
    const { tenantId: tenant, userId } = principal;
    const { relay, logger } = context;
    const { id: deviceId } = call.params;
    if (tenantName === null) throw missing(context, call, principal);
    const { request, method, requestId, address } = call;
    const place: DevicePlace = { origin: base.origin, prefix: `/api/devices/${deviceId}/http` };
    const target = `/${call.tail}`;
    const { prefix: relayPrefix, authorization, forwards: connections } = relay;
    heads ??= new RequestHeads({ base, relayPrefix, authorization });
    const head = heads.write({
      request,
      method,
      requestId,
      address,
      deviceId,
      place,
      target,
      tenantName,
      userId,
    });
    const entered = limits.enter(tenant);
    const exchange = new ForwardExchange({
      ref: runningName(principal),
      call,
      place,
      target,
      head,
      connections,
      logger,
      onOver: () => {
        context.endings.over(running);
        recheck.end(asked);
        limits.leave(entered);
      },
    });
    const running = context.endings.begin(exchange);
    const asked = recheck.begin(principal);
    exchange.send();
    return TAKEN;
  };
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
    handler: (call) => {
      const { principal } = call;
      assert(principal !== null, "the route is not open");
      return after(tenantNameFor(known, principal, call.params.id), (tenantName) => {
        // The client may have left meanwhile.
        if (!call.answer.isOpen) return TAKEN;
        return start(call, principal, tenantName);
      });
    },
  });
}

/** 404 for a device that the caller does not have. Whether it exists elsewhere is not looked at. */
function missing({ audit }: ApiContext, call: DeviceCall, principal: Principal): ApiError {
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
function tenantNameFor(
  known: KnownDevices,
  { devices, tenantId: tenant }: Principal,
  id: string,
): Later<string | null> {
  if (devices !== undefined && !devices.has(id)) return null;
  return known.tenantNameFor(tenantId(tenant), id);
}
