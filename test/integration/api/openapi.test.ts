import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Validator } from "@seriousme/openapi-schema-validator";
import { CLASS_ADMITS } from "../../../src/api/ports.ts";
import { METHODS } from "../../../src/api/route.ts";
import { sampleRoutes, startApi } from "../../support/api/harness.ts";

type Json = Record<string, unknown>;
interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly parameters: readonly {
    readonly name: string;
    readonly in: string;
    readonly required?: boolean;
  }[];
  readonly requestBody?: { readonly content: Json; readonly required: boolean };
  readonly responses: Json;
  readonly security: readonly Json[];
}
interface Description extends Json {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}

describe("GET /api/openapi.json", () => {
  it("is valid OpenAPI 3.1", async (t) => {
    const api = await startApi(t);
    const description: Description = JSON.parse(
      (await api.send("GET /api/openapi.json")).body.toString(),
    );
    const validator = new Validator();
    const result = await validator.validate(description);
    assert.deepEqual(result.errors ?? [], []);
    assert.equal(result.valid, true);
    assert.equal(validator.version, "3.1");
    // The validator does find what is wrong.
    const broken = { ...description, paths: { "no-slash": {} } };
    assert.equal((await new Validator().validate(broken)).valid, false);
  });

  it("has every operation of the router and no other, by its class", async (t) => {
    const api = await startApi(t);
    const { paths }: Description = JSON.parse(
      (await api.send("GET /api/openapi.json")).body.toString(),
    );
    const described = Object.entries(paths).flatMap(([path, item]) =>
      Object.entries(item).map(([method, { security }]) => {
        return `${method.toUpperCase()} ${path} ${security.flatMap(Object.keys).join("|")}`;
      }),
    );
    const held = api.router.routes.flatMap(({ method, path, class: routeClass }) =>
      (method === "ANY" ? METHODS : [method]).map((each) => {
        const template = path.replace(/[:*](\w+)/g, "{$1}");
        return `${each} ${template} ${CLASS_ADMITS[routeClass].join("|")}`;
      }),
    );
    assert.deepEqual(described.sort(), held.sort());
    const ids = Object.values(paths).flatMap((item) =>
      Object.values(item).map(({ operationId }) => operationId),
    );
    assert.equal(new Set(ids).size, ids.length);
  });

  it("says what an operation takes and gives", async (t) => {
    const api = await startApi(t, sampleRoutes());
    const { paths }: Description = JSON.parse(
      (await api.send("GET /api/openapi.json")).body.toString(),
    );
    const make = paths["/api/things"]?.["post"];
    assert.deepEqual(Object.keys(make?.requestBody?.content ?? {}), [
      "application/json",
      "application/merge-patch+json",
    ]);
    assert.deepEqual(Object.keys(make?.responses ?? {}), ["201", "default"]);
    assert.deepEqual(
      make?.parameters.map(({ name }) => name),
      ["X-Hawser-CSRF"],
    );
    const list = paths["/api/things"]?.["get"];
    assert.deepEqual(
      list?.parameters.map(({ name, required }) => [name, required]),
      [["limit", false]],
    );
    const read = paths["/api/things/{id}"]?.["get"];
    assert.deepEqual(
      read?.parameters.map(({ name, required }) => [name, required]),
      [["id", true]],
    );
    const pass = paths["/api/things/{id}/http/{path}"]?.["get"];
    assert.deepEqual(
      pass?.parameters.map(({ name }) => name),
      ["id", "path"],
    );
    assert.equal(pass?.requestBody, undefined);
  });
});
