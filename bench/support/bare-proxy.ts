/**
 * The least that a proxy on `node:http` does: kept connections to one target, a pipe in each direction. `node bare-proxy.js <port>`,
 * the target's. Prints "listens PORT" and ends with its standard input.
 */
import { Agent, createServer, request } from "node:http";
import type { AddressInfo } from "node:net";

const port = Number(process.argv[2]);
const host = "127.0.0.1";
const agent = new Agent({ keepAlive: true, maxSockets: 1_024, scheduling: "lifo" });

const server = createServer((incoming, answer) => {
  const { method, url, headers } = incoming;
  const fields = { ...headers, host: `${host}:${port}` };
  const out = request({ agent, host, port, method, path: url, headers: fields });
  out.on("response", (message) => {
    answer.writeHead(message.statusCode ?? 502, message.headers);
    message.pipe(answer);
  });
  out.on("error", () => answer.destroy());
  incoming.pipe(out);
});
server.listen(0, host, () => {
  process.stdout.write(`listens ${(server.address() as AddressInfo).port}\n`);
});
process.stdin.resume().on("end", () => process.exit(0));
