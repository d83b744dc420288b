import { createServer, type RequestListener } from "node:http";
import type { Duplex } from "node:stream";
import WebSocket from "ws";
import { monotonicClock } from "../../../src/core/clock.ts";
import {
  MuxPools,
  muxOptions,
  SendResult,
  Session,
  type SessionHandler,
  type Stream,
  type Transport,
  toDuplex,
} from "../../../src/mux/index.ts";
import { Changes } from "../until.ts";

/** What a test device does with the streams that the relay opens. */
export interface DeviceBehaviour {
  /** Serves each stream as an HTTP connection. */
  readonly http?: RequestListener;
  /** Takes each stream raw instead. */
  readonly stream?: (stream: Stream) => void;
  /** The same, as a Duplex. */
  readonly duplex?: (duplex: Duplex) => void;
  /** Trusted certificate for `wss:`. */
  readonly ca?: string;
}

/** A minimal device: `ws` and a yamux session in the server role; no reconnecting. */
export interface WsDevice {
  readonly session: Session;
  /** The code with which the WebSocket closed. */
  readonly closed: Promise<number>;
  /** The relay's GoAway. */
  readonly goneAway: Promise<void>;
  /** Resolves when the relay has opened `count` streams in all, 1 by default. */
  opened(count?: number): Promise<void>;
  /** Everything on the wire below yamux: for tests that send what no session would. */
  readonly webSocket: WebSocket;
  close(): void;
}

/** Connects a device and resolves when its tunnel is up. Rejects with the status when it is refused. */
export async function connectDevice(
  relayUrl: string,
  token: string,
  behaviour: DeviceBehaviour,
): Promise<WsDevice> {
  // The relay's first ping may come together with its 101, before this function goes on.
  const early: Buffer[] = [];
  let take = (data: Buffer): void => void early.push(data);
  const webSocket = dialTunnel(relayUrl, token, behaviour.ca);
  webSocket.on("message", (data: Buffer) => take(data));
  const closed = new Promise<number>((resolve) => void webSocket.once("close", resolve));
  await up(webSocket);
  const server = behaviour.http === undefined ? null : createServer(behaviour.http);
  const transport: Transport = {
    send: (message) => {
      if (webSocket.readyState !== WebSocket.OPEN) return SendResult.SENT;
      webSocket.send(Buffer.from(message));
      return SendResult.SENT;
    },
    sendParts: (header, payload) => {
      if (webSocket.readyState !== WebSocket.OPEN) return SendResult.SENT;
      webSocket.send(Buffer.concat([header, payload]));
      return SendResult.SENT;
    },
    bufferedAmount: () => 0,
    close: (code, reason) => webSocket.close(code, reason),
    terminate: () => webSocket.terminate(),
  };
  let goAway = (): void => {};
  const goneAway = new Promise<void>((resolve) => {
    goAway = resolve;
  });
  let openedCount = 0;
  const opens = new Changes();
  const handler: SessionHandler = {
    sessionOnDirty: (session) => {
      setImmediate(() => session.flush());
    },
    sessionOnStream: (_session, stream) => {
      if (behaviour.stream !== undefined) behaviour.stream(stream);
      else if (behaviour.duplex !== undefined) behaviour.duplex(toDuplex(stream));
      else server?.emit("connection", toDuplex(stream));
      openedCount += 1;
      opens.tell();
    },
    sessionOnGoAway: () => goAway(),
    sessionOnClose: () => {},
  };
  const session = new Session(
    "server",
    muxOptions(),
    transport,
    handler,
    monotonicClock,
    new MuxPools(),
  );
  take = (data) => session.receive(new Uint8Array(data));
  for (const data of early) take(data);
  void closed.then((code) => {
    session.transportClosed(code);
    server?.close();
  });
  webSocket.on("error", () => {});
  return {
    session,
    closed,
    goneAway,
    opened: (count = 1) => opens.until(() => openedCount >= count, `stream ${count} of the relay`),
    webSocket,
    close: () => webSocket.terminate(),
  };
}

function dialTunnel(relayUrl: string, token: string, ca: string | undefined): WebSocket {
  return new WebSocket(`${relayUrl}/tunnel/connect`, {
    headers: { authorization: `Bearer ${token}` },
    perMessageDeflate: false,
    ...(ca === undefined ? {} : { ca }),
  });
}

/** Resolves when it answers a ping of its own, or is closed for a reason. */
function up(webSocket: WebSocket): Promise<void> {
  return new Promise((resolve, reject) => {
    webSocket.once("open", () => webSocket.ping());
    webSocket.once("pong", () => resolve());
    webSocket.once("close", (code) => {
      if (code === 1006) reject(new Error("closed as it opened"));
      else resolve();
    });
    webSocket.once("unexpected-response", (_request, response) => {
      response.resume();
      reject(new Error(`refused with ${response.statusCode}`));
    });
    webSocket.once("error", reject);
  });
}
