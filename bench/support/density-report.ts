import type { Provenance } from "../rows/report.ts";
import type { DensityPlan, DensityResult } from "./density.ts";
import type { RelayId } from "./relays.ts";
import { rounded } from "./stats.ts";
import type { StormResult } from "./storm.ts";

/** Figures of one relay by name, four digits each; null where the relay has no such figure. */
export type DensityColumn = Readonly<Record<DensityFigure, number | null>>;

/** What bench/results/density.json holds. */
export interface DensityFile extends Provenance {
  readonly schema: 1;
  readonly devices: number;
  readonly idleSeconds: number;
  readonly relays: Readonly<Partial<Record<RelayId, DensityColumn>>>;
}

/** The figures in the order of the table, and what they are called there. */
export const DENSITY_FIGURES = {
  rssBytes: "resident bytes per idle tunnel",
  baseMiB: "resident MiB of the relay before them",
  heapBytes: "JavaScript heap per idle tunnel, bytes",
  idleCpuPercent: "CPU of the idle fleet, % of one core",
  connectsPerS: "connects per second",
  connectCpuUs: "CPU µs per connect",
  killedBackMs: "all back after SIGKILL, ms from process start",
  killedHalfMs: "half of them back, ms",
  killedRefused: "handshakes refused meanwhile",
  killedP50Ms: "live traffic from half to all: p50, ms",
  killedP99Ms: "live traffic from half to all: p99, ms",
  quietP50Ms: "live traffic on the quiet relay: p50, ms",
  quietP99Ms: "live traffic on the quiet relay: p99, ms",
  drainMs: "SIGTERM until the process has ended, ms",
  drainedBackMs: "all back after SIGTERM, ms from the start of the new process",
} as const;
export type DensityFigure = keyof typeof DENSITY_FIGURES;

/** The result of a run, as it is written. */
export function densityFile(
  from: Provenance,
  { devices, idleSeconds }: DensityPlan,
  result: DensityResult,
): DensityFile {
  const relays: Partial<Record<RelayId, DensityColumn>> = {};
  for (const id of ["hawser", "reference", "tuned"] as const) {
    const figures = result[id];
    if (figures === undefined) continue;
    const { idle, killed, drained } = figures;
    relays[id] = {
      rssBytes: rounded(idle.rssBytes),
      baseMiB: rounded(idle.baseBytes / 2 ** 20),
      heapBytes: idle.heapBytes === null ? null : rounded(idle.heapBytes),
      idleCpuPercent: rounded(100 * idle.idleCpuShare),
      connectsPerS: rounded(idle.connectsPerS),
      connectCpuUs: rounded(idle.connectCpuUs),
      killedBackMs: killed.backMs,
      killedHalfMs: killed.halfMs,
      killedRefused: killed.refused,
      killedP50Ms: liveMs(killed, "storm", "p50Us"),
      killedP99Ms: liveMs(killed, "storm", "p99Us"),
      quietP50Ms: liveMs(killed, "quiet", "p50Us"),
      quietP99Ms: liveMs(killed, "quiet", "p99Us"),
      drainMs: drained?.endMs ?? null,
      drainedBackMs: drained?.backMs ?? null,
    };
  }
  return { schema: 1, ...from, devices, idleSeconds, relays };
}

function liveMs({ live }: StormResult, when: "storm" | "quiet", figure: string): number | null {
  const us = live?.[when][figure];
  return us === undefined ? null : rounded(us / 1_000);
}

/** A line a figure, a column a relay. */
export function densityTable({ devices, relays }: DensityFile): string {
  const ids = (["hawser", "reference", "tuned"] as const).filter((id) => relays[id] !== undefined);
  const lines = [[`${devices} devices`, ...ids]];
  for (const [name, label] of Object.entries(DENSITY_FIGURES) as [DensityFigure, string][]) {
    const cells = ids.map((id) => relays[id]?.[name]?.toLocaleString("en") ?? "-");
    lines.push([label, ...cells]);
  }
  const width = Math.max(...lines.map(([label = ""]) => label.length));
  return lines
    .map(([label = "", ...cells]) => {
      return `${[label.padEnd(width), ...cells.map((cell) => cell.padStart(12))].join("")}\n`;
    })
    .join("");
}
