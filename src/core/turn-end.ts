/** Whoever has bytes that may wait for the end of the turn. */
export interface TurnWriter {
  /** The turn is over: writes what waits, if that is still wanted. Must not throw. */
  flush(): void;
}

/** Two tables in turn, so that none is made for each turn. */
let waiting: TurnWriter[] = [];
let spare: TurnWriter[] = [];

/**
 * Writes at the end of the turn, when all that came in at once has been dealt with. Small writes to one process that follow
 * each other wake it once; between them it would fall asleep, and the kernel charges each waking to us. One that is alone in
 * its turn waits for nothing.
 *
 * @param writer once a turn; it is kept until then
 */
export function atTurnEnd(writer: TurnWriter): void {
  if (waiting.length === 0) setImmediate(flushAll);
  waiting.push(writer);
}

function flushAll(): void {
  const now = waiting;
  waiting = spare;
  for (const writer of now) writer.flush();
  now.length = 0;
  spare = now;
}
