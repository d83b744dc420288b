import assert from "node:assert/strict";
import { test } from "node:test";
import {
  ACKED,
  ANSWER_RST,
  EMPTY,
  EVENTS,
  IGNORE,
  STATES,
  StreamEvent,
  StreamState,
  stateOf,
  transition,
} from "../../../src/mux/stream-state.ts";

/**
 * Every cell, written the other way round: a row a state, in the order SYN, ACK, DATA, CREDIT, FIN, RST, then what we
 * send: ACK, FIN, RST. "-" is a protocol error or a bug of ours; "!" ignore, "+" acknowledges, "x" answered by RST.
 */
const TABLE: Readonly<Record<keyof typeof StreamState, string>> = {
  SYN_SENT: "- OPEN+ OPEN+ OPEN+ REMOTE_FIN+ CLOSED - LOCAL_FIN_UNACKED CLOSED",
  SYN_RCVD: "- SYN_RCVD! SYN_RCVD SYN_RCVD REMOTE_FIN_UNACKED CLOSED OPEN - CLOSED",
  OPEN: "- OPEN! OPEN OPEN REMOTE_FIN CLOSED - LOCAL_FIN CLOSED",
  LOCAL_FIN_UNACKED: "- LOCAL_FIN+ LOCAL_FIN+ LOCAL_FIN+ CLOSED+ CLOSED - - CLOSED",
  LOCAL_FIN: "- LOCAL_FIN! LOCAL_FIN LOCAL_FIN CLOSED CLOSED - - CLOSED",
  REMOTE_FIN_UNACKED:
    "- REMOTE_FIN_UNACKED! CLOSEDx REMOTE_FIN_UNACKED REMOTE_FIN_UNACKED! CLOSED REMOTE_FIN - CLOSED",
  REMOTE_FIN: "- REMOTE_FIN! CLOSEDx REMOTE_FIN REMOTE_FIN! CLOSED - CLOSED CLOSED",
  CLOSED: "- - - - - - - - -",
};

const names = Object.keys(StreamState) as Array<keyof typeof StreamState>;
const events = Object.keys(StreamEvent) as Array<keyof typeof StreamEvent>;

function spelled(cell: number): string {
  if (cell === EMPTY) return "-";
  const state = names.find((name) => StreamState[name] === stateOf(cell));
  const marks = [
    [IGNORE, "!"],
    [ACKED, "+"],
    [ANSWER_RST, "x"],
  ] as const;
  return `${state}${marks.map(([bit, mark]) => ((cell & bit) === 0 ? "" : mark)).join("")}`;
}

test("the table has a cell for every state and event", () => {
  assert.equal(names.length, STATES);
  assert.equal(events.length, EVENTS);
});

for (const name of names) {
  const cells = TABLE[name].split(" ");
  for (const [index, event] of events.entries()) {
    test(`${name}, ${event}: ${cells[index]}`, () => {
      assert.equal(spelled(transition(StreamState[name], StreamEvent[event])), cells[index]);
    });
  }
}
