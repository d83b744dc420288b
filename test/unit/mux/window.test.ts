import assert from "node:assert/strict";
import { test } from "node:test";
import {
  creditDue,
  sendableBytes,
  tunedWindow,
  windowAfterCredit,
} from "../../../src/mux/window.ts";

const WINDOW = 262_144;

test("credit is due from half a window on", () => {
  assert.equal(creditDue(WINDOW, 0, WINDOW), 0);
  assert.equal(creditDue(WINDOW, 0, WINDOW - 131_071), 0);
  assert.equal(creditDue(WINDOW, 0, WINDOW - 131_072), 131_072);
  assert.equal(creditDue(WINDOW, 0, 0), WINDOW);
});

test("bytes that nobody consumed bring no credit", () => {
  assert.equal(creditDue(WINDOW, WINDOW, 0), 0);
  assert.equal(creditDue(WINDOW, 131_073, 0), 0);
  assert.equal(creditDue(WINDOW, 131_072, 0), 131_072);
});

test("a window that was raised brings the difference", () => {
  assert.equal(creditDue(2 * WINDOW, 0, 131_072), 2 * WINDOW - 131_072);
});

test("a send window has 32 bits", () => {
  assert.equal(windowAfterCredit(WINDOW, 1), WINDOW + 1);
  assert.equal(windowAfterCredit(0xffff_fffe, 1), 0xffff_ffff);
  assert.equal(windowAfterCredit(0xffff_ffff, 1), -1);
  assert.equal(windowAfterCredit(0xffff_ffff, 0xffff_ffff), -1);
});

test("little credit is saved up, unless it covers all that waits", () => {
  const rows = [
    [0, 0, 0],
    [0, 5, 0],
    [1, 0, 0],
    [10, 10, 10],
    [10, 9, 0],
    [1_000_000, 1_023, 0],
    [1_000_000, 1_024, 1_024],
    [1_023, 1_023, 1_023],
    [1_000, 500_000, 1_000],
  ] as const;
  for (const [queued, credit, sendable] of rows) {
    assert.equal(sendableBytes(queued, credit), sendable, `${queued} queued, credit ${credit}`);
  }
});

test("a window doubles when its credits come within two round trips each, up to the limit", () => {
  const limit = 1_000_000;
  assert.equal(tunedWindow(WINDOW, limit, 10, 0), WINDOW, "unknown round trip");
  assert.equal(tunedWindow(WINDOW, limit, 159, 20), 2 * WINDOW);
  assert.equal(tunedWindow(WINDOW, limit, 160, 20), WINDOW);
  assert.equal(tunedWindow(2 * WINDOW, limit, 10, 20), limit);
  assert.equal(tunedWindow(limit, limit, 2, 20), limit);
  assert.equal(tunedWindow(2 * limit, limit, 2, 20), 2 * limit, "it never shrinks");
  assert.equal(tunedWindow(WINDOW, limit, 7.9, 0.01), 2 * WINDOW, "1 ms is the least round trip");
  assert.equal(tunedWindow(WINDOW, limit, 8, 0.01), WINDOW);
});
