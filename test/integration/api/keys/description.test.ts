import assert from "node:assert/strict";
import { Validator } from "@seriousme/openapi-schema-validator";
import { auditRoutes } from "../../../../src/api/audit/index.ts";
import { describeApi, Router } from "../../../../src/api/index.ts";
import { keyRoutes, machineClientRoutes } from "../../../../src/api/keys/index.ts";
import { onEachRig } from "../../../support/api/credentials-rig.ts";
import { person, TENANT } from "../../../support/api-store/people.ts";

onEachRig(
  "keys and audit: their description is valid, and their answers are as described",
  async (rig) => {
    const routes = [
      ...keyRoutes(rig.context),
      ...machineClientRoutes(rig.context),
      ...auditRoutes(rig.context),
    ];
    const description = describeApi(new Router("public", routes).routes, {
      title: "Keys",
      version: "1",
      publicBaseUrl: "https://api.test",
      cookieName: "__Host-hawser_sid",
    });
    const { errors, valid } = await new Validator().validate(
      JSON.parse(JSON.stringify(description)),
    );
    assert.deepEqual([errors ?? [], valid], [[], true]);
    const session = rig.signIn(await person(rig.store, "root", TENANT, { role: "admin" }));
    const made = await rig.send("POST /api/keys", session, { name: "k", scopes: ["keys:read"] });
    const { ref } = made.body;
    for (const [request, path, answer] of [
      ["POST", "/api/keys", made],
      ["GET", "/api/keys", await rig.send("GET /api/keys", session)],
      ["GET", "/api/keys/:ref", await rig.send(`GET /api/keys/${ref}`, session)],
      ["GET", "/api/machine-clients", await rig.send("GET /api/machine-clients", session)],
      ["GET", "/api/audit", await rig.send("GET /api/audit", session)],
    ] as const) {
      const route = routes.find(({ method, path: p }) => method === request && p === path);
      const schema = route?.responses[answer.status]?.schema;
      assert.ok(schema !== undefined, `${request} ${path}`);
      // What a schema does not name it leaves out.
      assert.deepEqual(schema.parse(answer.body), answer.body, `${request} ${path}`);
    }
  },
);
