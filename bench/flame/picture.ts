import type { FrameKind, StackNode, Stacks } from "./stacks.ts";
import { pruned } from "./stacks.ts";

/** Places in a picture: with more a file grows and nobody sees them. */
const NODES_MAX = 1_200;
const WIDTH = 1_400;
const ROW = 17;
const TOP = 64;
/** Width of one letter of the labels, about. */
const LETTER = 6.6;

const COLOURS: Readonly<Record<FrameKind, string>> = {
  hawser: "#f2a65a",
  package: "#e9d985",
  node: "#9bc995",
  uws: "#7fb7d9",
  native: "#c8c8d0",
};

const LEGEND: Readonly<Record<FrameKind, string>> = {
  hawser: "Hawser",
  package: "packages",
  node: "Node's own JavaScript",
  uws: "uWebSockets.js",
  native: "V8, Node, libc and the kernel behind it",
};

/** Text that can stand in XML. */
export function escapeXml(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}

/** The first lines of a picture. */
export interface Caption {
  readonly title: string;
  /** What it was made of: commit, Node, command. */
  readonly origin: string;
}

/**
 * A flame graph as SVG, without a script: callers below, what they called above, as wide as the samples in it. A
 * browser shows each place's name and share when the pointer rests on it.
 */
export function flamePicture(stacks: Stacks, { title, origin }: Caption): string {
  const tree = pruned(stacks.tree, NODES_MAX);
  const depth = depthOf(tree);
  const height = TOP + depth * ROW + 8;
  const perSample = WIDTH / Math.max(1, tree.count);
  const rows: string[] = [];
  const draw = (at: StackNode, left: number, level: number): void => {
    const width = at.count * perSample;
    rows.push(box(at, { left, width, top: height - 8 - (level + 1) * ROW, all: tree.count }));
    let next = left;
    for (const child of [...at.children.values()].sort((one, other) => other.count - one.count)) {
      draw(child, next, level + 1);
      next += child.count * perSample;
    }
  };
  draw(tree, 0, 0);
  const { samples, waiting, starting } = stacks;
  const counts = `${samples} samples; left out: ${waiting} that waited for events, ${starting} that loaded modules`;
  return [
    ...opening(height, { title, origin: `${origin}. ${counts}.` }),
    ...legend(),
    ...rows,
    "</svg>\n",
  ].join("\n");
}

/** The head of a picture, its title and its origin. */
export function opening(height: number, { title, origin }: Caption): string[] {
  const size = `width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}"`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" ${size} font-family="monospace" font-size="11">`,
    `<title>${escapeXml(title)}</title>`,
    `<rect width="${WIDTH}" height="${height}" fill="#fff"/>`,
    `<text x="4" y="18" font-size="15">${escapeXml(title)}</text>`,
    `<text x="4" y="36">${escapeXml(origin)}</text>`,
  ];
}

function legend(): string[] {
  let left = 4;
  return (Object.keys(COLOURS) as FrameKind[]).map((kind) => {
    const x = left;
    left += 24 + LEGEND[kind].length * LETTER;
    const square = `<rect x="${x}" y="44" width="10" height="10" fill="${COLOURS[kind]}"/>`;
    return `${square}<text x="${x + 14}" y="53">${escapeXml(LEGEND[kind])}</text>`;
  });
}

interface Place {
  readonly left: number;
  readonly width: number;
  readonly top: number;
  readonly all: number;
}

function box(at: StackNode, { left, width, top, all }: Place): string {
  const x = left.toFixed(1);
  const letters = Math.floor((width - 4) / LETTER);
  const label = letters < 3 ? "" : escapeXml(at.name.slice(0, letters));
  const share = (count: number): string => `${((100 * count) / Math.max(1, all)).toFixed(1)} %`;
  const title = `${at.name}: ${share(at.count)}, alone ${share(at.self)}`;
  const shape = `<rect x="${x}" y="${top}" width="${width.toFixed(1)}" height="${ROW - 1}" fill="${COLOURS[at.kind]}"/>`;
  const text =
    label === "" ? "" : `<text x="${(left + 2).toFixed(1)}" y="${top + 12}">${label}</text>`;
  return `<g><title>${escapeXml(title)}</title>${shape}${text}</g>`;
}

function depthOf(tree: StackNode): number {
  return 1 + Math.max(0, ...[...tree.children.values()].map(depthOf));
}
