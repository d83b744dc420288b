import type { IncomingMessage, ServerResponse } from "node:http";
import { z } from "zod";
import { assert } from "../core/assert.ts";
import type { ByteAnswer } from "./byte-answer.ts";
import { type Asker, CLASS_ADMITS, type Principal, type RouteClass } from "./ports.ts";
import type { Reply } from "./reply.ts";

/** Methods that a route may declare. HEAD comes with GET, OPTIONS is answered by the router. */
export const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"] as const;
/** `ANY` is all of {@link METHODS}. */
export type RouteMethod = (typeof METHODS)[number] | "ANY";

type Optional<S> = S extends z.ZodType ? z.output<S> : undefined;

/** The schema of a body that is not looked into. */
export const BYTES = z.custom<Buffer>((value) => Buffer.isBuffer(value));

/** The body that a route takes. Where there is no rule, there is no body. */
export type BodyRule<B extends z.ZodType | undefined> =
  | {
      readonly kind: "json";
      readonly schema: B & z.ZodType;
      /** Default 65,536. */
      readonly bytesMax?: number;
      /** Default `application/json` alone. */
      readonly mediaTypes?: readonly string[];
      /** False where the body may be missing; the handler then sees `undefined`. Default true. */
      readonly required?: boolean;
    }
  | {
      /** `application/x-www-form-urlencoded`, each name at most once, checked as an object of strings. */
      readonly kind: "form";
      readonly schema: B & z.ZodType;
      readonly bytesMax?: number;
    }
  | {
      /** Read whole and not looked into: the handler gets a `Buffer`. */
      readonly kind: "bytes";
      /** {@link BYTES}. */
      readonly schema: B & z.ZodType;
      readonly bytesMax: number;
      readonly mediaTypes: readonly string[];
      readonly summary: string;
    }
  | {
      /** The handler reads `call.request` itself, without a limit of ours. */
      readonly kind: "stream";
      /** Types that are taken; absent for all, where a cookie's request may still be JSON alone. */
      readonly mediaTypes?: readonly string[];
      /** Types that a cookie's request may have where all are taken; JSON alone without it. None that a form can send. */
      readonly cookieMediaTypes?: readonly string[];
      readonly summary: string;
    };

/** One answer of a route, for the description. */
export interface ResponseRule {
  readonly description: string;
  readonly schema?: z.ZodType;
  /** Default `application/json` where there is a schema. */
  readonly mediaType?: string;
}

/** Who may call. Open classes want a reason, which the list of open routes shows. */
export type Access =
  | { readonly class: "public" | "page"; readonly reason: string }
  | {
      readonly class: Exclude<RouteClass, "public" | "page">;
      readonly reason?: never;
      /** What a key, service or device needs; a session is not asked. */
      readonly scope?: string;
      readonly role?: "admin";
      /**
       * The route asks about the caller's session: with `optional=1` in its query it is also answered without one, and
       * with `passive=1` the request is no activity that keeps the session alive.
       */
      readonly probe?: true;
    };

/** What a handler gets. */
export interface Call<P = undefined, Q = undefined, B = undefined> extends Asker {
  readonly method: string;
  readonly params: P;
  readonly query: Q;
  readonly body: B;
  /** Of a tail route: what follows its prefix, query included, byte for byte. "" for others. */
  readonly tail: string;
  /** Null on open routes, and on a probe with `optional=1` that nobody is signed in for. */
  readonly principal: Principal | null;
  /** The login cookie's value on open routes, unchecked; null elsewhere. */
  readonly cookie: string | null;
  readonly request: IncomingMessage;
  /** With the fields of every answer set on it. For a handler that answers `TAKEN`, as `answer` is. */
  readonly response: ServerResponse;
  /** In place of `response`, for a handler that has the bytes of its answer. */
  readonly answer: ByteAnswer;
  /** Says what went wrong after the handler has answered `TAKEN`, as an error that it throws does before. */
  readonly fail: (error: unknown) => void;
  /** Aborted when the client goes away or the server cuts the request. */
  readonly signal: AbortSignal;
}

/** One route as it is declared. */
export type RouteDeclaration<
  P extends z.ZodObject | undefined,
  Q extends z.ZodObject | undefined,
  B extends z.ZodType | undefined,
