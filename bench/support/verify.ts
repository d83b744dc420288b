import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { Agent, type IncomingMessage, request } from "node:http";
import { connect } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { crc32 } from "node:zlib";
import { patternBytes } from "./pattern.ts";

/** What a request through a relay is made of. */
export interface Target {
  readonly port: number;
  readonly key: string;
}

const REACH_POLL_MS = 20;
const REACH_POLLS_MAX = 100;
const EACH_AT_ONCE = 4;
const HELLO = "Hello, world!";
const DOWN_BYTES = 3 * 1_024 * 1_024 + 17;
const UP_BYTES = 2 * 1_024 * 1_024 + 5;

/**
 * Proves that a relay passes what it should: the small answer of every device given, and of the first one a download
 * byte by byte, an upload of random bytes by its CRC-32 with a length and chunked, and the refusal of a wrong key.
 *
 * @throws Error that names the first thing that is wrong
 */
export async function verify(target: Target, deviceIds: readonly string[]): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: 4 });
  try {
    await helloEach(target, deviceIds);
    const base = `/d/${deviceIds[0]}`;
    const down = await exchange(agent, target, { path: `${base}/down?bytes=${DOWN_BYTES}` });
    expect(down, 200, patternBytes(DOWN_BYTES), "download");
    const body = randomBytes(UP_BYTES);
    const crc = crc32(body).toString(16).padStart(8, "0");
    for (const chunked of [false, true]) {
      const up = await exchange(agent, target, { path: `${base}/up?crc=1`, body, chunked });
      const wanted = Buffer.from(`bytes=${UP_BYTES} match=0 crc=${crc}`);
      expect(up, 200, wanted, chunked ? "chunked upload" : "upload");
    }
    const refused = await exchange(
      agent,
      { ...target, key: "hwk_wrong" },
      { path: `${base}/hello` },
    );
    if (refused.status !== 401) throw new Error(`wrong key: status ${refused.status}`);
  } finally {
    agent.destroy();
  }
}

/**
 * Asks each device for its small answer, once, a few at a time.
 *
 * @throws Error that names the first one that answers something else
 */
export async function helloEach(target: Target, deviceIds: readonly string[]): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: EACH_AT_ONCE });
  const waiting = deviceIds.values();
  const work = async (): Promise<void> => {
    for (const deviceId of waiting) {
      const answer = await reached(agent, target, `/d/${deviceId}/hello`);
      expect(answer, 200, Buffer.from(HELLO), `hello of ${deviceId}`);
    }
  };
  try {
    await Promise.all(Array.from({ length: EACH_AT_ONCE }, work));
  } finally {
    agent.destroy();
  }
}

/** The answer of a device that may have connected just now: the baseline knows a tunnel only after its 101. */
async function reached(agent: Agent, target: Target, path: string): Promise<Answer> {
  for (let count = 0; ; count++) {
    const answer = await exchange(agent, target, { path });
    if (answer.status !== 503 || count === REACH_POLLS_MAX) return answer;
    await delay(REACH_POLL_MS);
  }
}

/** Bytes of one whole small answer, head and body, as it is on the wire. */
export async function helloBytes(
  target: Target,
  deviceId: string,
  path = `/d/${deviceId}/hello`,
): Promise<number> {
  return (await helloAnswer(target, deviceId, path)).length;
}

/** One whole small answer, head and body, as it is on the wire; a character a byte. */
export async function helloAnswer(
  target: Target,
  deviceId: string,
  path = `/d/${deviceId}/hello`,
): Promise<string> {
  const socket = connect(target.port, "127.0.0.1");
  socket.write(
    `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${target.port}\r\nAuthorization: Bearer ${target.key}\r\n\r\n`,
  );
  let text = "";
  try {
    while (!text.endsWith(HELLO)) {
      const [data]: Buffer[] = await once(socket, "data", { signal: AbortSignal.timeout(5_000) });
      text += (data ?? Buffer.alloc(0)).toString("latin1");
    }
  } finally {
    socket.destroy();
  }
  return text;
}

interface Answer {
  readonly status: number;
  readonly body: Buffer;
}

interface Question {
  readonly path: string;
  readonly body?: Buffer;
  readonly chunked?: boolean;
}

function expect(answer: Answer, status: number, body: Buffer, what: string): void {
  if (answer.status !== status) throw new Error(`${what}: status ${answer.status}`);
  if (!answer.body.equals(body)) {
    throw new Error(
      `${what}: ${answer.body.length} bytes that are not the ${body.length} expected`,
    );
  }
}

async function exchange(agent: Agent, target: Target, question: Question): Promise<Answer> {
  const { path, body, chunked } = question;
  const outgoing = request({
    agent,
    host: "127.0.0.1",
    port: target.port,
    path,
    method: body === undefined ? "GET" : "POST",
    headers: {
      authorization: `Bearer ${target.key}`,
      ...(body !== undefined && chunked !== true ? { "content-length": body.length } : {}),
    },
    signal: AbortSignal.timeout(20_000),
  });
  // Two writes, so that node:http does not find out the length by itself.
  if (body !== undefined) outgoing.write(body.subarray(0, 1_000));
  outgoing.end(body?.subarray(1_000));
  let bytes = 0;
  try {
    const [incoming]: IncomingMessage[] = await once(outgoing, "response");
    if (incoming === undefined) throw new Error("no answer");
    const pieces: Buffer[] = [];
    for await (const piece of incoming) {
      bytes += piece.length;
      pieces.push(piece);
    }
    return { status: incoming.statusCode ?? 0, body: Buffer.concat(pieces) };
  } catch (error) {
    throw new Error(`${path} broke off after ${bytes} bytes`, { cause: error });
  }
}
