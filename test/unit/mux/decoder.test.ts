import assert from "node:assert/strict";
import { test } from "node:test";
import { Decoder, type FrameSink } from "../../../src/mux/decoder.ts";

/** Writes down what a decoder reports; payload pieces of one frame are joined. */
class Recorder implements FrameSink {
  readonly events: string[] = [];
  readonly decoder = new Decoder();
  payload = "";
  haltOn = "";

  frameOnData(flags: number, streamId: number, length: number): void {
    this.note(`data ${flags} ${streamId} ${length}`);
  }

  frameOnPayload(chunk: Uint8Array, start: number, end: number): void {
    this.payload += Buffer.from(chunk.subarray(start, end)).toString("latin1");
  }

  frameOnDataEnd(): void {
    this.note(`end "${this.payload}"`);
    this.payload = "";
  }

  frameOnControl(type: number, flags: number, streamId: number, length: number): void {
    this.note(`control ${type} ${flags} ${streamId} ${length}`);
  }

  frameOnInvalid(version: number, type: number): void {
    this.note(`invalid ${version} ${type}`);
    this.decoder.halted = true;
  }

  feed(hex: string): void {
    this.decoder.feed(Buffer.from(hex, "hex"), this);
  }

  private note(event: string): void {
    this.events.push(event);
    if (event === this.haltOn) this.decoder.halted = true;
  }
}

const cases: ReadonlyArray<readonly [what: string, hex: string, events: string[]]> = [
  ["a window update", "0001000000000001000f4240", ["control 1 0 1 1000000"]],
  [
    "a window update, then a ping: no payload follows either",
    "0001000000000001000f4240000200010000000000000005",
    ["control 1 0 1 1000000", "control 2 1 0 5"],
  ],
  [
    "data and a header",
    "00000000000000010000000568656c6c6f000300000000000000000000",
    ["data 0 1 5", 'end "hello"', "control 3 0 0 0"],
  ],
  ["empty data", "000000040000000100000000", ["data 4 1 0", 'end ""']],
  [
    "fields above 2^31",
    "0001800180000001ffffffff",
    [`control 1 ${0x8001} ${0x80000001} ${0xffffffff}`],
  ],
  ["an unknown version", "010000000000000100000000", ["invalid 1 0"]],
  ["an unknown type, and what follows is not read", `00ff${"00".repeat(30)}`, ["invalid 0 255"]],
];

for (const [what, hex, events] of cases) {
  test(`${what}, cut anywhere`, () => {
    for (let cut = 0; cut <= hex.length; cut += 2) {
      const recorder = new Recorder();
      recorder.feed(hex.slice(0, cut));
      recorder.feed(hex.slice(cut));
      assert.deepEqual(recorder.events, events, `cut at byte ${cut / 2}`);
    }
    const single = new Recorder();
    for (let at = 0; at < hex.length; at += 2) single.feed(hex.slice(at, at + 2));
    assert.deepEqual(single.events, events);
  });
}

test("a decoder that was halted inside a frame reports nothing more", () => {
  const recorder = new Recorder();
  recorder.haltOn = "data 0 1 5";
  recorder.feed("00000000000000010000000568656c6c6f000300000000000000000000");
  assert.deepEqual(recorder.events, ["data 0 1 5"]);
  assert.equal(recorder.payload, "");
  recorder.feed("000300000000000000000000");
  assert.deepEqual(recorder.events, ["data 0 1 5"]);
});

test("midFrame tells whether a frame is incomplete", () => {
  const recorder = new Recorder();
  assert.equal(recorder.decoder.midFrame, false);
  recorder.feed("0000");
  assert.equal(recorder.decoder.midFrame, true);
  recorder.feed("00000000000100000002");
  assert.equal(recorder.decoder.midFrame, true);
  recorder.feed("6869");
  assert.equal(recorder.decoder.midFrame, false);
  assert.deepEqual(recorder.events, ["data 0 1 2", 'end "hi"']);
});
