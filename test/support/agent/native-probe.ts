/**
 * Run as a process of its own: loads the agent, sends a request through it, and prints every native module that was
 * loaded or asked for on the way, as a JSON list.
 */
import { createServer } from "node:http";
import { connect } from "../../../src/agent/index.ts";
import { MiniRelay } from "./mini-relay.ts";

const asked: string[] = [];
const load = process.dlopen;
process.dlopen = (target: object, file: string, flags?: number): void => {
  asked.push(file);
  load.call(process, target, file, flags);
};

const relay = await MiniRelay.start();
const server = createServer((_request, response) => response.end("served"));
const agent = connect({ relay: relay.url, token: "vAc_probe", server });
const tunnel = await relay.nextTunnel();
const response = await tunnel.request("/");
if (response.statusCode !== 200) throw new Error(`status ${response.statusCode}`);
response.resume();
await agent.close({ drainMs: 0 });
await relay.close();

const report = process.report.getReport() as unknown as { sharedObjects: string[] };
const loaded = report.sharedObjects.filter((file) => file.endsWith(".node"));
process.stdout.write(JSON.stringify([...asked, ...loaded]));
