/**
 * Loaded into the relay's process before the relay (`node --import`): reads its heap, and counts the bytes that its JavaScript
 * copies. `?copies` in its URL asks for the latter, which makes every copy slower. The parent asks over the IPC channel.
 */

/** What the parent asks. */
export type ProbeQuestion = "heap" | "collected" | "copies";

/** Bytes on the JavaScript heap, the same after a collection, or bytes copied so far. */
export interface ProbeAnswer {
  readonly question: ProbeQuestion;
  readonly value: number;
}

let copied = 0;

/** Replaces one method by one that counts before it works. */
function counting(
  owner: object,
  name: string,
  bytesOf: (self: unknown, args: readonly unknown[], result: unknown) => number,
): void {
  const original: unknown = Reflect.get(owner, name);
  if (typeof original !== "function") throw new Error(`${name} is no method`);
  Object.defineProperty(owner, name, {
    configurable: true,
    writable: true,
    value(this: unknown, ...args: unknown[]) {
      const result: unknown = Reflect.apply(original, this, args);
      copied += bytesOf(this, args, result);
      return result;
    },
  });
}

function lengthOf(value: unknown): number {
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return value.byteLength;
  return Array.isArray(value) ? value.length : 0;
}

/** Every way by which bytes get from one place to another in JavaScript. What uWS copies natively is not seen. */
function countCopies(): void {
  const typedArray: object = Object.getPrototypeOf(Uint8Array.prototype);
  const numberOf = (_self: unknown, _args: readonly unknown[], result: unknown): number =>
    typeof result === "number" ? result : 0;
  const made = (_self: unknown, _args: readonly unknown[], result: unknown): number =>
    lengthOf(result);
  counting(typedArray, "set", (_self, [source]) => lengthOf(source));
  counting(typedArray, "slice", made);
  counting(typedArray, "copyWithin", (self, [, start = 0, end]) => {
    return (typeof end === "number" ? end : lengthOf(self)) - Number(start);
  });
  counting(ArrayBuffer.prototype, "slice", made);
  counting(Buffer.prototype, "copy", numberOf);
  counting(Buffer.prototype, "write", numberOf);
  for (const name of ["latin1Write", "asciiWrite", "utf8Write"]) {
    counting(Buffer.prototype, name, numberOf);
  }
  counting(Buffer, "concat", made);
  counting(Buffer, "from", (_self, [source], result) =>
    source instanceof ArrayBuffer ? 0 : lengthOf(result),
  );
}

if (import.meta.url.endsWith("?copies")) countCopies();

process.on("message", (question: ProbeQuestion) => {
  if (question === "collected") globalThis.gc?.();
  const value = question === "copies" ? copied : process.memoryUsage().heapUsed;
  process.send?.({ question, value } satisfies ProbeAnswer);
});
// The relay ends when it is told to, whether or not somebody listens here.
process.channel?.unref();
