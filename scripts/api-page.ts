import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { z } from "zod";
import {
  API_DEFAULTS,
  AUTH_DEFAULTS,
  checkOidcOptions,
  DEVICE_DEFAULTS,
  type Route,
  startApi,
} from "../src/api/index.ts";
import { CLASS_ADMITS } from "../src/api/ports.ts";
import { newKeyRing } from "../src/config/index.ts";

/** What the two listeners of an API server serve. */
export interface DeclaredRoutes {
  readonly public: readonly Route[];
  readonly internal: readonly Route[];
}

/** Starts an API server for a moment, on free ports of the loopback, and asks it for its routes. */
export async function declaredRoutes(): Promise<DeclaredRoutes> {
  const folder = await mkdtemp(join(tmpdir(), "hawser-routes-"));
  const publicBaseUrl = "http://127.0.0.1:3721";
  try {
    const app = await startApi(
      {
        http: { ...API_DEFAULTS, listenHost: "127.0.0.1", listenPort: 0, publicBaseUrl },
        internal: { listenHost: "127.0.0.1", listenPort: 0, secret: "x".repeat(32) },
        databaseUrl: `sqlite:${join(folder, "hawser.db")}`,
        relayUrl: "http://127.0.0.1:3801",
        oidc: checkOidcOptions({
          publicBaseUrl,
          oidcIssuer: "https://idp.example.org",
          oidcClientId: "hawser",
          oidcClientAuth: "none",
        }),
        auth: { ...AUTH_DEFAULTS, sessionSecrets: newKeyRing(), tokenEncKeys: newKeyRing() },
        devices: { ...DEVICE_DEFAULTS, tunnelUrl: "ws://127.0.0.1:3800", edgeUrl: "" },
        auditLog: null,
      },
      // Nobody is asked for anything.
      { logger: pino({ level: "silent" }), oidcFetch: () => Promise.reject(new Error("offline")) },
    );
    const routes = { public: app.routes, internal: app.internalRoutes };
    await app.close();
    return routes;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

interface Section {
  readonly heading: string;
  readonly text: string;
  readonly paths: RegExp;
}

/** In the order of the page; the first one that fits has the route. */
const SECTIONS: readonly Section[] = [
  {
    heading: "Signing in, sessions, users",
    text: "[Signing in](sign-in.md) tells how they are used.",
    paths: /^\/$|^\/api\/auth\/|^\/api\/users(\/|$)/,
  },
  {
    heading: "Devices",
    text: "[Devices](devices.md) has examples.",
    paths: /^\/api\/devices?(?!\/:id\/http)(\/|$)/,
  },
  {
    heading: "Requests to devices",
    text: "[Requests to devices through the API](forward.md).",
    paths: /^\/api\/devices\/:id\/http/,
  },
  {
    heading: "Pairing and enrolment",
    text: "[Devices](devices.md#pairing-one-device) has examples.",
    paths: /^\/api\/(pairing|pairing-codes|enrolment-keys)(\/|$)/,
  },
  {
    heading: "Keys and machine clients",
    text: "[API keys and machine clients](api-keys.md).",
    paths: /^\/api\/(keys?|whoami|machine-clients)(\/|$)/,
  },
  {
    heading: "Audit log",
    text: "[Audit log](audit-log.md).",
    paths: /^\/api\/audit$/,
  },
  {
    heading: "The sign-in of the command line",
    text: "[ADR 0030](adr/0030-command-line-sign-in.md) has the protocol.",
    paths: /^(\/api)?\/cli-login(\/|$)/,
  },
  {
    heading: "Health and description",
    text: "",
    paths: /^\/(healthz|readyz|api\/openapi\.json|favicon\.ico)$/,
  },
];

const INTRODUCTION = `# The HTTP API

<!-- Made from the declarations of the routes by \`npm run docs\`. Change those, not this page. -->

Every route of the API server, port 3721. What each takes and answers, field by field, is in \`GET /api/openapi.json\`
(OpenAPI 3.1), which is made from the same declarations.

- Programs send \`Authorization: Bearer\` with an [API key](api-keys.md); browsers have the cookie of a
  [login session](sign-in.md), and send \`X-Hawser-CSRF: 1\` with whatever changes something.
- Bodies are JSON in UTF-8, answers too. Times are RFC 3339 in UTC. A member or parameter that a route does not know is
  400.
- Failures are problem JSON with a stable \`code\`: [errors](errors.md#answers-of-the-api-server).
- Listings have \`limit\` and \`cursor\`; \`next\` of an answer is the next \`cursor\`.
- An id of another tenant is answered exactly as one that there is not.

Who may call: _session_ is a person's login session, _key_ an API key, _service_ the access token of a registered machine
client, _device_ a device token, _internal_ the internal secret. A scope counts for keys and services; a session may do
what its person may.
`;

/** The page of every route. Throws where a route belongs to no section. */
export function apiMarkdown(routes: DeclaredRoutes): string {
  const left = new Set(routes.public);
  const parts = SECTIONS.map((section) => {
    const own = [...left].filter(({ path }) => section.paths.test(path));
    for (const route of own) left.delete(route);
    return sectionOf(section.heading, section.text, own);
  });
  const [lost] = left;
  if (lost !== undefined) throw new Error(`${lost.path} has no section in scripts/api-page.ts`);
  const internal = sectionOf(
    "The internal listener",
    "Port 3722, for relays and metrics. [The internal API](internal-api.md#what-the-relay-asks-post-internalauthorize) has the bodies.",
    routes.internal,
  );
  return [INTRODUCTION, ...parts, internal].join("\n");
}

function sectionOf(heading: string, text: string, routes: readonly Route[]): string {
  const rows = routes.map(
    (route) =>
      `| \`${route.method} ${route.path}\` | ${whoMayCall(route)} | ${escaped(meaningOf(route))} |`,
  );
  const table = ["| route | who | |", "| --- | --- | --- |", ...rows].join("\n");
  return `## ${heading}\n\n${text === "" ? "" : `${text}\n\n`}${table}\n`;
}

function whoMayCall({ class: routeClass, scope, role }: Route): string {
  const kinds = CLASS_ADMITS[routeClass];
  const who = kinds.length === 0 ? "anybody" : kinds.join(", ");
  return [
    who,
    ...(scope === null ? [] : [`\`${scope}\``]),
    ...(role === null ? [] : ["administrators"]),
  ].join("; ");
}

function meaningOf({ summary, reason, query, body, responses }: Route): string {
  const takes = [
    ...takenBy("Query", query),
    ...takenBy("Body", body?.kind === "stream" ? null : (body?.schema ?? null)),
  ];
  const statuses = Object.keys(responses).join(", ");
  const why = reason === "" ? [] : [sentence(reason)];
  return [sentence(summary), ...why, ...takes, `Answers ${statuses}.`].join(" ");
}

/** Names of members; those that must be there are bold. */
function takenBy(what: string, schema: z.ZodType | null): string[] {
  if (!(schema instanceof z.ZodObject)) return [];
  const names = Object.entries(schema.shape as Record<string, z.ZodType>).map(([name, member]) =>
    member.safeParse(undefined).success ? `\`${name}\`` : `**\`${name}\`**`,
  );
  return names.length === 0 ? [] : [`${what}: ${names.join(", ")}.`];
}

function sentence(text: string): string {
  return /[.:!?]$/.test(text) ? text : `${text}.`;
}

function escaped(text: string): string {
  return text.replaceAll("|", "\\|");
}
