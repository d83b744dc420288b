import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { TestContext } from "node:test";
import { buildPeer, type PeerVersion } from "../support/go.ts";
import { WAIT_MS } from "../support/until.ts";
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

  /**
   * What follows `word` in the line of output that is the `nth` to start with it, counted from 1. Rejects when the
   * program ends before.
   */
  async said(word: string, nth = 1): Promise<string> {
    for (;;) {
      // What stands behind the last line feed is no line yet.
      const lines = this.#output.split("\n").slice(0, -1);
      const line = lines.filter((text) => text.split(" ")[0] === word)[nth - 1];
      if (line !== undefined) return line.slice(word.length + 1);
      if (this.#ended) throw new Error(`the Go peer ended: ${this.#complaint}`);
      await once(this.#child, "text");
    }
  }

  /** Calls the control API. @throws Error with the answer's text on any status but 200 */
  async control(path: string, signal?: AbortSignal): Promise<string> {
    const url = `http://${await this.said("control")}${path}`;
    const answer = await transfer(url, { keep: true, ...(signal === undefined ? {} : { signal }) });
    if (answer.status !== 200) throw new Error(`${path}: ${answer.text}`);
    return answer.text;
  }

  async state(): Promise<PeerState> {
    return JSON.parse(await this.control("/state"));
  }

  /** Resolves once the state is as wanted; the last state is in the error otherwise. */
  async until(wanted: (state: PeerState) => boolean, what: string): Promise<PeerState> {
    const limit = AbortSignal.timeout(WAIT_MS);
    let text = await this.control("/state");
    for (;;) {
      const state: PeerState = JSON.parse(text);
      if (wanted(state)) return state;
      // Answered when the state is another one.
      const next = this.control(`/state?not=${encodeURIComponent(text)}`, limit);
      text = await next.catch((error: unknown) => {
        throw limit.aborted ? new Error(`never came: ${what}: ${text}`) : error;
      });
    }
  }

  async stop(): Promise<void> {
    if (this.#ended) return;
    this.#child.stdin?.end();
    await once(this.#child, "close");
  }
}
