/** A regression on purpose: while requests come, the event loop stands still for 2 ms, every four milliseconds. */
import { Session } from "../../../src/mux/session.ts";

const STALL_MS = 2;
const EVERY_MS = 4;
const cell = new Int32Array(new SharedArrayBuffer(4));
let stalledAt = performance.now();

const { receive } = Session.prototype;
Session.prototype.receive = function stalling(chunk) {
  const now = performance.now();
  if (now - stalledAt >= EVERY_MS) {
    Atomics.wait(cell, 0, 0, STALL_MS);
    stalledAt = now;
  }
  receive.call(this, chunk);
};
