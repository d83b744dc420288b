import { z } from "zod";
import { FORM_TYPE, mediaTypesOf } from "./body.ts";
import { CLASS_ADMITS, type PrincipalKind } from "./ports.ts";
import { PROBLEM_TYPE } from "./problem.ts";
import { METHODS, type ResponseRule, type Route } from "./route.ts";

type Json = Record<string, unknown>;

/** What the description says of the whole. */
export interface ApiInfo {
  readonly title: string;
  readonly version: string;
  readonly publicBaseUrl: string;
  readonly cookieName: string;
}

/** Describes the routes by OpenAPI 3.1. Made from the same declarations that decide requests. */
export function describeApi(routes: readonly Route[], info: ApiInfo): Json {
  const paths: Record<string, Json> = {};
  for (const route of routes) {
    const path = templateOf(route.path);
    const item = paths[path] ?? {};
    paths[path] = item;
    for (const method of route.method === "ANY" ? METHODS : [route.method]) {
      item[method.toLowerCase()] = operationOf(route, method);
    }
  }
  return {
    openapi: "3.1.0",
    info: { title: info.title, version: info.version },
    servers: [{ url: info.publicBaseUrl }],
    paths,
    components: {
      schemas: { Problem: PROBLEM_SCHEMA },
      securitySchemes: schemesOf(info),
    },
  };
}

/** How each kind of principal proves itself. */
function schemesOf({ cookieName }: ApiInfo): Record<PrincipalKind, Json> {
  return {
    session: { type: "apiKey", in: "cookie", name: cookieName },
    key: { type: "http", scheme: "bearer", bearerFormat: "hwk_…" },
    service: { type: "http", scheme: "bearer", bearerFormat: "JWT" },
    device: { type: "http", scheme: "bearer", bearerFormat: "vAc_…" },
    internal: { type: "http", scheme: "bearer" },
  };
}

const PROBLEM_SCHEMA: Json = {
  type: "object",
  description: "RFC 9457. Match on `code` alone.",
  required: ["type", "title", "status", "detail", "code", "retriable", "request_id"],
  properties: {
    type: { type: "string" },
    title: { type: "string" },
    status: { type: "integer" },
    detail: { type: "string" },
    code: { type: "string" },
    stage: { type: "string" },
    retriable: { type: "boolean" },
    issues: {
      type: "array",
      items: {
        type: "object",
        required: ["in", "pointer", "detail"],
        properties: {
          in: { enum: ["query", "body"] },
          pointer: { type: "string" },
          detail: { type: "string" },
        },
      },
    },
    request_id: { type: "string" },
  },
};

function operationOf(route: Route, method: string): Json {
  const isUnsafe = method !== "GET";
  const hasSession = CLASS_ADMITS[route.class].includes("session");
  const responses: Json = {};
  for (const [status, rule] of Object.entries(route.responses)) {
    responses[status] = responseOf(rule);
  }
  const body = isUnsafe ? bodyOf(route) : null;
  return {
    operationId: operationIdOf(route.path, method),
    summary: route.summary,
    parameters: [...parametersOf(route), ...(isUnsafe && hasSession ? [CSRF_PARAMETER] : [])],
    ...(body === null ? {} : { requestBody: body }),
    responses: { ...responses, default: PROBLEM_RESPONSE },
    security: CLASS_ADMITS[route.class].map((kind) => ({ [kind]: [] })),
    "x-hawser-class": route.class,
    ...(route.scope === null ? {} : { "x-hawser-scope": route.scope }),
  };
}

const CSRF_PARAMETER: Json = {
  name: "X-Hawser-CSRF",
  in: "header",
  description: "Needed where the session's cookie is the credential.",
  schema: { const: "1" },
};

const PROBLEM_RESPONSE: Json = {
  description: "A problem.",
  content: { [PROBLEM_TYPE]: { schema: { $ref: "#/components/schemas/Problem" } } },
};

function responseOf({ description, schema, mediaType }: ResponseRule): Json {
  if (schema === undefined && mediaType === undefined) return { description };
  const content = schema === undefined ? {} : { schema: schemaOf(schema, "output") };
  return { description, content: { [mediaType ?? "application/json"]: content } };
}

function bodyOf({ body }: Route): Json | null {
  if (body === null) return null;
  const types = mediaTypesOf(body) ?? ["*/*"];
  const isOpaque = body.kind === "stream" || body.kind === "bytes";
  const media = isOpaque ? {} : { schema: schemaOf(body.schema, "input") };
  return {
    required: body.kind !== "stream" && !(body.kind === "json" && body.required === false),
    ...(isOpaque ? { description: body.summary } : {}),
    content: Object.fromEntries(
      (body.kind === "form" ? [FORM_TYPE] : types).map((t) => [t, media]),
    ),
  };
}

function parametersOf(route: Route): Json[] {
  const own = Object.entries(route.params?.shape ?? {}).map(([name, schema]) => ({
    name,
    in: "path",
    required: true,
    schema: schemaOf(schema as z.ZodType, "input"),
  }));
  const tail = /\*(\w+)$/.exec(route.path)?.[1];
  const rest = tail === undefined ? [] : [{ name: tail, in: "path", required: true, schema: TAIL }];
  const query = Object.entries(route.query?.shape ?? {}).map(([name, schema]) => ({
    name,
    in: "query",
    required: !(schema as z.ZodType).safeParse(undefined).success,
    schema: schemaOf(schema as z.ZodType, "input"),
  }));
  return [...own, ...rest, ...query];
}

const TAIL: Json = { type: "string", description: "May hold slashes; passed on byte for byte." };

function schemaOf(schema: z.ZodType, io: "input" | "output"): Json {
  const { $schema: _dialect, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: "any" });
  return rest;
}

function templateOf(path: string): string {
  return path.replace(/\/[:*](\w+)/g, "/{$1}");
}

/** `GET /api/devices/:id` is `getDevicesId`. */
function operationIdOf(path: string, method: string): string {
  const words = path.split(/[^A-Za-z0-9]+/).filter((word) => word !== "" && word !== "api");
  const name = words.map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join("");
  return method.toLowerCase() + (name === "" ? "Root" : name);
}
