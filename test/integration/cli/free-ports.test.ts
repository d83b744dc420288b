import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import test from "node:test";
import { freePort, isFree } from "../../../src/cli/free-ports.ts";

test("free ports: each is free, given once, and none that the system hands out by itself", async () => {
  const ports = await Promise.all(Array.from({ length: 20 }, freePort));
  assert.equal(new Set(ports).size, 20);
  for (const port of ports) assert.ok(port >= 20_000 && port < 32_000, String(port));
});

test("free ports: one that is listened on is not free", async (t) => {
  const port = await freePort();
  assert.equal(await isFree(port), true);
  const taken = createServer().listen(port, "127.0.0.1");
  t.after(() => taken.close());
  await once(taken, "listening");
  assert.equal(await isFree(port), false);
});
