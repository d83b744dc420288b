/** HTTP/1.1 to the relay's internal listener, for requests to devices. */
export type { AnswerField, AnswerHead } from "./answer-head.ts";
export type { RelayConnection, RelayExchange, RelayFault } from "./relay-connection.ts";
export { RelayConnections } from "./relay-connections.ts";
