/** One plausible mistake in the multiplexer, as a change of its source. */
export interface PlantedBug {
  readonly name: string;
  /** File under src/mux, without its ending. */
  readonly file: string;
  /** Text that must occur exactly once, blanks and line ends apart. Holds no types, so that it is found in the compiled file too. */
  readonly find: string;
  readonly replace: string;
}

/** Each of these must make the simulation fail. */
export const PLANTED_BUGS: readonly PlantedBug[] = [
  {
    name: "credit for bytes that were received and not consumed",
    file: "recv-memory",
    find: "const delta = stream.recvWindowMax - buffered - stream.recvWindow;",
    replace: "const delta = stream.recvWindowMax - stream.recvWindow;",
  },
  {
    name: "credit after the peer's FIN",
    file: "recv-memory",
    find: "if (!stream.closed && !stream.remoteEnded) appendCredit(session, stream);",
    replace: "if (!stream.closed) appendCredit(session, stream);",
  },
  {
    name: "pending credit lost at the flush",
    file: "recv-memory",
    find: "stream = next; } } function appendCredit",
    replace: "stream = null; } } function appendCredit",
  },
  {
    name: "FIN before queued data",
    file: "sender",
    find: "session.lowerDue(stream.finHoldUntil); } if (stream.queuedBytes === 0) sendFinWhenDue(stream);",
    replace: "session.lowerDue(stream.finHoldUntil); } sendFinWhenDue(stream);",
  },
  {
    name: "FIN not held for the ACK",
    file: "sender",
    find: "if (!stream.inbound && !stream.acked && session.clock.now() < stream.finHoldUntil) return;",
    replace: "",
  },
  {
    name: "FIN sent twice",
    file: "sender",
    find: "appendFrame(session, FrameType.WINDOW_UPDATE, Flag.FIN, stream.id, 0);",
    replace:
      "appendFrame(session, FrameType.WINDOW_UPDATE, Flag.FIN, stream.id, 0); if (stream.inbound) appendFrame(session, FrameType.WINDOW_UPDATE, Flag.FIN, stream.id, 0);",
  },
  {
    name: "ACK sent twice",
    file: "inbound",
    find: "appendFrame(session, FrameType.WINDOW_UPDATE, Flag.ACK, stream.id, extra);",
    replace:
      "appendFrame(session, FrameType.WINDOW_UPDATE, Flag.ACK, stream.id, extra); if (stream.remoteEnded) appendFrame(session, FrameType.WINDOW_UPDATE, Flag.ACK, stream.id, extra);",
  },
  {
    name: "credit of the SYN not counted",
    file: "inbound",
    find: "if (!isData && length > 0) addCredit(session, stream, length);",
    replace: "",
  },
  {
    name: "receive window off by one",
    file: "inbound",
    find: "if (length > stream.recvWindow) {",
    replace: "if (length >= stream.recvWindow) {",
  },
  {
    name: "send window not charged for queued frames",
    file: "sender",
    find: "const n = Math.min(most, room); const batch = n > 0 ? roomFor(session, HEADER_BYTES + n) : null; if (batch === null) return false; chargeFrame(session, stream, n);",
    replace:
      "const n = Math.min(most, room); const batch = n > 0 ? roomFor(session, HEADER_BYTES + n) : null; if (batch === null) return false;",
  },
  {
    name: "straddled header loses a byte",
    file: "decoder",
    find: "this.carried += 1;",
    replace: "this.carried += at === end && this.carried === 10 ? 0 : 1;",
  },
  {
    name: "payload continued at the wrong offset",
    file: "decoder",
    find: "sink.frameOnPayload(chunk, start, at);",
    replace:
      "sink.frameOnPayload(chunk, start === 0 && at < end && at > 1 ? start + 1 : start, at);",
  },
  {
    name: "RST answered with RST",
    file: "inbound",
    find: "session.counters.lastResetLength = length;",
    replace:
      "session.counters.lastResetLength = length; appendFrame(session, FrameType.WINDOW_UPDATE, Flag.RST, stream.id, 0);",
  },
  {
    name: "data of a frame in progress delivered after our reset",
    file: "lifecycle",
    find: "if (session.inStream === stream) session.inStream = null;",
    replace: "",
  },
  {
    name: "rest of a queue forgotten after its turn",
    file: "sender",
    find: "if (queue.bytes > 0) linkIntoRing(session, stream); else queueDrained(session, stream);",
    replace: "if (queue.bytes === 0) queueDrained(session, stream);",
  },
  {
    name: "id of a stream that was reset used again",
    file: "lifecycle",
    find: "session.streams?.delete(stream.id);",
    replace:
      "session.streams?.delete(stream.id); if (stream.id === session.nextStreamId - 2) session.nextStreamId -= 2;",
  },
  {
    name: "GoAway(0) closes running streams",
    file: "go-away",
    find: "if (code !== GoAwayCode.NORMAL) {",
    replace: "if (code !== GoAwayCode.NORMAL || session.streamCount > 3) {",
  },
  {
    name: "streams accepted after our GoAway",
    file: "inbound",
    find: "session.refusesStreams ||",
    replace: "",
  },
  {
    name: "data that came before the accept is lost",
    file: "inbound",
    find: "if (stream.held !== null) deliverHeld(stream, stream.held);",
    replace: "stream.held = null;",
  },
  {
    name: "slot of a refused open never freed",
    file: "lifecycle",
    find: "if (stream.holdsSlot) releaseSlot(stream);",
    replace: "",
  },
  {
    name: "writer never told that its queue has drained",
    file: "sender",
    find: "stream.writableNext = session.writableHead; session.writableHead = stream;",
    replace: "",
  },
  {
    name: "end of data before the data that was held",
    file: "inbound",
    find: "if (stream.held !== null) deliverHeld(stream, stream.held); if (stream.closed) return; if (stream.remoteEnded) stream.handler.streamOnEnd(stream);",
    replace:
      "if (stream.remoteEnded) stream.handler.streamOnEnd(stream); if (stream.held !== null) deliverHeld(stream, stream.held); if (stream.closed) return;",
  },
];

/**
 * Applies a bug to the text of its file, written by hand or compiled.
 *
 * @throws Error when the text to find does not occur exactly once
 */
export function plant(bug: PlantedBug, source: string): string {
  const words = bug.find.split(/\s+/).map((word) => word.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  const pattern = new RegExp(words.join("\\s+"), "g");
  const found = source.match(pattern)?.length ?? 0;
  if (found !== 1) throw new Error(`"${bug.name}": its text occurs ${found} times in ${bug.file}`);
  return source.replace(pattern, () => bug.replace);
}
