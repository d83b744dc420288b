/**
 * The devices of the matrix, one process for all: the agent library, each with a server of its own that names its device.
 * `node devices.js <relay's port> <tokens file>`; prints `ready <count>`, ends when its standard input ends.
 */
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { connect } from "../../src/agent/index.ts";
import { answerOf, pagesOf } from "./scenario.ts";

/** One line of the tokens file. */
export interface DeviceLine {
  readonly deviceId: string;
  readonly token: string;
}

const [port = "", file = ""] = process.argv.slice(2);
const devices: DeviceLine[] = JSON.parse(readFileSync(file, "utf8"));
const relay = `ws://127.0.0.1:${port}`;

const agents = devices.map(({ deviceId, token }) => {
  const pages = pagesOf(deviceId);
  const server = createServer((request, response) => answer(deviceId, pages, request, response));
  return connect({ relay, token, server });
});
let connected = 0;
for (const agent of agents) {
  agent.on("connected", () => {
    connected += 1;
    if (connected === agents.length) process.stdout.write(`ready ${connected}\n`);
  });
}
process.stdin.resume().on("end", () => process.exit(0));

function answer(
  deviceId: string,
  pages: ReadonlyMap<string, string>,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  if (request.method === "POST") {
    let text = "";
    request.setEncoding("latin1").on("data", (chunk: string) => {
      text += chunk;
    });
    request.on("end", () => response.end(answerOf(deviceId, text)));
    return;
  }
  const page = pages.get(request.url ?? "");
  response.statusCode = page === undefined ? 404 : 200;
  response.end(page ?? "no such page");
}
