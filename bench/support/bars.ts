/** One chart: groups of horizontal bars, a bar a series, longest value over all to the right edge. */
export interface Chart {
  /** Of the file, without its ending. */
  readonly name: string;
  readonly title: string;
  /** Of the values, and which way is better. */
  readonly unit: string;
  readonly groups: readonly BarGroup[];
}

/** What is compared with each other. */
export interface BarGroup {
  readonly label: string;
  /** In the order of {@link SERIES}; null where there is no such figure. */
  readonly values: readonly (number | null)[];
}

/** The series of every chart, with a colour that is legible on white and on dark. */
export const SERIES = [
  { label: "Hawser", className: "a" },
  { label: "Go relay", className: "b" },
] as const;

const WIDTH = 774;
const LEFT = 264;
const RIGHT = 90;
const TOP = 70;
const BAR = 16;
const GAP = 3;
const GROUP_GAP = 16;
/** Both colours have a contrast of 3:1 at least on either background; text takes the reader's scheme. */
const STYLE = [
  "text{font:13px system-ui,sans-serif;fill:#1f2328}",
  ".t{font-size:16px;font-weight:600}",
  ".m{fill:#59636e}",
  ".a{fill:#0969da}",
  ".b{fill:#bf6a02}",
  "line{stroke:#8c959f}",
  "@media(prefers-color-scheme:dark){text{fill:#f0f6fc}.m{fill:#9198a1}.a{fill:#4493f8}.b{fill:#db8b2f}}",
].join("");

/** Draws a chart as SVG, the same text for the same figures. Groups without any value are left out. */
export function drawBars(chart: Chart): string {
  const groups = chart.groups.filter(({ values }) => values.some((value) => value !== null));
  const largest = Math.max(0, ...groups.flatMap(({ values }) => values.map((value) => value ?? 0)));
  const scale = largest > 0 ? (WIDTH - LEFT - RIGHT) / largest : 0;
  const parts: string[] = [];
  let y = TOP;
  for (const { label, values } of groups) {
    const drawn = SERIES.flatMap(({ className }, at) => {
      const value = values[at] ?? null;
      return value === null ? [] : [{ className, value }];
    });
    const height = drawn.length * (BAR + GAP) - GAP;
    parts.push(text(LEFT - 12, y + height / 2 + 4, label, ' text-anchor="end"'));
    for (const { className, value } of drawn) {
      const width = Math.max(1, value * scale);
      parts.push(
        `<rect class="${className}" x="${LEFT}" y="${y}" width="${width.toFixed(1)}" height="${BAR}" rx="2"/>`,
        text(LEFT + width + 6, y + 13, shown(value)),
      );
      y += BAR + GAP;
    }
    y += GROUP_GAP - GAP;
  }
  const height = y;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img">`,
    `<title>${escaped(`${chart.title}, ${chart.unit}`)}</title>`,
    `<style>${STYLE}</style>`,
    text(12, 24, chart.title, ' class="t"'),
    text(12, 46, chart.unit, ' class="m"'),
    ...legend(),
    `<line x1="${LEFT}" y1="${TOP - 8}" x2="${LEFT}" y2="${height - 8}"/>`,
    ...parts,
    "</svg>\n",
  ].join("\n");
}

function legend(): string[] {
  return SERIES.flatMap(({ label, className }, at) => {
    const x = WIDTH - 200 + 100 * at;
    const mark = `<rect class="${className}" x="${x}" y="13" width="12" height="12" rx="2"/>`;
    return [mark, text(x + 18, 24, label)];
  });
}

function text(x: number, y: number, content: string, attributes = ""): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}"${attributes}>${escaped(content)}</text>`;
}

function escaped(content: string): string {
  return content.replace(/[&<>]/g, (sign) => `&#${sign.charCodeAt(0)};`);
}

/** Three digits that count, thousands apart. */
export function shown(value: number): string {
  if (value >= 100) return Math.round(value).toLocaleString("en");
  return String(Number(value.toPrecision(3)));
}
