import { CHANGED, isChanged } from "../rows/report.ts";
import type { RowId } from "../rows/table.ts";
import { shown } from "./bars.ts";
import { densityPair, type Figures, type Pair, rowPair } from "./release.ts";

/** The parts of docs/capacity.md that are made from figures, by the name in their markers. */
export function capacityParts(figures: Figures): ReadonlyMap<string, string> {
  return new Map([
    ["taken", takenWith(figures)],
    ["figures", figuresTable(figures)],
    ["costs", costsTable(figures)],
    ["example", exampleText(figures)],
  ]);
}

/**
 * Puts parts between their markers, `<!-- name -->` and `<!-- /name -->`, each on a line of its own.
 *
 * @throws Error where a page has no such markers
 */
export function withParts(page: string, parts: ReadonlyMap<string, string>): string {
  let text = page;
  for (const [name, part] of parts) {
    const open = `<!-- ${name} -->\n`;
    const close = `<!-- /${name} -->`;
    const start = text.indexOf(open);
    const end = text.indexOf(close, start);
    if (start < 0 || end < 0) throw new Error(`the page has no markers of "${name}"`);
    text = `${text.slice(0, start + open.length)}\n${part}\n${text.slice(end)}`;
  }
  return text;
}

/** Of the rows that compare Hawser with something, the least and the most where they differ. */
function roundsOf({ rows }: Figures): string {
  const each = rows.rows.filter(({ against }) => against !== null).map(({ rounds }) => rounds);
  const [least, most] = [Math.min(...each), Math.max(...each)];
  return least < most ? `${least} to ${most}` : String(rows.rounds);
}

function takenWith(figures: Figures): string {
  const { rows, density } = figures;
  const of = (file: typeof rows | typeof density): string =>
    `commit \`${file.commit.slice(0, 12)}\`${isChanged(file.commit) ? CHANGED : ""}, Node ${file.node.slice(1)}, ${file.cpu}`;
  const idle = `CPU of the idle fleet over ${density.idleSeconds} s`;
  return `- Rows: ${of(rows)}; medians of ${roundsOf(figures)} rounds.\n- Fleet of ${count(density.devices)}: ${of(density)}; ${idle}.\n`;
}

interface Line {
  readonly label: string;
  readonly pair: Pair;
  readonly scale?: number;
  readonly command: string;
}

function linesOf(figures: Figures): readonly Line[] {
  const row = (
    label: string,
    id: RowId,
    options: { readonly figure?: string; readonly scale?: number } = {},
  ): Line => ({
    label,
    pair: rowPair(figures, id, options.figure ?? null),
    scale: options.scale ?? 1,
    command: `bench -- --only ${id}`,
  });
  const fleet = (label: string, name: Parameters<typeof densityPair>[1], scale = 1): Line => {
    return { label, pair: densityPair(figures, name), scale, command: "bench:density" };
  };
  const perCore = rowPair(figures, "small_1dev_c128").map((us) => (us === null ? null : 1e6 / us));
  const [hawser = null, reference = null] = perCore;
  return [
    { ...row("small requests per second and core", "small_1dev_c128"), pair: [hawser, reference] },
    row("CPU µs per small request, 1 device", "small_1dev_c128"),
    row("CPU µs per small request, 100 devices", "small_100dev_c128"),
    row("CPU µs per small request, one at a time", "small_100dev_c1"),
    row("small requests per second, reached", "rps_1dev_c32"),
    row("latency at 32 connections, median, ms", "small_p50_c32", { scale: 1e-3 }),
    row("latency at 32 connections, p99, ms", "small_p99_c32", { scale: 1e-3 }),
    row("CPU s per GiB, download", "down_1"),
    row("CPU s per GiB, upload", "up_1"),
    row("MiB/s of one download", "down_rate_1"),
    row("MiB/s of one upload", "up_rate_1"),
    fleet("bytes per idle tunnel", "rssBytes"),
    row("bytes per tunnel after one request", "touched_rss"),
    fleet("JavaScript heap per idle tunnel, bytes", "heapBytes"),
    fleet("CPU of the idle fleet, % of one core", "idleCpuPercent"),
    fleet("connects per second", "connectsPerS"),
    fleet("CPU µs per connect", "connectCpuUs"),
    fleet("fleet back after SIGKILL, s", "killedBackMs", 1e-3),
    fleet("fleet back after SIGTERM, s", "drainedBackMs", 1e-3),
    fleet("p99 of live requests meanwhile, ms", "killedP99Ms"),
    fleet("p99 of live requests on the quiet relay, ms", "quietP99Ms"),
  ];
}

