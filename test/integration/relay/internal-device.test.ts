import assert from "node:assert/strict";
import { test } from "node:test";
import { mintDeviceId } from "../../../src/core/token.ts";
import { ask, startTestRelay } from "../../support/relay/start-relay.ts";

test("/internal/device/:id/forward: reaches the device by whichever token it uses", async (t) => {
  const started = await startTestRelay(t, { holdMs: 0 });
  const [device] = started.devices;
  await started.connect({
    http: (request, response) => response.end(`${request.method} ${request.url}`),
  });
  const path = `/internal/device/${device?.deviceId}/forward/a//b?c=%20`;
  const answer = await started.internal(path, { method: "DELETE" });
  assert.deepEqual([answer.status, answer.text], [200, "DELETE /a//b?c=%20"]);
  assert.equal(answer.headers.via, "1.1 hawser");
});

test("/internal/device/:id/forward: a device that is away is waited for, then 503", async (t) => {
  const started = await startTestRelay(t, { holdMs: 10_000 });
  const path = `/internal/device/${started.devices[0]?.deviceId}/forward/`;
  const answer = started.internal(path);
  await started.connect({ http: (_request, response) => response.end("back") });
  assert.equal((await answer).text, "back");
  const none = await startTestRelay(t, { holdMs: 0 });
  const away = await none.internal(`/internal/device/${mintDeviceId()}/forward/`);
  assert.deepEqual([away.status, JSON.parse(away.text).code], [503, "ERR_RELAY_OFFLINE"]);
  assert.equal(away.headers.via, undefined);
});

test("/internal/device/…: what is no device or no forward is 404, without the secret 401", async (t) => {
  const { internal, relay } = await startTestRelay(t, { holdMs: 0 });
  const id = mintDeviceId();
  for (const path of [
    `/internal/device/${id}`,
    `/internal/device/${id}/forward`,
    "/internal/device/x/forward/",
  ]) {
    assert.equal((await internal(path)).status, 404, path);
  }
  assert.equal((await internal(`/internal/device/${id}/forward/a/../b`)).status, 400);
  assert.equal((await ask(relay.internalPort, `/internal/device/${id}/forward/`)).status, 401);
});
