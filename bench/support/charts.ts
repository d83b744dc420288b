import type { RowId } from "../rows/table.ts";
import { type BarGroup, type Chart, drawBars } from "./bars.ts";
import { densityPair, type Figures, type Pair, rowPair } from "./release.ts";

/** One chart a family of figures. */
export function chartsOf(figures: Figures): readonly Chart[] {
  const row = (label: string, id: RowId, scale = 1): BarGroup => {
    return { label, values: scaled(rowPair(figures, id), scale) };
  };
  const seconds = (label: string, pair: Pair): BarGroup => ({ label, values: scaled(pair, 1e-3) });
  const { devices } = figures.density;
  const fleet = `${devices.toLocaleString("en")} devices`;
  return [
    {
      name: "requests",
      title: "CPU of the relay per small request",
      unit: "µs, less is better",
      groups: [
        row("1 device, 128 connections", "small_1dev_c128"),
        row("100 devices, 128 connections", "small_100dev_c128"),
        row("100 devices, one at a time", "small_100dev_c1"),
        row("a stock Go device, 128 connections", "small_godev_c128"),
      ],
    },
    {
      name: "latency",
      title: "Latency of small requests, 1 device, 32 connections",
      unit: "ms, less is better",
      groups: [row("median", "small_p50_c32", 1e-3), row("99th percentile", "small_p99_c32", 1e-3)],
    },
    {
      name: "bodies",
      title: "CPU of the relay per GiB of bodies",
      unit: "CPU seconds, less is better",
      groups: [
        row("one download", "down_1"),
        row("8 downloads at once", "down_8"),
        row("one upload", "up_1"),
        row("8 uploads at once", "up_8"),
      ],
    },
    {
      name: "rates",
      title: "Rate of one body",
      unit: "MiB/s, more is better",
      groups: [row("download", "down_rate_1"), row("upload", "up_rate_1")],
    },
    {
      name: "memory",
      title: "Resident memory of the relay per tunnel",
      unit: "bytes, less is better",
      groups: [
        { label: "idle", values: densityPair(figures, "rssBytes") },
        row("after one request", "touched_rss"),
      ],
    },
    {
      name: "storm",
      title: `${fleet} come back after a restart of the relay`,
      unit: "s from the start of the new process, less is better",
      groups: [
        seconds("half of them, after SIGKILL", densityPair(figures, "killedHalfMs")),
        seconds("all of them, after SIGKILL", densityPair(figures, "killedBackMs")),
        seconds("all of them, after SIGTERM", densityPair(figures, "drainedBackMs")),
      ],
    },
  ];
}

function scaled(pair: Pair, scale: number): readonly (number | null)[] {
  return pair.map((value) => (value === null ? null : value * scale));
}

/** File names and what is in them. */
export function drawCharts(figures: Figures): ReadonlyMap<string, string> {
  return new Map(chartsOf(figures).map((chart) => [`${chart.name}.svg`, drawBars(chart)]));
}
