/**
 * The life of one stream as a table: `next[state * EVENTS + event]`. No other file decides on a
 * transition. An empty cell is a protocol error.
 *
 * ```
 *  outbound                                  inbound
 *  SYN_SENT ──any answer──► OPEN ◄──accept── SYN_RCVD
 *     │ FIN sent            │  │                │ FIN received
 *     ▼           FIN sent  │  │ FIN received   ▼
 *  LOCAL_FIN_UNACKED        │  │       REMOTE_FIN_UNACKED
 *     │ any answer          ▼  ▼                │ accept
 *     └────────────► LOCAL_FIN REMOTE_FIN ◄─────┘
 *                          │    │
 *              FIN received▼    ▼FIN sent        RST either way, from anywhere
 *                         CLOSED ◄───────────────────────────────
 * ```
 *
 * @see yamux spec.md, "Stream opening" and "Closing a stream"
 */

export const StreamState = {
  SYN_SENT: 0,
  SYN_RCVD: 1,
  OPEN: 2,
  LOCAL_FIN_UNACKED: 3,
  LOCAL_FIN: 4,
  REMOTE_FIN_UNACKED: 5,
  REMOTE_FIN: 6,
  CLOSED: 7,
} as const;
export type StreamState = (typeof StreamState)[keyof typeof StreamState];

/** Incoming SYN … RST, then what we do ourselves. DATA is payload of at least one byte. */
export const StreamEvent = {
  SYN: 0,
  ACK: 1,
  DATA: 2,
  CREDIT: 3,
  FIN: 4,
  RST: 5,
  SEND_ACK: 6,
  SEND_FIN: 7,
  SEND_RST: 8,
} as const;
export type StreamEvent = (typeof StreamEvent)[keyof typeof StreamEvent];

export const STATES = 8;
export const EVENTS = 9;

/** The cell of a transition that must not happen. */
export const EMPTY = 0xff;
/** Low bits of a cell: the next state. */
export const STATE_MASK = 0x0f;
/** The frame changes nothing and is counted. */
export const IGNORE = 0x10;
/** The frame acknowledges our SYN: its slot among the unacknowledged opens is free. */
export const ACKED = 0x20;
/** The frame is answered by RST. */
export const ANSWER_RST = 0x40;

function table(): Uint8Array {
  const next = new Uint8Array(STATES * EVENTS).fill(EMPTY);
  const s = StreamState;
  const e = StreamEvent;
  const set = (state: StreamState, cells: ReadonlyArray<readonly [StreamEvent, number]>): void => {
    for (const [event, cell] of cells) next[state * EVENTS + event] = cell;
  };
  set(s.SYN_SENT, [
    [e.ACK, s.OPEN | ACKED],
    [e.DATA, s.OPEN | ACKED],
    [e.CREDIT, s.OPEN | ACKED],
    [e.FIN, s.REMOTE_FIN | ACKED],
    [e.RST, s.CLOSED],
    [e.SEND_FIN, s.LOCAL_FIN_UNACKED],
    [e.SEND_RST, s.CLOSED],
  ]);
  set(s.SYN_RCVD, [
    [e.ACK, s.SYN_RCVD | IGNORE],
    [e.DATA, s.SYN_RCVD],
    [e.CREDIT, s.SYN_RCVD],
    [e.FIN, s.REMOTE_FIN_UNACKED],
    [e.RST, s.CLOSED],
    [e.SEND_ACK, s.OPEN],
    [e.SEND_RST, s.CLOSED],
  ]);
  set(s.OPEN, [
    [e.ACK, s.OPEN | IGNORE],
    [e.DATA, s.OPEN],
    [e.CREDIT, s.OPEN],
    [e.FIN, s.REMOTE_FIN],
    [e.RST, s.CLOSED],
    [e.SEND_FIN, s.LOCAL_FIN],
    [e.SEND_RST, s.CLOSED],
  ]);
  set(s.LOCAL_FIN_UNACKED, [
    [e.ACK, s.LOCAL_FIN | ACKED],
    [e.DATA, s.LOCAL_FIN | ACKED],
    [e.CREDIT, s.LOCAL_FIN | ACKED],
    [e.FIN, s.CLOSED | ACKED],
    [e.RST, s.CLOSED],
    [e.SEND_RST, s.CLOSED],
  ]);
  set(s.LOCAL_FIN, [
    [e.ACK, s.LOCAL_FIN | IGNORE],
    [e.DATA, s.LOCAL_FIN],
    [e.CREDIT, s.LOCAL_FIN],
    [e.FIN, s.CLOSED],
    [e.RST, s.CLOSED],
    [e.SEND_RST, s.CLOSED],
  ]);
  set(s.REMOTE_FIN_UNACKED, [
    [e.ACK, s.REMOTE_FIN_UNACKED | IGNORE],
    [e.DATA, s.CLOSED | ANSWER_RST],
    [e.CREDIT, s.REMOTE_FIN_UNACKED],
    [e.FIN, s.REMOTE_FIN_UNACKED | IGNORE],
    [e.RST, s.CLOSED],
    [e.SEND_ACK, s.REMOTE_FIN],
    [e.SEND_RST, s.CLOSED],
  ]);
  set(s.REMOTE_FIN, [
    [e.ACK, s.REMOTE_FIN | IGNORE],
    [e.DATA, s.CLOSED | ANSWER_RST],
    [e.CREDIT, s.REMOTE_FIN],
    [e.FIN, s.REMOTE_FIN | IGNORE],
    [e.RST, s.CLOSED],
    [e.SEND_FIN, s.CLOSED],
    [e.SEND_RST, s.CLOSED],
  ]);
  return next;
}

const NEXT = table();

/** The cell for `event` in `state`: next state and action bits, or `EMPTY`. */
export function transition(state: StreamState, event: StreamEvent): number {
  return NEXT[state * EVENTS + event] ?? EMPTY;
}

/** The next state in a cell that is not `EMPTY`. */
export function stateOf(cell: number): StreamState {
  return (cell & STATE_MASK) as StreamState;
}
