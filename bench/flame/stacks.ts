/** One frame of a sample, as 0x and clinic write it. */
export interface Tick {
  readonly name: string;
  readonly type: string;
}

/** A place in the tree of all stacks: how often it was seen, and what it called. */
export interface StackNode {
  readonly name: string;
  readonly kind: FrameKind;
  /** Samples in it and in what it called. */
  count: number;
  /** Samples in it alone. */
  self: number;
  readonly children: Map<string, StackNode>;
}

/** Whose code a frame is. */
export type FrameKind = "hawser" | "package" | "node" | "uws" | "native";

/** All samples of one picture. */
export interface Stacks {
  readonly tree: StackNode;
  /** Samples in the tree. */
  readonly samples: number;
  /** Samples in which the loop waited for something to do; they are not in the tree. */
  readonly waiting: number;
  /** Samples in which modules were loaded; the load comes later, and they are not in the tree either. */
  readonly starting: number;
}

const WAITS = /^(?:__)?epoll_p?wait(?:@|$)/;
const STARTS = /node:internal\/(?:main|modules|bootstrap)\//;

/**
 * Puts samples together by stack, the outermost frame first.
 *
 * Frames are named by what they are and not by where they lie: no path of this machine gets into a picture, and one
 * function is one frame whatever the compiler made of it.
 */
export function stacksOf(samples: readonly (readonly Tick[])[]): Stacks {
  const tree = node({ name: "all", kind: "native" });
  let waiting = 0;
  let starting = 0;
  for (const sample of samples) {
    const innermost = sample.at(-1);
    if (innermost !== undefined && WAITS.test(innermost.name)) {
      waiting += 1;
      continue;
    }
    if (sample.some(({ name }) => STARTS.test(name))) {
      starting += 1;
      continue;
    }
    tree.count += 1;
    let at = tree;
    for (const tick of sample.length === 0 ? [NO_STACK] : sample) at = entered(at, frameOf(tick));
    at.self += 1;
  }
  return { tree, samples: tree.count, waiting, starting };
}

const NO_STACK: Tick = { name: "(no stack)", type: "CPP" };

function node(frame: Frame): StackNode {
  return { ...frame, count: 0, self: 0, children: new Map() };
}

function entered(parent: StackNode, frame: Frame): StackNode {
  const child = parent.children.get(frame.name) ?? node(frame);
  parent.children.set(frame.name, child);
  child.count += 1;
  return child;
}

interface Frame {
  readonly name: string;
  readonly kind: FrameKind;
}

/** The name and the kind of a frame. */
export function frameOf({ name, type }: Tick): Frame {
  if (type === "JS") return scriptFrame(name);
  const file = /([^/\\]+)$/.exec(name)?.[1] ?? name;
  if (name.endsWith(".node")) {
    return /uws/i.test(file)
      ? { name: "uWebSockets.js", kind: "uws" }
      : { name: file, kind: "native" };
  }
  if (type === "SHARED_LIB" || name.startsWith("/")) return { name: file, kind: "native" };
  return { name: name.replace(/@.*$/, ""), kind: /uWS|us_/.test(name) ? "uws" : "native" };
}

/** `function file:///a/b/dist/src/mux/session.js:12:3` becomes `function src/mux/session.ts`. */
function scriptFrame(text: string): Frame {
  const at = text.search(/ (?:file:|node:|\/|\[)/);
  const called = at > 0 ? text.slice(0, at).replace(/^[~*^]/, "") : "(anonymous)";
  const place = text.slice(at + 1).replace(/(?::\d+){1,2}$/, "");
  if (place.startsWith("node:")) return { name: `${called} ${place}`, kind: "node" };
  const own = /\/dist\/((?:src|bench)\/.*)\.js$/.exec(place)?.[1];
  if (own !== undefined) return { name: `${called} ${own}.ts`, kind: "hawser" };
  const dependency = /.*\/node_modules\/(.*)$/.exec(place)?.[1];
  if (dependency !== undefined) return { name: `${called} ${dependency}`, kind: "package" };
  return { name: `${called} ${/([^/]+)$/.exec(place)?.[1] ?? ""}`.trim(), kind: "package" };
}

/**
 * Leaves the `nodesMax` largest places of a tree; the samples of the others count as their caller's own. A place is never
 * larger than its caller, so that what stays is a tree again.
 */
export function pruned(tree: StackNode, nodesMax: number): StackNode {
  const counts: number[] = [];
  const visit = (at: StackNode): void => {
    counts.push(at.count);
    for (const child of at.children.values()) visit(child);
  };
  visit(tree);
  counts.sort((one, other) => other - one);
  // What is as large as the first one too many goes with it.
  const least = (counts[nodesMax] ?? 0) + 1;
  const copy = (at: StackNode): StackNode => {
    const kept = [...at.children].filter(([, child]) => child.count >= least);
    const children = new Map(kept.map(([name, child]) => [name, copy(child)]));
    const below = [...children.values()].reduce((sum, child) => sum + child.count, 0);
    return { ...at, children, self: at.count - below };
  };
  return copy(tree);
}

/** One line for each stack, `outermost;…;innermost count`: the form that other viewers of flame graphs read. */
export function folded(tree: StackNode): string {
  const lines: string[] = [];
  const visit = (at: StackNode, path: readonly string[]): void => {
    if (at.self > 0 && path.length > 0) lines.push(`${path.join(";")} ${at.self}\n`);
    for (const child of at.children.values())
      visit(child, [...path, child.name.replaceAll(";", ",")]);
  };
  visit(tree, []);
  return lines.join("");
}
