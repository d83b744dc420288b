import { type Caption, escapeXml, opening } from "./picture.ts";

/** One reading of clinic's doctor, about 100 a second. */
interface Reading {
  readonly timestamp: number;
  /** How late the event loop was, in ms. */
  readonly delay: number;
  /** Cores in use. */
  readonly cpu: number;
  readonly memory: { readonly rss: number; readonly heapTotal: number; readonly heapUsed: number };
  readonly handles: number;
  /** Share of time that the loop was busy, in percent. */
  readonly loopUtilization: number;
}

/** What the doctor's page carries: its readings, and what it thinks of them. */
export interface DoctorData {
  readonly processStat: readonly Reading[];
  readonly analysis: {
    readonly issues: Readonly<Record<string, string | Readonly<Record<string, string>>>>;
    readonly issueCategory: string;
  };
}

/** Takes the data out of the doctor's page. @throws Error where it has none */
export function doctorData(page: string): DoctorData {
  const text = /<script type="application\/json" id="clinic-data">(.*?)<\/script>/s.exec(page)?.[1];
  if (text === undefined) throw new Error("the doctor's page has no data");
  return JSON.parse(text);
}

interface Curve {
  readonly name: string;
  readonly unit: string;
  readonly of: (reading: Reading) => number;
}

const MIB = 2 ** 20;
const CURVES: readonly Curve[] = [
  { name: "CPU", unit: "cores", of: ({ cpu }) => cpu },
  { name: "resident memory", unit: "MiB", of: ({ memory }) => memory.rss / MIB },
  { name: "heap in use", unit: "MiB", of: ({ memory }) => memory.heapUsed / MIB },
  { name: "event loop delay", unit: "ms", of: ({ delay }) => delay },
  { name: "event loop utilisation", unit: "%", of: ({ loopUtilization }) => loopUtilization },
  { name: "active handles", unit: "", of: ({ handles }) => handles },
];

const POINTS_MAX = 600;
const LEFT = 250;
const WIDTH = 1_400;
const PANEL = 90;
const TOP = 64;

/** The doctor's readings as curves, and its verdict, as SVG without a script. */
export function doctorPicture({ processStat, analysis }: DoctorData, caption: Caption): string {
  const height = TOP + CURVES.length * PANEL;
  const seen = Object.entries(analysis.issues).flatMap(([name, found]) =>
    typeof found === "string"
      ? [[name, found] as const]
      : Object.entries(found).map(([part, each]) => [`${name}.${part}`, each] as const),
  );
  const issues = seen
    .filter(([, found]) => found !== "none")
    .map(([name, found]) => `${name} (${found})`);
  const verdict = `doctor: ${analysis.issueCategory}; noticed: ${issues.join(", ") || "nothing"}`;
  const step = Math.max(1, Math.ceil(processStat.length / POINTS_MAX));
  const readings = processStat.filter((_, at) => at % step === 0);
  return [
    ...opening(height, caption),
    `<text x="4" y="53">${escapeXml(verdict)}</text>`,
    ...CURVES.flatMap((curve, at) => panel(curve, readings, TOP + at * PANEL)),
    "</svg>\n",
  ].join("\n");
}

function panel({ name, unit, of }: Curve, readings: readonly Reading[], top: number): string[] {
  const values = readings.map(of);
  const most = Math.max(...values, 1e-9);
  const middle = [...values].sort((one, other) => one - other)[values.length >> 1] ?? 0;
  const startedAt = readings[0]?.timestamp ?? 0;
  const lastedMs = Math.max(1, (readings.at(-1)?.timestamp ?? 0) - startedAt);
  const points = readings.map(({ timestamp }, at) => {
    const x = LEFT + ((timestamp - startedAt) / lastedMs) * (WIDTH - LEFT - 4);
    const y = top + PANEL - 14 - ((values[at] ?? 0) / most) * (PANEL - 24);
    return `${x.toFixed(1)},${y.toFixed(1)}`;
  });
  const shown = (value: number): string => `${Number(value.toPrecision(3))} ${unit}`.trim();
  return [
    `<text x="4" y="${top + 30}">${escapeXml(name)}</text>`,
    `<text x="4" y="${top + 46}">${escapeXml(`median ${shown(middle)}, most ${shown(most)}`)}</text>`,
    `<polyline fill="none" stroke="#c0703a" points="${points.join(" ")}"/>`,
  ];
}
