import type { HttpResponse, us_listen_socket } from "uWebSockets.js";
import assert from "node:assert/strict";
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { extname } from "node:path";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { loadUws, uwsAdapted } from "../../../src/relay/uws.ts";

const MIB = 1_048_576;
const UPLOAD_BYTES = 64 * MIB;
/** One `recv` of 448 KiB may be under way when it pauses; the rest is slack. */
const AFTER_PAUSE_MAX = MIB;

const uws = loadUws({ headBytesMax: 32_768 });

interface Reply {
  readonly writesTaken?: number;
  readonly response?: string;
}

async function reply(child: ChildProcess): Promise<Reply> {
  const [message] = (await once(child, "message")) as [Reply];
  return message;
}

/** Resolves when the child's writes have stopped going out: two round trips in a row with the same answer. */
async function whenBlocked(child: ChildProcess): Promise<void> {
  let before = -1;
  for (;;) {
    const answer = reply(child);
    child.send("how many?");
    const { writesTaken } = await answer;
    assert.ok(writesTaken !== undefined, "the upload must not be over");
    if (writesTaken === before) return;
    before = writesTaken;
  }
}

/** A server that pauses each upload at every further MiB, until it is told to go on. */
class PausingServer {
  received = 0;
  #response: HttpResponse | null = null;
  #pauseAt = MIB;
  #whenPaused = (): void => {};
  readonly #app = uws.App();

  async listen(t: TestContext): Promise<number> {
    this.#app.post("/upload", (response) => {
      this.#response = response;
      response.onAborted(() => {});
      response.onData((chunk, isLast) => {
        this.received += chunk.byteLength;
        if (isLast) {
          response.cork(() => response.end(String(this.received)));
        } else if (this.received >= this.#pauseAt) {
          this.#pauseAt = Number.POSITIVE_INFINITY;
          response.pause();
          this.#whenPaused();
        }
      });
    });
    const socket = await new Promise<us_listen_socket | false>((resolve) => {
      this.#app.listen("127.0.0.1", 0, resolve);
    });
    assert.ok(socket);
    t.after(() => this.#app.close());
    return uws.us_socket_local_port(socket);
  }

  /** Gives the number of bytes received at the moment of the next pause. */
  paused(): Promise<number> {
    return new Promise((resolve) => {
      this.#whenPaused = () => resolve(this.received);
    });
  }

  resume(pauseAt: number): void {
    this.#pauseAt = pauseAt;
    this.#response?.resume();
  }
}

test("no more than one read arrives after pause(), however fast the client sends", async (t) => {
  if (process.platform === "linux") assert.equal(uwsAdapted(), true);
  else t.skip("the binary is adapted on Linux only");
  const server = new PausingServer();
  const port = await server.listen(t);
  const paused = server.paused();
  const path = fileURLToPath(
    new URL(`../../support/relay/upload-child${extname(import.meta.url)}`, import.meta.url),
  );
  const child = fork(path, [String(port), String(UPLOAD_BYTES)]);
  t.after(() => child.kill());

  let receivedAtPause = await paused;
  // Early in the upload the kernel's buffers are small; they grow while it runs.
  while (server.received < UPLOAD_BYTES / 2) {
    await whenBlocked(child);
    const after = server.received - receivedAtPause;
    assert.ok(after <= AFTER_PAUSE_MAX, `${after} bytes arrived after pause()`);
    const next = server.paused();
    server.resume(server.received + MIB);
    receivedAtPause = await next;
  }
  const answer = reply(child);
  server.resume(Number.POSITIVE_INFINITY);
  const { response } = await answer;
  assert.match(response ?? "", new RegExp(`^HTTP/1\\.1 200 OK\r\n[^]*\r\n\r\n${UPLOAD_BYTES}$`));
});
