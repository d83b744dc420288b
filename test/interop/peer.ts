import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { TestContext } from "node:test";
import { buildPeer, type PeerVersion } from "../support/go.ts";
import { transfer } from "./transfer.ts";

/** What the Go program says of its end of the session. */
export interface PeerState {
  readonly streams: number;
  readonly closed: boolean;
  /** Handlers that saw their context cancelled. */
  readonly cancelled: number;
  /** Handlers that were entered. */
  readonly served: number;
}

/** The Go program of test/interop/go/peer, running; ends with its test. */
export class GoPeer {
  readonly #child: ChildProcess;
  #output = "";
  #complaint = "";
  #ended = false;

  private constructor(child: ChildProcess) {
    this.#child = child;
    child.stdout?.on("data", (data: Buffer) => {
      this.#output += data.toString();
      child.emit("text");
    });
    child.stderr?.on("data", (data: Buffer) => {
      this.#complaint += data.toString();
    });
    child.on("close", () => {
      this.#ended = true;
      child.emit("text");
    });
    child.stdin?.on("error", () => undefined);
  }

  /**
   * Builds the program where needed and starts it.
   *
   * @param args as test/interop/go/peer/main.go describes them
   */
  static async start(
    t: TestContext,
    version: PeerVersion,
    args: readonly string[],
  ): Promise<GoPeer> {
    const program = await buildPeer(version);
    const child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"] });
    const peer = new GoPeer(child);
    t.after(() => peer.stop());
    return peer;
  }

  /** What follows `word` in the first line of output that starts with it. Rejects when the program ends before. */
  async said(word: string): Promise<string> {
    for (;;) {
      const line = this.#output.split("\n").find((text) => text.split(" ")[0] === word);
      if (line !== undefined && this.#output.includes(`${line}\n`))
        return line.slice(word.length + 1);
      if (this.#ended) throw new Error(`the Go peer ended: ${this.#complaint}`);
      await once(this.#child, "text");
    }
  }

  /** Calls the control API. @throws Error with the answer's text on any status but 200 */
  async control(path: string): Promise<string> {
    const answer = await transfer(`http://${await this.said("control")}${path}`, { keep: true });
    if (answer.status !== 200) throw new Error(`${path}: ${answer.text}`);
    return answer.text;
  }

  async state(): Promise<PeerState> {
    return JSON.parse(await this.control("/state"));
  }

  /** Resolves once the state is as wanted; the last state is in the error otherwise. */
  async until(wanted: (state: PeerState) => boolean, what: string): Promise<PeerState> {
    for (let count = 0; ; count++) {
      const state = await this.state();
      if (wanted(state)) return state;
      if (count === POLLS_MAX) throw new Error(`${what}: ${JSON.stringify(state)}`);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  async stop(): Promise<void> {
    if (this.#ended) return;
    this.#child.stdin?.end();
    await once(this.#child, "close");
  }
}

const POLL_MS = 20;
const POLLS_MAX = 250;
