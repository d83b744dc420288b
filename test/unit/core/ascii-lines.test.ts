import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { AsciiLines, LinePiece } from "../../../src/core/ascii-lines.ts";

class Blocks {
  readonly blocks: Uint8Array[] = [];

  write(lines: Uint8Array): void {
    this.blocks.push(lines);
  }

  get text(): string {
    return Buffer.concat(this.blocks).toString("latin1");
  }
}

describe("AsciiLines", () => {
  it("changes a number inside a piece, wherever it stands and nothing beside it", () => {
    for (let at = 0; at < 9; at++) {
      const sink = new Blocks();
      const lines = new AsciiLines(sink);
      const before = "abcdefghi".slice(0, at);
      const piece = new LinePiece(`${before}1234567890123xyz`);
      for (const number of [9_999_999_999_999, 1_000_000_000_000, 1_234_567_890_120]) {
        piece.putNumber(at, 13, number);
        lines.reserve(64, 0);
        lines.piece(piece);
        lines.flush();
        assert.equal(sink.text, `${before}${number}xyz`);
        sink.blocks.length = 0;
      }
    }
  });

  it("writes whole numbers in decimal, those beyond 31 bits too", () => {
    const sink = new Blocks();
    const lines = new AsciiLines(sink);
    const numbers = [0, 1, 9, 10, 99, 100, 65_535, 2 ** 31 - 1, 2 ** 31, 2 ** 53 - 1];
    numbers.push(2_148_000_000, 2_148_000_007, 1_700_000_000_123, 2 ** 31 * 1e6 - 1, 2 ** 31 * 1e6);
    for (const number of numbers) {
      lines.reserve(32, 0);
      lines.number(number);
      lines.piece(new LinePiece(" "));
    }
    lines.flush();
    assert.equal(sink.text, numbers.map((number) => `${number} `).join(""));
  });

  it("writes pieces of any length", () => {
    const sink = new Blocks();
    const lines = new AsciiLines(sink);
    for (const length of [0, 1, 2, 3, 4, 5, 8, 300]) {
      lines.reserve(length, 0);
      lines.piece(new LinePiece("a".repeat(length)));
    }
    lines.flush();
    assert.equal(sink.text, "a".repeat(323));
  });

  it("finds room for a text of any length that needs every escape", () => {
    const sink = new Blocks();
    const lines = new AsciiLines(sink);
    const text = "é".repeat(100_000);
    lines.reserve(2, text.length);
    lines.piece(new LinePiece('"'));
    lines.text(text);
    lines.piece(new LinePiece('"'));
    lines.flush();
    assert.equal(JSON.parse(sink.text), text);
  });

  it("never touches again what it has handed on", () => {
    const sink = new Blocks();
    const lines = new AsciiLines(sink);
    for (let round = 0; round < 5_000; round++) {
      lines.reserve(64, 0);
      lines.number(round);
      lines.piece(new LinePiece("\n"));
      if (round % 7 === 0) lines.flush();
    }
    lines.flush();
    const expected = Array.from({ length: 5_000 }, (_, round) => `${round}\n`).join("");
    assert.equal(sink.text, expected);
  });

  it("hands nothing on where there is nothing", () => {
    const sink = new Blocks();
    const lines = new AsciiLines(sink);
    lines.flush();
    lines.reserve(10, 0);
    lines.flush();
    assert.equal(sink.blocks.length, 0);
  });
});
