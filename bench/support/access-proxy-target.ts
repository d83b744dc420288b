/**
 * What stands behind both proxies of the bench: reads each request whole and answers 1 KiB. A process of its own, that prints
 * "listens PORT" and ends with its standard input.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

const ANSWER = Buffer.alloc(1_024, "a");

const server = createServer((request, response) => {
  request.resume().on("end", () => {
    response.writeHead(200, {
      "content-type": "application/octet-stream",
      "content-length": ANSWER.length,
    });
    response.end(ANSWER);
  });
});
server.listen(0, "127.0.0.1", () => {
  process.stdout.write(`listens ${(server.address() as AddressInfo).port}\n`);
});
process.stdin.resume().on("end", () => process.exit(0));
