import type { IncomingMessage, ServerResponse } from "node:http";
import type { Writable } from "node:stream";
import { HeldBody } from "./held-body.ts";

/** A body on its way. */
export interface Pump {
  /** Leaves the rest of the body where it is. */
  stop(): void;
}

/**
 * Sends a request's body on as it comes and ends `out` after it, at the pace of whichever is slower: `out`, or what `tap` gives to
 * wait for.
 *
 * @param tap is shown each piece before it is sent
 */
export function pumpBody(
  source: IncomingMessage,
  out: Writable,
  tap: ((piece: Buffer) => Promise<void> | null) | null,
): Pump {
  let waits = 0;
  let isStopped = false;

  const resume = (): void => {
    waits--;
    if (waits === 0 && !isStopped) source.resume();
  };
  const wait = (): void => {
    waits++;
    source.pause();
  };
  const onData = (piece: Buffer): void => {
    const taken = tap?.(piece) ?? null;
    if (taken !== null) {
      wait();
      void taken.then(resume);
    }
    if (!body.write(piece)) onFull();
  };
  const onFull = (): void => {
    wait();
    out.once("drain", resume);
  };
  const body = new HeldBody(out, onFull);
  const onEnd = (): void => {
    stop();
    body.end();
  };
  const onClose = (): void => {
    if (isStopped) return;
    stop();
    // Nobody wants the rest; the sender has to be rid of it before its next request.
    source.resume();
  };
  const stop = (): void => {
    if (isStopped) return;
    isStopped = true;
    source.off("data", onData);
    source.off("end", onEnd);
    out.off("close", onClose);
    source.pause();
  };

  if (source.readableEnded) {
    isStopped = true;
    body.end();
  } else {
    source.on("data", onData);
    source.on("end", onEnd);
    out.once("close", onClose);
    source.resume();
  }
  return { stop };
}

/**
 * Sends an answer's body on as it comes, at the pace of whoever takes it, and ends `out` with it. The head, which `out` must have
 * already, does not wait for a body that is late.
 */
export function relayBody(source: IncomingMessage, out: ServerResponse): void {
  const resume = (): void => void source.resume();
  const onFull = (): void => {
    source.pause();
    out.once("drain", resume);
  };
  const body = new HeldBody(out, onFull);
  body.begin(() => out.flushHeaders());
  source.on("data", (piece: Buffer) => {
    if (!body.write(piece)) onFull();
  });
  source.on("end", () => body.end());
}

/** Writes pieces one after another, each when there is room for it. Ends early, and quietly, where `out` is destroyed. */
export async function writeAll(pieces: AsyncIterable<Buffer>, out: Writable): Promise<void> {
  for await (const piece of pieces) {
    if (out.destroyed) return;
    if (out.write(piece)) continue;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        out.off("drain", done);
        out.off("close", done);
        resolve();
      };
      out.once("drain", done);
      out.once("close", done);
    });
  }
}
