/**
 * Run as a process of its own, which must end by itself: the relay resets a stream in the turn in which its end has
 * reached the local connection. Prints what the pipe told its owner.
 */
import { once } from "node:events";
import { LocalPipe } from "../../../src/agent/local-pipe.ts";
import { sessionPair } from "../mux/session-pair.ts";
import { TcpService } from "./local-service.ts";

const service = await TcpService.start();
const { client, server } = sessionPair();
const { hostname: host, port, href: text } = new URL(service.url);
const target = { host, port: Number(port), tls: false, ca: null, timeoutMs: 10_000, text } as const;
const events: string[] = [];
const owner = {
  decoding: null,
  pipeOnConnect: () => events.push("connect"),
  pipeOnRefused: (_pipe: LocalPipe, code: string) => events.push(`refused ${code}`),
  pipeOnBroken: (_pipe: LocalPipe, code: string) => events.push(`broken ${code}`),
  pipeOnClose: () => events.push("close"),
};
server.onStream = (stream) => {
  new LocalPipe(stream, { kind: "address", ...target }, owner, 0);
};

let answer = (): void => {};
const answered = new Promise<void>((resolve) => {
  answer = resolve;
});
const near = client.session.open({
  streamOnData: () => answer(),
  streamOnEnd: () => {},
  streamOnWritable: () => {},
  streamOnClose: () => {},
});
near.write(Buffer.from("question"));
const socket = await service.nextConnection();
socket.write("answer");
await answered;
near.end();
client.session.flush();
// In a message of its own: between the two the socket's shutdown begins.
near.reset();
client.session.flush();
await once(socket.resume(), "end");
// More than fits on the way: a service that has read the end hears of the reset by its own writes alone.
await new Promise((resolve) => socket.write(Buffer.alloc(32 * 1024 * 1024), resolve));
await service.close();
process.stdout.write(events.join());
