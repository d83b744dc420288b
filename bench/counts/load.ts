import { StepClient } from "./client.ts";
import { StepDevice } from "./device.ts";
import type { SteppedRelay } from "./stepped-relay.ts";

/** Connections that ask at once; the devices' side is one tunnel. */
export const CONNECTIONS = 32;
/** Bytes of one piece of a body: one Data frame down, one read of the client's socket up. */
export const PIECE_BYTES = 32 * 1_024;
const PIECES = 6;
const BODY = "Hello, world!";
const ANSWER = Buffer.from(
  "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n" +
    `Date: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`,
);

/** What a load asks with. */
export interface Access {
  readonly deviceId: string;
  readonly token: string;
  readonly key: string;
}

/**
 * A load in steps: the relay is held while a step's bytes are sent to it, and the next step begins when all answers are there. So
 * every run does the same, however busy the machine is.
 */
export class SteppedLoad {
  readonly device: StepDevice;
  readonly #relay: SteppedRelay;
  readonly #clients: readonly StepClient[];
  readonly #access: Access;
  #answerBytes = 0;

  private constructor(relay: SteppedRelay, device: StepDevice, clients: StepClient[], to: Access) {
    this.#relay = relay;
    this.device = device;
    this.#clients = clients;
    this.#access = to;
  }

  /** Connects the device and its clients, and makes the first request of each. */
  static async connect(relay: SteppedRelay, access: Access): Promise<SteppedLoad> {
    const device = await StepDevice.dial(relay.port, access.token);
    const clients: StepClient[] = [];
    for (let at = 0; at < CONNECTIONS; at++) clients.push(await StepClient.dial(relay.port));
    const load = new SteppedLoad(relay, device, clients, access);
    for (const client of clients) {
      client.send(load.#request("GET", "/hello"));
      await device.requests(1);
      device.answer(ANSWER);
      load.#answerBytes = await client.receiveUpTo(BODY);
    }
    return load;
  }

  /** `count` times: every connection sends one small request, the device answers all of them in one message. */
  async small(count: number): Promise<void> {
    const request = this.#request("GET", "/hello");
    for (let batch = 0; batch < count; batch++) {
      await this.#relay.held(() => {
        for (const client of this.#clients) client.send(request);
      });
      await this.device.requests(CONNECTIONS);
      this.device.answer(ANSWER);
      await Promise.all(this.#clients.map((client) => client.receive(this.#answerBytes)));
    }
  }

  /** `count` downloads, one after another, in pieces that each wait for the one before. @returns body bytes in whole pieces */
  async down(count: number): Promise<number> {
    const client = this.#one();
    const piece = Buffer.alloc(PIECE_BYTES, "d");
    const length = PIECES * PIECE_BYTES + BODY.length;
    const head = Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${length}\r\n\r\n${BODY}`);
    for (let round = 0; round < count; round++) {
      client.send(this.#request("GET", "/down"));
      await this.device.requests(1);
      const id = this.device.begin(head);
      await client.receiveUpTo(BODY);
      for (let at = 0; at < PIECES; at++) {
        await this.device.more(id, piece);
        await client.receive(PIECE_BYTES);
      }
    }
    return count * PIECES * PIECE_BYTES;
  }

  /** `count` uploads in pieces that are sent while the relay is held. @returns body bytes */
  async up(count: number): Promise<number> {
    const client = this.#one();
    const piece = Buffer.alloc(PIECE_BYTES, "u");
    const length = PIECES * PIECE_BYTES;
    for (let round = 0; round < count; round++) {
      const before = this.device.bodyBytes;
      client.send(this.#request("POST", "/up", `Content-Length: ${length}\r\n`));
      for (let at = 1; at <= PIECES; at++) {
        await this.#relay.held(() => client.send(piece));
        await this.device.body(before + at * PIECE_BYTES);
        this.device.credit();
      }
      await this.device.requests(1);
      this.device.answer(ANSWER);
      await client.receive(this.#answerBytes);
    }
    return count * length;
  }

  close(): void {
    for (const client of this.#clients) client.close();
    this.device.close();
  }

  #one(): StepClient {
    const [client] = this.#clients;
    if (client === undefined) throw new Error("no client");
    return client;
  }

  #request(method: string, path: string, fields = ""): Buffer {
    const { deviceId, key } = this.#access;
    return Buffer.from(
      `${method} /d/${deviceId}${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ${key}\r\n${fields}\r\n`,
    );
  }
}
