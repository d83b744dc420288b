import assert from "node:assert/strict";
import { Writable } from "node:stream";
import { describe, it, type TestContext } from "node:test";
import { setImmediate as turnEnded } from "node:timers/promises";
import { HELD_BYTES_MAX, HeldBody } from "../../../src/access-proxy/held-body.ts";

/** A destination that keeps the order of what reaches it; one that is full takes the rest when `drain` is called. */
function destination(t: TestContext, name: string, seen: string[]) {
  const waiting: (() => void)[] = [];
  const state = { isFull: false };
  const out = new Writable({
    highWaterMark: 4,
    write(piece: Buffer, _encoding, done) {
      seen.push(`${name} ${piece.length > 8 ? piece.length : piece}`);
      if (state.isFull) waiting.push(done);
      else done();
    },
    final(done) {
      seen.push(`${name} end`);
      done();
    },
  });
  t.after(() => out.destroy());
  const drain = (): void => {
    state.isFull = false;
    for (const done of waiting.splice(0)) done();
  };
  return { out, state, drain };
}

describe("a body that waits for the end of its turn", () => {
  it("leaves with its end and with all others of the turn, in the order in which they came", async (t) => {
    const seen: string[] = [];
    for (const name of ["a", "b"]) {
      const body = new HeldBody(destination(t, name, seen).out, null);
      body.write(Buffer.from("one"));
      body.end();
    }
    await Promise.resolve();
    assert.equal(seen.length, 0, "the turn is not over");
    await turnEnded();
    assert.deepEqual(
      seen.filter((line) => !line.endsWith("end")),
      ["a one", "b one"],
    );
    assert.deepEqual(seen.filter((line) => line.endsWith("end")).sort(), ["a end", "b end"]);
  });

  it("without a piece ends at the end of the turn", async (t) => {
    const seen: string[] = [];
    new HeldBody(destination(t, "a", seen).out, null).end();
    assert.equal(seen.length, 0);
    await turnEnded();
    assert.deepEqual(seen, ["a end"]);
  });

  it("holds one piece: the next one goes at once, behind it, and none is sent twice", async (t) => {
    const seen: string[] = [];
    const body = new HeldBody(destination(t, "a", seen).out, null);
    body.write(Buffer.from("one"));
    body.write(Buffer.from("two"));
    assert.deepEqual(seen, ["a one", "a two"]);
    body.write(Buffer.from("three"));
    await turnEnded();
    await turnEnded();
    assert.deepEqual(seen, ["a one", "a two", "a three"]);
    body.end();
    await turnEnded();
    assert.deepEqual(seen.slice(3), ["a end"]);
  });

  it("holds a piece of the most that may wait, and none that is larger", async (t) => {
    const seen: string[] = [];
    const body = new HeldBody(destination(t, "a", seen).out, null);
    body.write(Buffer.alloc(HELD_BYTES_MAX));
    assert.equal(seen.length, 0);
    await turnEnded();
    body.write(Buffer.alloc(HELD_BYTES_MAX + 1));
    assert.deepEqual(seen, [`a ${HELD_BYTES_MAX}`, `a ${HELD_BYTES_MAX + 1}`]);
  });

  it("says that there is no room: a piece at once, one that waited when it leaves", async (t) => {
    const seen: string[] = [];
    const { out, state, drain } = destination(t, "a", seen);
    state.isFull = true;
    let told = 0;
    const body = new HeldBody(out, () => told++);
    assert.equal(body.write(Buffer.from("one two")), true);
    await turnEnded();
    assert.equal(told, 1);
    body.write(Buffer.from("three"));
    assert.equal(body.write(Buffer.from("four")), false);
    drain();
    await turnEnded();
    assert.deepEqual(seen, ["a one two", "a three", "a four"]);
    assert.equal(told, 1, "whoever was told by the result is not told again");
  });

  it("sends nothing into what is destroyed meanwhile", async (t) => {
    const seen: string[] = [];
    const { out } = destination(t, "a", seen);
    const errors: unknown[] = [];
    out.on("error", (error) => errors.push(error));
    const body = new HeldBody(out, null);
    body.write(Buffer.from("one"));
    body.end();
    out.destroy();
    await turnEnded();
    assert.equal(body.write(Buffer.alloc(HELD_BYTES_MAX + 1)), true);
    await turnEnded();
    assert.deepEqual([seen, errors], [[], []]);
  });
});