function figuresTable(figures: Figures): string {
  const lines = linesOf(figures).map(({ label, pair, scale = 1, command }) => {
    const [hawser, reference] = pair.map((value) => cell(value, scale));
    return `| ${label} | ${hawser} | ${reference} | \`${command}\` |\n`;
  });
  return `| figure | Hawser | Go relay | taken by \`npm run …\` |\n| --- | ---: | ---: | --- |\n${lines.join("")}`;
}

function cell(value: number | null, scale: number): string {
  return value === null ? "–" : shown(value * scale);
}

/** What an operator multiplies by. Null where it was not measured. */
interface Costs {
  readonly requestUs: number | null;
  readonly downS: number | null;
  readonly upS: number | null;
  readonly idleUs: number | null;
  readonly connectUs: number | null;
  readonly baseMiB: number | null;
  readonly tunnelBytes: number | null;
}

function costsOf(figures: Figures): Costs {
  const [idlePercent] = densityPair(figures, "idleCpuPercent");
  const { devices } = figures.density;
  return {
    requestUs: rowPair(figures, "small_100dev_c128")[0],
    downS: rowPair(figures, "down_1")[0],
    upS: rowPair(figures, "up_1")[0],
    idleUs: idlePercent === null ? null : (1e4 * idlePercent) / devices,
    connectUs: densityPair(figures, "connectCpuUs")[0],
    baseMiB: densityPair(figures, "baseMiB")[0],
    tunnelBytes: rowPair(figures, "touched_rss")[0] ?? densityPair(figures, "rssBytes")[0],
  };
}

function costsTable(figures: Figures): string {
  const costs = costsOf(figures);
  const lines: readonly (readonly [string, string, number | null, string])[] = [
    ["R", "a small request", costs.requestUs, "µs"],
    ["D", "a GiB to clients", costs.downS, "s"],
    ["U", "a GiB to devices", costs.upS, "s"],
    ["I", "an idle device, a second", costs.idleUs, "µs"],
    ["C", "a connect", costs.connectUs, "µs"],
    ["B", "the process itself", costs.baseMiB, "MiB"],
    ["T", "a tunnel in use", costs.tunnelBytes, "bytes"],
  ];
  const rows = lines.map(([sign, what, value, unit]) => {
    return `| ${sign} | ${what} | ${value === null ? "–" : `${shown(value)} ${unit}`} |\n`;
  });
  return `| | cost of | |\n| --- | --- | ---: |\n${rows.join("")}`;
}

/** The fleet of the worked example. */
const EXAMPLE = {
  devices: 15_000,
  requestsPerS: 4_000,
  downMiBPerS: 100,
  upMiBPerS: 20,
  reconnectsPerS: 50,
  stalledStreams: 200,
  windowMiB: 0.25,
} as const;
const SHARE_OF_CORE = 0.7;

function exampleText(figures: Figures): string {
  const costs = costsOf(figures);
  const missing = Object.entries(costs).filter(([, cost]) => cost === null);
  if (missing.length > 0)
    return "Not every cost above was measured, and the example wants them all.\n";
  const { requestUs, downS, upS, idleUs, connectUs, baseMiB, tunnelBytes } = costs;
  const e = EXAMPLE;
  const parts: readonly (readonly [string, number])[] = [
    [`${count(e.requestsPerS)} requests/s`, (e.requestsPerS * (requestUs ?? 0)) / 1e6],
    [`${e.downMiBPerS} MiB/s to clients`, (e.downMiBPerS / 1_024) * (downS ?? 0)],
    [`${e.upMiBPerS} MiB/s to devices`, (e.upMiBPerS / 1_024) * (upS ?? 0)],
    [`${count(e.devices)} devices`, (e.devices * (idleUs ?? 0)) / 1e6],
    [`${e.reconnectsPerS} reconnects/s`, (e.reconnectsPerS * (connectUs ?? 0)) / 1e6],
  ];
  const cores = parts.reduce((sum, [, share]) => sum + share, 0);
  const tunnelsMiB = (e.devices * (tunnelBytes ?? 0)) / 2 ** 20;
  const stalledMiB = e.stalledStreams * e.windowMiB;
  const memory = (baseMiB ?? 0) + tunnelsMiB + stalledMiB;
  const table = parts.map(([what, share]) => `| ${what} | ${share.toFixed(3)} |\n`).join("");
  return `| | cores |\n| --- | ---: |\n${table}| **together** | **${cores.toFixed(2)}** |

That is ${cores <= SHARE_OF_CORE ? "within" : "more than"} the ${SHARE_OF_CORE} of a core that one relay process should be planned for. Memory: ${shown(baseMiB ?? 0)} MiB for
the process, ${shown(tunnelsMiB)} MiB for the tunnels and ${shown(stalledMiB)} MiB for ${e.stalledStreams} clients that have stopped reading, ${shown(memory)} MiB
in all.
`;
}

function count(value: number): string {
  return value.toLocaleString("en");
}
