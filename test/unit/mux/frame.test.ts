import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeHeader, uint16At, uint32At } from "../../../src/mux/frame.ts";

const rows: ReadonlyArray<
  readonly [what: string, hex: string, type: number, flags: number, id: number, length: number]
> = [
  ["open, default window", "000100010000000100000000", 1, 1, 1, 0],
  ["open, 1 MiB window", "0001000100000001000c0000", 1, 1, 1, 786_432],
  ["accept", "000100020000000100000000", 1, 2, 1, 0],
  ["data of 5", "000000000000000100000005", 0, 0, 1, 5],
  ["credit", "000100000000000100020000", 1, 0, 1, 131_072],
  ["half-close", "000100040000000100000000", 1, 4, 1, 0],
  ["reset", "000100080000000100000000", 1, 8, 1, 0],
  ["ping", "0002000100000000deadbeef", 2, 1, 0, 0xdeadbeef],
  ["pong", "0002000200000000deadbeef", 2, 2, 0, 0xdeadbeef],
  ["go away", "000300000000000000000002", 3, 0, 0, 2],
  ["all bits", "0001fffffffffffeffffffff", 1, 0xffff, 0xfffffffe, 0xffffffff],
];

for (const [what, hex, type, flags, id, length] of rows) {
  test(`${what} is ${hex}`, () => {
    const target = new Uint8Array(20).fill(0xaa);
    assert.equal(encodeHeader(target, 4, type, flags, id, length), 16);
    assert.equal(Buffer.from(target.subarray(4, 16)).toString("hex"), hex);
    assert.deepEqual([...target.subarray(0, 4), ...target.subarray(16)], new Array(8).fill(0xaa));
    assert.equal(uint16At(target, 6), flags);
    assert.equal(uint32At(target, 8), id);
    assert.equal(uint32At(target, 12), length);
  });
}
