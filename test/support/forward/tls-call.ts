/** A program: asks the relay at the origin that it is given for `/`, and prints what came: the body, or the fault. */
import { RelayConnections } from "../../../src/api/relay-http/index.ts";
import { RelayCall } from "./relay-call.ts";

const connections = new RelayConnections(process.argv[2] ?? "");
const call = new RelayCall(connections.take(), "GET / HTTP/1.1\r\nhost: x\r\n\r\n");
await call.over();
process.stdout.write(call.isWhole ? call.body : String(call.fault));
await connections.end();
