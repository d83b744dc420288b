import type { Route } from "../../../src/api/index.ts";
import type { Person, Product } from "./product.ts";

/** What a person made in their tenant, by public id, and the secrets that were issued for it. */
export interface Holdings {
  readonly deviceId: string;
  readonly deviceToken: string;
  readonly tokenRef: string;
  readonly codeId: string;
  readonly code: string;
  readonly enrolmentKey: string;
  readonly enrolmentRef: string;
  /** With every scope. */
  readonly key: string;
  readonly keyRef: string;
  readonly sessionId: string;
  readonly userId: string;
}

const ALL = [
  "devices:read",
  "devices:write",
  "devices:pair",
  "tunnel:use",
  "keys:read",
  "enrolment:write",
  "audit:read",
];

/** Makes one of everything. */
export async function makeHoldings(person: Person): Promise<Holdings> {
  const text = (value: unknown): string => {
    if (typeof value !== "string" || value === "") throw new Error("an answer lacks a text");
    return value;
  };
  const device = await person.json("POST", "/api/devices", { name: `device of ${person.name}` });
  const code = await person.json("POST", "/api/pairing-codes", {});
  const enrolment = await person.json("POST", "/api/enrolment-keys", {
    name: "fleet",
    uses_max: 5,
  });
  const key = await person.json("POST", "/api/keys", { name: "all", scopes: ALL });
  const me = await person.json("GET", "/api/auth/me");
  const { sessions } = await person.json("GET", "/api/auth/sessions");
  const deviceToken = text(device["token"]);
  const apiKey = text(key["key"]);
  const enrolmentKey = text(enrolment["key"]);
  return {
    deviceId: text(device["device_id"] ?? device["id"]),
    deviceToken,
    tokenRef: deviceToken.slice(0, 12),
    codeId: text(code["id"]),
    code: text(code["code"]),
    enrolmentKey,
    enrolmentRef: enrolmentKey.slice(0, 12),
    key: apiKey,
    keyRef: apiKey.slice(0, 12),
    sessionId: text((sessions as { id: string }[])[0]?.id),
    userId: text((me["user"] as { id?: string }).id),
  };
}

/** Ids that no product has ever given out, and that no product could. */
export const MISSING: Pick<
  Holdings,
  "deviceId" | "tokenRef" | "codeId" | "enrolmentRef" | "keyRef" | "sessionId" | "userId"
> = {
  deviceId: "aaaaaaaaaaaaaaaa",
  tokenRef: "vAc_00000000",
  codeId: "0".repeat(24),
  enrolmentRef: "hwe_00000000",
  keyRef: "hwk_00000000",
  sessionId: "0".repeat(24),
  userId: "0".repeat(24),
};
export const MALFORMED: typeof MISSING = {
  deviceId: "NOT-AN-ID",
  tokenRef: "x",
  codeId: "0",
  enrolmentRef: "hwe_",
  keyRef: "42",
  sessionId: "x-y",
  userId: "me",
};

/** The path of a route with the ids of these holdings in it. @throws Error for a parameter that nobody described here */
export function pathOf(route: Route, ids: typeof MISSING): string {
  const [, , room] = route.path.split("/");
  return route.path
    .split("/")
    .map((part) => {
      if (part.startsWith("*")) return "hello";
      if (!part.startsWith(":")) return part;
      const name = `${room} ${part}`;
      switch (name) {
        case "devices :id":
          return ids.deviceId;
        case "devices :ref":
          return ids.tokenRef;
        case "pairing-codes :id":
          return ids.codeId;
        case "enrolment-keys :ref":
          return ids.enrolmentRef;
        case "keys :ref":
          return ids.keyRef;
        case "users :id":
          return ids.userId;
        case "auth :id":
          return ids.sessionId;
        default:
          throw new Error(`say here which id stands for ${part} in ${route.path}`);
      }
    })
    .join("/");
}

/** A body that the route takes; undefined where it takes none. @throws Error for a route that nobody described here */
export function bodyFor({ method, path, body }: Route): unknown {
  if (body === null || body.kind === "stream" || body.kind === "bytes") return undefined;
  switch (`${method} ${path}`) {
    case "PATCH /api/devices/:id":
      return { name: "taken over", tags: ["stolen"] };
    default:
      if (body.schema.safeParse({}).success) return {};
      throw new Error(`say here what ${method} ${path} takes`);
  }
}

/** Everything of a person's tenant that the API shows, as text: to see that nothing of it has changed. */
export async function snapshot(product: Product, person: Person, key: string): Promise<string> {
  const paths = [
    "/api/devices",
    "/api/pairing-codes",
    "/api/enrolment-keys",
    "/api/keys",
    "/api/users",
  ];
  const parts: string[] = [];
  for (const path of paths) {
    const page = await person.call("GET", path);
    if (page.status !== 200) throw new Error(`${path}: ${page.status}`);
    // When something was last seen or used moves by itself.
    parts.push(page.body.replace(/"last_[a-z_]+":("[^"]*"|null)/g, '""'));
  }
  const own = await fetch(`${product.baseUrl}/api/devices`, {
    headers: { authorization: `Bearer ${key}` },
  });
  return [...parts, String(own.status)].join("\n");
}
