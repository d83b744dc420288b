import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";

/** A process that is ready to do its job. */
export interface StoreProcess {
  /** Begins the job and returns the next message. */
  go(): Promise<unknown>;
  /** Ends it as a crash would, and waits until it is gone. */
  kill(): Promise<void>;
  /** Waits until it has ended by itself. */
  ended(): Promise<void>;
}

/** Starts a process of `child.ts`, with a job and its arguments. */
export async function startProcess(...words: readonly string[]): Promise<StoreProcess> {
  const extension = extname(fileURLToPath(import.meta.url));
  const path = fileURLToPath(new URL(`child${extension}`, import.meta.url));
  const child = fork(path, words, { execArgv: [] });
  const closed = once(child, "close");
  await messageOf(child);
  return {
    async go() {
      const message = messageOf(child);
      child.send("go");
      return message;
    },
    async kill() {
      child.kill("SIGKILL");
      await closed;
    },
    async ended() {
      const [code] = await closed;
      if (code !== 0) throw new Error(`the process ended with ${code}`);
    },
  };
}

/** The next message, or an error when the process ends without one. */
async function messageOf(child: ChildProcess): Promise<unknown> {
  const abort = new AbortController();
  const end = once(child, "close", { signal: abort.signal }).then(([code]) => {
    throw new Error(`the process ended with ${code}`);
  });
  try {
    const [message] = await Promise.race([once(child, "message", { signal: abort.signal }), end]);
    return message;
  } finally {
    end.catch(() => {});
    abort.abort();
  }
}
