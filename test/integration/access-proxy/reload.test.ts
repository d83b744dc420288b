import assert from "node:assert/strict";
import test from "node:test";
import { pino } from "pino";
import { ACCESS_PROXY_DEFAULTS, startAccessProxy } from "../../../src/access-proxy/index.ts";
import { call, commandRig } from "../../support/access-proxy/command-rig.ts";
import { until } from "../../support/until.ts";

test("reload: files are looked at once it is asked for, whether the system has told of a change or not", async (t) => {
  const rig = await commandRig(t, (_message, answer) => void answer.end());
  const logs: string[] = [];
  // Neither what the system tells nor a look now and then leads to anything while time stands still.
  t.mock.timers.enable({ apis: ["setInterval", "setTimeout"] });
  const app = await startAccessProxy(
    {
      proxy: {
        ...ACCESS_PROXY_DEFAULTS,
        selfId: "https://from.example",
        sigAlg: "ES256",
        tempFolder: rig.folder,
      },
      listenHost: "127.0.0.1",
      listenPort: 0,
      listenSocket: null,
      hosts: [],
      pathProx: "/",
      pathOk: "/ok",
      internalHost: "127.0.0.1",
      internalPort: 0,
      internalSecret: "secret",
      signingKeys: rig.file("keys"),
      idps: rig.file("idps.json"),
      destinations: rig.file("destinations.json"),
      allowAnyDestination: false,
      callers: null,
      folder: rig.dataDir,
      sessionsMax: 10,
      tokensMax: 10,
      drainMs: 1_000,
    },
    { logger: pino({ level: "info" }, { write: (line: string) => void logs.push(line) }) },
  );
  t.after(() => app.close());
  const told = async () => {
    const { headers } = await call({ port: app.port }, rig.fields("tag-1"));
    return headers["x-access-proxy-error"];
  };
  assert.equal(await told(), "no access token for this tag");
  rig.write("destinations.json", []);
  assert.equal(await told(), "no access token for this tag");
  app.reload();
  await until(() => logs.some((line) => line.includes("destinations read again")), "the new list");
  assert.equal(await told(), "destination is not allowed");
});
