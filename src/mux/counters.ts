/** What a session has seen and done since its first stream. Plain numbers that only grow. */
export class SessionCounters {
  dataFramesIn = 0;
  windowUpdatesIn = 0;
  pingsIn = 0;
  goAwaysIn = 0;
  dataFramesOut = 0;
  windowUpdatesOut = 0;
  pingsOut = 0;
  goAwaysOut = 0;
  /** Payload bytes. */
  dataBytesIn = 0;
  dataBytesOut = 0;
  messagesIn = 0;
  messagesOut = 0;
  /** Frames that changed nothing. */
  ignoredFrames = 0;
  /** Payload bytes of removed streams that were thrown away. */
  discardedBytes = 0;
  /** SYNs that we answered by RST. */
  refusedStreams = 0;
  resetsIn = 0;
  resetsOut = 0;
  /** Ping requests left unanswered. */
  droppedPings = 0;
  /** Times that a stream with data ran out of credit. */
  windowStalls = 0;
  /** Times that the transport went above high water. */
  congestions = 0;
  /** Times that a receive window grew. */
  windowGrowths = 0;
  protocolErrors = 0;
  /** Length of the last RST received; newer Go forks put an error code there. */
  lastResetLength = 0;
}
