import assert from "node:assert/strict";
import { createServer } from "node:http";
import test from "node:test";
import { connect } from "../../../src/agent/index.ts";
import { call, commandRig } from "../../support/access-proxy/command-rig.ts";
import { CliProcess } from "../../support/cli.ts";
import { startTestRelay } from "../../support/relay/start-relay.ts";

test("hawser access-proxy: a destination behind NAT is called through the relay's edge, and no other device", async (t) => {
  const seen: Record<string, string | string[] | undefined>[] = [];
  const relay = await startTestRelay(t, {}, 3);
  const [device, , other] = relay.devices;
  assert.ok(device !== undefined && other !== undefined);
  const rig = await commandRig(t, (_, answer) => void answer.end("by its address"));
  rig.write("destinations.json", [
    { origin: "https://ta.example", device: device.deviceId },
    { origin: "https://gone.example", device: other.deviceId },
  ]);
  await rig.putToken("tag-1");
  const proxy = new CliProcess(
    t,
    [...rig.words, "--edge-url", `http://127.0.0.1:${relay.relay.port}`],
    { HAWSER_EDGE_KEY: relay.key.text },
  );
  const [, port = ""] = await proxy.printed(/"listen":"127\.0\.0\.1:(\d+)"/);

  const service = createServer((request, answer) => {
    seen.push({ ...request.headers, url: request.url });
    request.pipe(answer);
  });
  const agent = connect({
    relay: `ws://127.0.0.1:${relay.relay.port}`,
    token: device.token.text,
    server: service,
  });
  t.after(() => agent.close());
  await agent.ready();

  const fields = {
    ...rig.fields("tag-1"),
    "X-Hawser-Device": other.deviceId,
    Authorization: "Bearer of-the-application",
  };
  const to = (url: string) =>
    call({ port: Number(port) }, { ...fields, "X-Access-Proxy-To": url }, { body: "round trip" });
  const answer = await to("https://ta.example/api/x?y=1");
  assert.deepEqual([answer.status, answer.text], [200, "round trip"]);
  const [headers] = seen;
  assert.equal(headers?.["host"], "ta.example");
  assert.equal(headers?.["url"], "/api/x?y=1");
  assert.equal(headers?.["authorization"], "Bearer of-the-application");
  assert.match(String(headers?.["x-edo-code-tokens"]), /^eyJ/);
  for (const name of ["proxy-authorization", "x-hawser-device", "x-access-proxy-users"]) {
    assert.equal(headers?.[name], undefined, name);
  }
  // Paths of the edge's own reach the device all the same.
  for (const path of ["/d/abc", "/tunnel/connect", "/.hawser/x", "/d", "/dx"]) {
    assert.equal((await to(`https://ta.example${path}`)).status, 200);
    assert.equal(seen.at(-1)?.["url"], path);
  }
  const gone = await to("https://gone.example/");
  assert.equal(gone.status, 404);
  assert.equal(JSON.parse(gone.text).error_description, "destination is unreachable");
  proxy.child.kill("SIGTERM");
  const { code, stdout } = await proxy.finished();
  assert.equal(code, 0);
  assert.ok(!stdout.includes(relay.key.text));
});
