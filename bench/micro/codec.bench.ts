import { Decoder, type FrameSink } from "../../src/mux/decoder.ts";
import { encodeHeader, uint16At, uint32At } from "../../src/mux/frame.ts";
import type { MicroBench } from "./micro-bench.ts";

const HEADER_BYTES = 12;
const FRAMES = 1_000;
const Type = { DATA: 0, WINDOW_UPDATE: 1 } as const;

const headers = new Uint8Array(FRAMES * HEADER_BYTES);
for (let at = 0; at < FRAMES; at++) {
  encodeHeader(headers, at * HEADER_BYTES, Type.WINDOW_UPDATE, 0, 2 * at + 1, 65_536 + at);
}

/** Adds up what a decoder reports. */
class Sum implements FrameSink {
  value = 0;
  frameOnData(flags: number, streamId: number, length: number): void {
    this.value = (this.value + flags + streamId + length) | 0;
  }
  frameOnPayload(_chunk: Uint8Array, start: number, end: number): void {
    this.value = (this.value + end - start) | 0;
  }
  frameOnDataEnd(): void {
    this.value = (this.value + 1) | 0;
  }
  frameOnControl(type: number, flags: number, streamId: number, length: number): void {
    this.value = (this.value + type + flags + streamId + length) | 0;
  }
  frameOnInvalid(): void {
    throw new Error("the bench's own frames are refused");
  }
}

/** Frames of a Data payload of `bytes` each, one after another. */
function dataFrames(count: number, bytes: number): Uint8Array {
  const all = new Uint8Array(count * (HEADER_BYTES + bytes));
  for (let at = 0; at < count; at++) {
    encodeHeader(all, at * (HEADER_BYTES + bytes), Type.DATA, 0, 2 * at + 1, bytes);
  }
  return all;
}

/** Cuts bytes at offsets that `next` gives. */
function cut(bytes: Uint8Array, next: (from: number) => number): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = Math.min(bytes.length, next(at));
    pieces.push(bytes.slice(at, end));
    at = end;
  }
  return pieces;
}

function decoding(id: string, title: string, messages: readonly Uint8Array[]): MicroBench {
  const decoder = new Decoder();
  const run = (): number => {
    const sum = new Sum();
    for (const message of messages) decoder.feed(message, sum);
    return sum.value;
  };
  return { id, title, operations: FRAMES, reference: "bytes", run };
}

const SMALL_BYTES = 120;
const small = dataFrames(FRAMES, SMALL_BYTES);
/** hashicorp/yamux sends a frame's header and its payload as two messages. */
const goMessages = cut(small, (at) =>
  at % (HEADER_BYTES + SMALL_BYTES) === 0 ? at + HEADER_BYTES : at + SMALL_BYTES,
);
/** Steps that share no factor with a frame's length, so that every place of a cut comes up. */
const oddMessages = cut(small, (at) => at + 61 + (at % 7));
/** The same frame a thousand times: reading 64 KiB of payload once is enough. */
const [large = new Uint8Array()] = cut(dataFrames(1, 65_536), () => 1 << 20);

/** Bytes to frames and back. */
export const CODEC_BENCHES: readonly MicroBench[] = [
  {
    id: "header_encode",
    title: "a header written",
    operations: FRAMES,
    reference: "bytes",
    run() {
      for (let at = 0; at < FRAMES; at++) {
        encodeHeader(headers, at * HEADER_BYTES, Type.WINDOW_UPDATE, 0, 2 * at + 1, 65_536 + at);
      }
      return uint32At(headers, 8) + uint32At(headers, (FRAMES - 1) * HEADER_BYTES + 4);
    },
  },
  {
    id: "header_decode",
    title: "the fields of a header read",
    operations: FRAMES,
    reference: "bytes",
    run() {
      let sum = 0;
      for (let at = 0; at < headers.length; at += HEADER_BYTES) {
        sum = (sum + uint16At(headers, at + 2) + uint32At(headers, at + 4)) | 0;
        sum = (sum + uint32At(headers, at + 8)) | 0;
      }
      return sum;
    },
  },
  decoding("decode_small", "a frame among many in one message", [small]),
  decoding("decode_go", "a frame in two messages, header and payload", goMessages),
  decoding("decode_odd", "a frame cut at odd places", oddMessages),
  decoding(
    "decode_64k",
    "a frame of 64 KiB, a message of its own",
    Array.from({ length: FRAMES }, () => large),
  ),
];
