/** One operation of the hot path, measured against work that has nothing to do with it. */
export interface MicroBench {
  readonly id: string;
  /** What one call does, for the printed table. */
  readonly title: string;
  /** Operations that one call does: times are told for one of them. */
  readonly operations: number;
  readonly reference: ReferenceId;
  /** Does the work. @returns a number made of what was done, the same each time, so that nothing can be left out */
  readonly run: () => number;
  /** Lets go of what it holds. */
  readonly close?: () => void;
}

/** Makes a bench, which may need files. */
export type MicroBenchMaker = () => MicroBench | Promise<MicroBench>;

/**
 * What a bench is compared with, in the same run, in turn: plain integer work over bytes, for what reads and writes bytes;
 * and the reading of a fixed JSON text, which makes objects and strings, for what works with those. Both are in the cache and
 * call no system, as what is measured: so a neighbour slows both sides alike.
 */
export type ReferenceId = "bytes" | "objects";

const BYTES = Uint8Array.from({ length: 16_384 }, (_, at) => (at * 167 + 13) & 0xff);
const TEXT = JSON.stringify(
  Array.from({ length: 64 }, (_, at) => ({ id: at, name: `device-${at}`, tags: ["a", "b"] })),
);

export const REFERENCES: Readonly<Record<ReferenceId, () => number>> = {
  bytes() {
    let sum = 0x811c9dc5;
    for (let at = 0; at < BYTES.length; at++) {
      sum = Math.imul(sum ^ (BYTES[at] ?? 0), 0x01000193);
    }
    return sum >>> 0;
  },
  objects() {
    const parsed: { id: number; tags: string[] }[] = JSON.parse(TEXT);
    let sum = 0;
    for (const { id, tags } of parsed) sum += id + tags.length;
    return sum;
  },
};
