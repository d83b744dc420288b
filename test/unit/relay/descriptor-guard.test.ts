import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { DescriptorGuard } from "../../../src/relay/descriptor-guard.ts";

/** A guard of two listeners over `free` descriptors. */
class Bench {
  free: number;
  readonly events: string[] = [];
  readonly guard: DescriptorGuard;

  constructor(free: number) {
    this.free = free;
    const listener = (name: string) => ({
      pause: () => void this.events.push(`pause ${name}`),
      resume: () => void this.events.push(`resume ${name}`),
    });
    this.guard = new DescriptorGuard(
      [listener("edge"), listener("internal")],
      (accepting) => void this.events.push(`accepting ${accepting}`),
      {
        take: () => {
          if (this.free === 0) throw new Error("EMFILE");
          this.free -= 1;
          return this.free;
        },
        giveBack: () => {
          this.free += 1;
        },
      },
    );
  }

  /** What the next check does. */
  check(): string[] {
    this.guard.check();
    return this.events.splice(0);
  }
}

describe("DescriptorGuard", () => {
  it("keeps a reserve, and does nothing while a descriptor is left", () => {
    const bench = new Bench(17);
    assert.equal(bench.free, 1);
    assert.deepEqual(bench.check(), []);
    assert.equal(bench.free, 1);
  });

  it("pauses the edge when none is left, and the reserve is free then", () => {
    const bench = new Bench(16);
    assert.deepEqual(bench.check(), ["pause edge", "accepting false"]);
    assert.equal(bench.free, 16);
    assert.deepEqual(bench.check(), []);
  });

  it("pauses the internal listener too when the reserve is used up, then nothing more", () => {
    const bench = new Bench(16);
    bench.check();
    bench.free = 0;
    assert.deepEqual(bench.check(), ["pause internal"]);
    assert.deepEqual(bench.check(), []);
  });

  it("resumes both when the reserve and some more are free, and keeps the reserve again", () => {
    const bench = new Bench(16);
    bench.check();
    bench.free = 0;
    bench.check();
    bench.free = 31;
    assert.deepEqual(bench.check(), []);
    assert.equal(bench.free, 31);
    bench.free = 32;
    assert.deepEqual(bench.check(), ["resume edge", "resume internal", "accepting true"]);
    assert.equal(bench.free, 16);
  });

  it("gives the reserve back at its end", () => {
    const bench = new Bench(20);
    bench.guard.close();
    assert.equal(bench.free, 20);
  });
});