> = Access & {
  readonly method: RouteMethod;
  /**
   * `/api/devices/:id`; a last segment `*name` takes the rest of the path, byte for byte, and one like `token:rotate`
   * is a text with a verb, not a parameter.
   */
  readonly path: string;
  readonly summary: string;
  /** Answers to HEAD as to GET. Default true; false where GET uses something up. */
  readonly head?: boolean;
  /** On the internal listener alone. Implied by class `internal`. */
  readonly internalOnly?: boolean;
  /** Each `:name` of the path. A value that does not fit is 404, as one that is unknown. */
  readonly params?: P;
  readonly query?: Q;
  readonly body?: BodyRule<B>;
  readonly responses: Readonly<Record<number, ResponseRule>>;
  readonly handler: (call: Call<Optional<P>, Optional<Q>, Optional<B>>) => Reply | Promise<Reply>;
};

/** A declared route, its types forgotten. Made by {@link route} alone. */
export interface Route {
  readonly method: RouteMethod;
  readonly path: string;
  readonly class: RouteClass;
  /** Why an open route is open; "" for others. */
  readonly reason: string;
  readonly scope: string | null;
  readonly role: "admin" | null;
  readonly probe: boolean;
  readonly summary: string;
  readonly head: boolean;
  readonly internalOnly: boolean;
  readonly params: z.ZodObject | null;
  /** Each `:name` of the pattern, and which segment it is. */
  readonly pathParams: readonly { readonly name: string; readonly at: number }[];
  /** The pattern ends in `*name`. */
  readonly isTail: boolean;
  readonly query: z.ZodObject | null;
  readonly body: BodyRule<z.ZodType> | null;
  readonly responses: Readonly<Record<number, ResponseRule>>;
  readonly handler: (call: Call<unknown, unknown, unknown>) => Reply | Promise<Reply>;
}

/** Segments of a pattern: a text, `:name`, and at the end also `text:verb` or `*name`. */
const PATTERN =
  /^(?:\/(?:[A-Za-z0-9._-]+|:[a-z_]+))*\/(?:[A-Za-z0-9._-]*|[a-z]+:[a-z-]+|:[a-z_]+|\*[a-z_]+)$/;

/** Declares a route. Breaks an assertion where the declaration contradicts itself. */
export function route<
  P extends z.ZodObject | undefined = undefined,
  Q extends z.ZodObject | undefined = undefined,
  B extends z.ZodType | undefined = undefined,
>(declaration: RouteDeclaration<P, Q, B>): Route {
  const { method, path, class: routeClass, summary } = declaration;
  const where = `${method} ${path}`;
  // Compiled code is not the only caller there can be: a route without a class must never be served.
  assert(Object.hasOwn(CLASS_ADMITS, routeClass), `${where} has a class`);
  const reason = declaration.reason ?? "";
  const isOpen = CLASS_ADMITS[routeClass].length === 0;
  assert(
    isOpen === (reason.trim() !== ""),
    `${where} has a reason where it is open, and only there`,
  );
  assert(PATTERN.test(path), `${where} has a pattern that can be read`);
  assert(summary !== "", `${where} has a summary`);
  const names = path.split("/").flatMap((part) => (part.startsWith(":") ? [part.slice(1)] : []));
  const described = Object.keys(declaration.params?.shape ?? {});
  assert(names.sort().join() === described.sort().join(), `${where} describes its parameters`);
  assert(method !== "GET" || declaration.body === undefined, `${where} takes no body`);
  return {
    method,
    path,
    class: routeClass,
    reason,
    scope: "scope" in declaration ? (declaration.scope ?? null) : null,
    role: "role" in declaration ? (declaration.role ?? null) : null,
    probe: "probe" in declaration && declaration.probe === true,
    summary,
    head: declaration.head ?? true,
    internalOnly: declaration.internalOnly ?? routeClass === "internal",
    params: declaration.params ?? null,
    pathParams: path
      .slice(1)
      .split("/")
      .flatMap((part, at) => (part.startsWith(":") ? [{ name: part.slice(1), at }] : [])),
    isTail: path.includes("*"),
    query: declaration.query ?? null,
    body: (declaration.body as BodyRule<z.ZodType> | undefined) ?? null,
    responses: declaration.responses,
    // The pipeline hands over exactly what the schemas above give.
    handler: declaration.handler as Route["handler"],
  };
}
