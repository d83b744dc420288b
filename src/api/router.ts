import { assert } from "../core/assert.ts";
import { METHODS, type Route } from "./route.ts";

/** Where a router is served: to everybody, or on the internal listener. */
export type RouterFace = "public" | "internal";

/** What a path and a method come to. */
export type Match =
  | {
      readonly kind: "route";
      readonly route: Route;
      /** Raw segments of the path by the names of the pattern. */
      readonly params: Readonly<Record<string, string>>;
    }
  | { readonly kind: "options"; readonly allow: string }
  | { readonly kind: "method"; readonly allow: string }
  | { readonly kind: "none" };

/** One segment deep in the tree of patterns. */
interface Node {
  readonly literals: Map<string, Node>;
  param: Node | null;
  /** Routes that end here by their methods. */
  readonly own: Map<string, Route>;
  /** Routes whose tail begins here. */
  readonly tail: Map<string, Route>;
}

function node(): Node {
  return { literals: new Map(), param: null, own: new Map(), tail: new Map() };
}

function segmentsOf(path: string): string[] {
  return path.slice(1).split("/");
}

/**
 * The routes of one listener: what is not in it does not exist. Literal segments win over parameters; the case of
 * letters and a slash at the end count. Nothing but the path and the method decides.
 */
export class Router {
  readonly face: RouterFace;
  readonly #root = node();
  readonly #routes: Route[] = [];
  #located: Located = { path: "", segments: [], methods: null, depth: -1 };

  constructor(face: RouterFace, routes: readonly Route[] = []) {
    this.face = face;
    for (const each of routes) this.add(each);
  }

  /** Every route, in the order in which they were added: the inventory that tests and the description walk. */
  get routes(): readonly Route[] {
    return this.#routes;
  }

  /** Adds a route. Breaks an assertion where another one has its place, or where it belongs on the other listener. */
  add(route: Route): void {
    const where = `${route.method} ${route.path}`;
    assert(!route.internalOnly || this.face === "internal", `${where} is served internally alone`);
    let at = this.#root;
    let isTail = false;
    for (const segment of segmentsOf(route.path)) {
      if (segment.startsWith("*")) isTail = true;
      else if (segment.startsWith(":")) at = at.param ??= node();
      else at = child(at, segment);
    }
    const methods = isTail ? at.tail : at.own;
    for (const method of route.method === "ANY" ? METHODS : [route.method]) {
      assert(!methods.has(method), `${where} is declared once`);
      methods.set(method, route);
    }
    this.#routes.push(route);
    this.#located = { path: "", segments: [], methods: null, depth: -1 };
  }

  /** Where a path leads. It is asked twice of each request: where the tail begins, and then for the route. */
  #locate(path: string): Located {
    if (path === this.#located.path) return this.#located;
    const segments = segmentsOf(path);
    const found = find(this.#root, segments, 0);
    this.#located = { path, segments, methods: found?.methods ?? null, depth: found?.depth ?? -1 };
    return this.#located;
  }

  /** Finds the route of a path that `decidePath` let through. */
  match(method: string, path: string): Match {
    const { methods, segments } = this.#locate(path);
    if (methods === null) return { kind: "none" };
    const route = methods.get(method) ?? (method === "HEAD" ? headRoute(methods) : undefined);
    if (route !== undefined) return { kind: "route", route, params: paramsOf(route, segments) };
    return { kind: method === "OPTIONS" ? "options" : "method", allow: allowOf(methods) };
  }

  /** Where the tail begins when the path belongs to a tail route, -1 where it does not. */
  readonly findTail = (path: string): number => {
    const { segments, depth } = this.#locate(path);
    if (depth < 0) return -1;
    let length = 1;
    for (let at = 0; at < depth; at++) length += (segments[at] ?? "").length + 1;
    return length;
  };
}

function child(at: Node, segment: string): Node {
  const known = at.literals.get(segment);
  if (known !== undefined) return known;
  const made = node();
  at.literals.set(segment, made);
  return made;
}

/** The routes of a path, and how many segments come before their tail; -1 where they have none. */
interface Found {
  readonly methods: Map<string, Route>;
  readonly depth: number;
}

interface Located {
  readonly path: string;
  readonly segments: readonly string[];
  readonly methods: Map<string, Route> | null;
  readonly depth: number;
}

function find(at: Node, segments: readonly string[], depth: number): Found | null {
  const segment = segments[depth];
  if (segment === undefined) return at.own.size > 0 ? { methods: at.own, depth: -1 } : null;
  const literal = at.literals.get(segment);
  const byText = literal === undefined ? null : find(literal, segments, depth + 1);
  if (byText !== null) return byText;
  const { param } = at;
  const byParam = param === null || segment === "" ? null : find(param, segments, depth + 1);
  if (byParam !== null) return byParam;
  return at.tail.size > 0 ? { methods: at.tail, depth } : null;
}

function headRoute(methods: Map<string, Route>): Route | undefined {
  const get = methods.get("GET");
  return get?.head === true ? get : undefined;
}

function allowOf(methods: Map<string, Route>): string {
  const allowed = METHODS.filter((method) => methods.has(method)) as string[];
  if (headRoute(methods) !== undefined) allowed.push("HEAD");
  return [...allowed, "OPTIONS"].join(", ");
}

function paramsOf(route: Route, segments: readonly string[]): Record<string, string> {
  const params: Record<string, string> = {};
  for (const { name, at } of route.pathParams) {
    const raw = segments[at] ?? "";
    // The path decision let through only what decodes.
    params[name] = raw.includes("%") ? decodeURIComponent(raw) : raw;
  }
  return params;
}
