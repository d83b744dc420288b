import { z } from "zod";
import type { ApiContext } from "../context.ts";
import { json } from "../reply.ts";
import { type Route, route } from "../route.ts";
import { listMachineClients, tenantId } from "../store/index.ts";

const shownClient = z.object({
  issuer: z.string(),
  client_id: z.string(),
  name: z.string(),
  scopes: z.array(z.string()),
  created_at: z.iso.datetime(),
  disabled_at: z.iso.datetime().nullable(),
});

/** Machine clients as administrators see them. Registering one is the operator's, on the database. */
export function machineClientRoutes({ store }: ApiContext): readonly Route[] {
  return [
    route({
      method: "GET",
      path: "/api/machine-clients",
      class: "session",
      role: "admin",
      summary: "The machine clients that are registered for the tenant.",
      responses: {
        200: {
          description: "All of them, by issuer and id.",
          schema: z.object({ machine_clients: z.array(shownClient) }),
        },
      },
      handler: async ({ principal }) => {
        const clients = await listMachineClients(store, tenantId(principal?.tenantId ?? ""));
        const shown = clients.map(({ iss, clientId, name, scopes, createdAt, disabledAt }) => ({
          issuer: iss,
          client_id: clientId,
          name,
          scopes,
          created_at: new Date(createdAt).toISOString(),
          disabled_at: disabledAt === null ? null : new Date(disabledAt).toISOString(),
        }));
        return json(200, { machine_clients: shown });
      },
    }),
  ];
}
