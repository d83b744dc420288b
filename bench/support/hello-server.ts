/**
 * What a request costs a bare `node:http` server that knows the answer: a process of its own, that prints
 * "listens PORT" and ends with its standard input.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

const BODY = "Hello, world!";

const server = createServer((_request, response) => {
  response.writeHead(200, { "content-type": "text/plain", "content-length": BODY.length });
  response.end(BODY);
});
server.listen(0, "127.0.0.1", () => {
  process.stdout.write(`listens ${(server.address() as AddressInfo).port}\n`);
});
process.stdin.resume().on("end", () => process.exit(0));
