import { createHash } from "node:crypto";

/** A small seeded generator: the same seed gives the same run. (Mulberry32.) */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** In [0, 1). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }

  /** Integer in [0, max). */
  below(max: number): number {
    return Math.floor(this.next() * max);
  }

  chance(share: number): boolean {
    return this.next() < share;
  }
}

/** What is cut in one exchange, and where. Byte positions count the head too. */
export type Cut =
  | { readonly kind: "none" }
  /** The client leaves after so many bytes of its request. */
  | { readonly kind: "client-request"; readonly at: number }
  /** The client leaves after so many bytes of the response. */
  | { readonly kind: "client-response"; readonly at: number }
  /** The device's service dies after so many bytes of the request body. */
  | { readonly kind: "device-request"; readonly at: number }
  /** The device's service dies after so many bytes of its response. */
  | { readonly kind: "device-response"; readonly at: number }
  /** The tunnel's connection dies after so many bytes towards the device, or from it. */
  | { readonly kind: "tunnel-request"; readonly at: number }
  | { readonly kind: "tunnel-response"; readonly at: number };

/** One exchange: what is sent, what is answered, what is cut. */
export interface Plan {
  readonly id: number;
  readonly device: number;
  readonly requestChunked: boolean;
  readonly responseChunked: boolean;
  readonly request: Buffer;
  readonly response: Buffer;
  readonly cut: Cut;
}

/** Bytes that every body is a slice of. */
const SOURCE_BYTES = 1 << 20;
const BODY_BYTES_MIN = 64 * 1024;
const BODY_BYTES_MAX = 400 * 1024;
/** About the size of a head in bytes: a cut below it is taken to be in the head. */
export const HEAD_BYTES = 200;

/** A tunnel that is cut takes every exchange on it along: those are kept rare. */
const TUNNEL_SHARE = 0.12;
const ONE_EXCHANGE = [
  "client-request",
  "client-response",
  "device-request",
  "device-response",
] as const;
const WHOLE_TUNNEL = ["tunnel-request", "tunnel-response"] as const;

/** The plans of a run. The same seed gives the same plans. */
export function makePlans(seed: number, count: number, devices: number): Plan[] {
  const random = new Random(seed);
  const source = Buffer.alloc(SOURCE_BYTES);
  for (let i = 0; i < SOURCE_BYTES; i += 4) source.writeUInt32LE(random.below(2 ** 32), i);
  const body = (): Buffer => {
    const length = BODY_BYTES_MIN + random.below(BODY_BYTES_MAX - BODY_BYTES_MIN);
    const start = random.below(SOURCE_BYTES - length);
    return source.subarray(start, start + length);
  };
  const plans: Plan[] = [];
  for (let id = 0; id < count; id++) {
    const request = body();
    const response = body();
    plans.push({
      id,
      device: random.below(devices),
      requestChunked: random.chance(0.5),
      responseChunked: random.chance(0.5),
      request,
      response,
      cut: makeCut(random, request.length, response.length),
    });
  }
  return plans;
}

function makeCut(random: Random, requestBytes: number, responseBytes: number): Cut {
  if (random.chance(0.25)) return { kind: "none" };
  const kinds = random.chance(TUNNEL_SHARE) ? WHOLE_TUNNEL : ONE_EXCHANGE;
  const kind = kinds[random.below(kinds.length)] ?? "client-request";
  const body = kind.endsWith("-request") ? requestBytes : responseBytes;
  return { kind, at: random.below(HEAD_BYTES + body) };
}

/** Hex SHA-256. */
export function digest(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}
