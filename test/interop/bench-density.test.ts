import assert from "node:assert/strict";
import { test } from "node:test";
import { TINY } from "../../bench/rows/plan.ts";
import { provenance } from "../../bench/rows/report.ts";
import { runDensity } from "../../bench/support/density.ts";
import {
  DENSITY_FIGURES,
  type DensityFigure,
  densityFile,
  densityTable,
} from "../../bench/support/density-report.ts";
import { prepareTools } from "../../bench/support/tools.ts";
import { skipWithout } from "../support/go.ts";

const needed = { skip: skipWithout("wrk", "gcc", "go"), timeout: 110_000 };
const FIGURES = Object.keys(DENSITY_FIGURES) as DensityFigure[];
/** What a relay that is no Node process and does not drain does not have. */
const ONLY_HAWSER: readonly DensityFigure[] = ["heapBytes", "drainMs", "drainedBackMs"];

test(
  "density, run so small that its figures say nothing: each is there for both relays",
  needed,
  async (t) => {
    const plan = {
      devices: 60,
      warmDevices: 20,
      idleSeconds: 0.5,
      settleStepMs: 100,
      quietMs: 500,
    };
    const note = (text: string): void => t.diagnostic(text);
    const tools = await prepareTools();
    const context = { tools, plan: TINY, relayIds: ["hawser", "reference"], note } as const;
    const file = densityFile(provenance(), plan, await runDensity(context, plan));
    for (const figure of FIGURES) {
      assert.ok(Number.isFinite(file.relays.hawser?.[figure]), `hawser has no ${figure}`);
      const isMissing = file.relays.reference?.[figure] === null;
      assert.equal(isMissing, ONLY_HAWSER.includes(figure), `reference: ${figure}`);
    }
    assert.equal(densityTable(file).trim().split("\n").length, FIGURES.length + 1);
  },
);
