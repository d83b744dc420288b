import { z } from "zod";
import { type ApiInfo, describeApi } from "./openapi.ts";
import type { Readiness } from "./ports.ts";
import { json, text } from "./reply.ts";
import { type Route, route } from "./route.ts";
import type { Router } from "./router.ts";

const health = z.object({ status: z.literal("ok") });
const readiness = z.object({
  status: z.enum(["ready", "not_ready"]),
  detail: z.record(z.string(), z.string()),
});

/** `GET /healthz` and `GET /readyz`, for either listener. */
export function healthRoutes(ready: Readiness): Route[] {
  return [
    route({
      method: "GET",
      path: "/healthz",
      class: "public",
      reason: "Probes have no credential; it tells no more than that the process answers.",
      summary: "Whether the process answers.",
      responses: { 200: { description: "It does.", schema: health } },
      handler: () => json(200, { status: "ok" }),
    }),
    route({
      method: "GET",
      path: "/readyz",
      class: "public",
      reason: "Probes have no credential; the detail is words such as up and down.",
      summary: "Whether requests can be served.",
      responses: {
        200: { description: "They can.", schema: readiness },
        503: { description: "They cannot now.", schema: readiness },
      },
      handler: async () => {
        const { ready: isReady, detail } = await ready.check();
        const status = isReady ? "ready" : "not_ready";
        return json(isReady ? 200 : 503, { status, detail });
      },
    }),
  ];
}

/** `GET /metrics`, for the internal listener: Prometheus has the internal secret, as it has for the relay's. */
export function metricsRoute(render: () => Promise<string>, mediaType: string): Route {
  return route({
    method: "GET",
    path: "/metrics",
    class: "internal",
    summary: "Metrics for Prometheus.",
    responses: { 200: { description: "The metrics.", mediaType } },
    handler: async () => text(200, await render(), mediaType),
  });
}

/** `GET /api/openapi.json`: the routes that the router holds when it is asked, this one included. */
export function descriptionRoute(router: Router, info: ApiInfo): Route {
  return route({
    method: "GET",
    path: "/api/openapi.json",
    class: "public",
    reason: "It describes the interface, which is published anyway, and holds no data.",
    summary: "This description.",
    responses: { 200: { description: "OpenAPI 3.1.", schema: z.record(z.string(), z.unknown()) } },
    handler: () => json(200, describeApi(router.routes, info)),
  });
}
