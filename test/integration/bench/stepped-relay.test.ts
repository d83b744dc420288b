import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { SteppedRelay } from "../../../bench/counts/stepped-relay.ts";
import { makeFleet } from "../../../bench/support/fleet.ts";
import { childrenOf } from "../../support/process/children.ts";
import { temporaryFolder } from "../../support/relay/start-relay.ts";

/** The relay of the counts where it does not do what it should. */

/** Starts one into whose process a script is loaded first. */
async function startWith(t: TestContext, script: string, startMs: number): Promise<SteppedRelay> {
  const folder = await temporaryFolder(t);
  const { hawserFile: credentialsFile } = makeFleet(await temporaryFolder(t), "stepped", 1);
  const nodeArgs = [`--import=data:text/javascript,${encodeURIComponent(script)}`];
  return SteppedRelay.start({ folder, credentialsFile, nodeArgs, settings: [], startMs });
}

test("a relay that does not get ready is not left behind", { timeout: 30_000 }, async (t) => {
  const never = "setInterval(() => {}, 1_000); await new Promise(() => {});";
  await assert.rejects(startWith(t, never, 300), /the relay does not get ready/);
  assert.deepEqual(childrenOf(process.pid), []);
});

test("a relay that ends when it is asked is an error with its reason", {
  timeout: 30_000,
}, async (t) => {
  const relay = await startWith(t, 'process.on("message", () => process.exit(7));', 20_000);
  t.after(() => relay.stop());
  await assert.rejects(relay.ask("heap"), /^Error: the relay ended \(7\)/);
});
