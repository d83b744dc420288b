import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { CredentialsFile } from "../../src/relay/credentials-file.ts";
import { makeFleet } from "../support/fleet.ts";
import type { MicroBench } from "./micro-bench.ts";

const CALLS = 1_000;
const DEVICES = 100;

/** What the edge asks of a key that it knows: who is it, and may it reach this device. */
export async function authoriseBench(): Promise<MicroBench> {
  const folder = mkdtempSync(join(tmpdir(), "hawser-micro-"));
  const fleet = makeFleet(folder, "micro", DEVICES);
  const gate = await CredentialsFile.open(fleet.hawserFile, pino({ level: "silent" }), {
    pollIntervalMs: 0,
  });
  // As a socket gives it: a text of its own, whose hash nobody knows yet.
  const field = Buffer.from(`Bearer ${fleet.key}`, "latin1");
  return {
    id: "authorise_hit",
    title: "a known key looked up, for one of 100 devices",
    operations: CALLS,
    reference: "objects",
    run() {
      let allowed = 0;
      for (let count = 0; count < CALLS; count++) {
        const verdict = gate.authenticateCaller(field.toString("latin1", 7));
        const deviceId = fleet.deviceIds[count % DEVICES] ?? "";
        if (verdict.ok && verdict.value.allows(deviceId)) allowed += 1;
      }
      return allowed;
    },
    close() {
      gate.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
