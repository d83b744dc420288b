import type { MuxOptions } from "../../../src/mux/index.ts";
import type { Prng } from "../../support/mux/prng.ts";

/** How a schedule ends its session. */
export type Ending = "complete" | "cut" | "close" | "drain" | "silence" | "drop";

/** What one schedule is like; drawn from its seed. */
export interface Profile {
  /** True: no resets and no idle times, so every stream must complete without error. */
  readonly calm: boolean;
  readonly ending: Ending;
  readonly steps: number;
  readonly optionsA: Partial<MuxOptions>;
  readonly optionsB: Partial<MuxOptions>;
  readonly kernelBytes: number;
  readonly streamsMax: number;
  /** Largest piece of a delivery, bytes. */
  readonly pieceMax: number;
  /** True: some streams carry more than a window. */
  readonly heavy: boolean;
  /** One accept in this many is put off. */
  readonly lateAccept: number;
  /** One consumption in this many is put off. */
  readonly lateConsume: number;
  /** Clock moves at most so far between two steps, ms. */
  readonly stepMsMax: number;
}

const KIB = 1_024;
const WINDOW = 256 * KIB;

function drawOptions(prng: Prng): Partial<MuxOptions> {
  const initialWindowBytes = prng.pick([WINDOW, WINDOW, WINDOW, 300_000, 700_000]);
  const wsHighWaterBytes = prng.pick([4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB]);
  return {
    initialWindowBytes,
    maxWindowBytes: prng.oneIn(2) ? initialWindowBytes : 1_024 * KIB,
    maxDataFrameBytes: prng.pick([1 * KIB, 4 * KIB, 16 * KIB, 16 * KIB]),
    wsHighWaterBytes,
    wsLowWaterBytes: wsHighWaterBytes / 4,
    maxStreamSendQueueBytes: prng.pick([8 * KIB, 64 * KIB, 256 * KIB]),
    maxSessionSendQueueBytes: prng.pick([64 * KIB, 256 * KIB, 4_096 * KIB]),
    acceptBacklog: prng.oneIn(4) ? prng.between(1, 3) : 256,
    maxInboundStreams: prng.oneIn(6) ? prng.between(1, 3) : 1_024,
    maxUnackedOpens: prng.oneIn(3) ? prng.between(1, 3) : 256,
    finHoldMs: prng.pick([0, 3, 1_000]),
    hardWsMessageOut: prng.oneIn(4),
    maxWsMessageOutBytes: prng.pick([4 * KIB, 32 * KIB, 64 * KIB + 12]),
    guardPeer: prng.oneIn(2),
  };
}

/** Draws the profile of a schedule. */
export function drawProfile(prng: Prng): Profile {
  const calm = prng.oneIn(2);
  const ending: Ending = calm
    ? prng.pick(["complete", "complete", "complete", "drain"])
    : prng.pick(["complete", "cut", "cut", "cut", "close", "drain", "silence", "drop"]);
  return {
    calm,
    ending,
    steps: prng.between(30, calm ? 300 : 500),
    optionsA: drawOptions(prng),
    optionsB: drawOptions(prng),
    kernelBytes: prng.pick([1, 500, 5_000, 50_000, 50_000_000]),
    streamsMax: prng.between(1, 12),
    pieceMax: prng.pick([1, 13, 200, 5_000, 100_000, 1_000_000]),
    heavy: prng.oneIn(3),
    lateAccept: prng.pick([1, 3, 1_000_000]),
    lateConsume: prng.pick([1, 2, 1_000_000]),
    stepMsMax: prng.pick([0, 1, 10]),
  };
}
