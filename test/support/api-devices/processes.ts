import { fork } from "node:child_process";
import { once } from "node:events";
import { extname } from "node:path";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";

/** An API server in a process of its own. */
export interface ApiProcess {
  readonly url: string;
  /** Resolves when an exchange has come to the step at which it stops. */
  stopped(): Promise<void>;
  /** Ends it as a crash would, and waits until it is gone. */
  kill(): Promise<void>;
}

/** Starts one on the database of that URL; it ends with the test. */
export async function startApiProcess(
  t: TestContext,
  databaseUrl: string,
  stopAt = "",
): Promise<ApiProcess> {
  const extension = extname(fileURLToPath(import.meta.url));
  const path = fileURLToPath(new URL(`child${extension}`, import.meta.url));
  const child = fork(path, [databaseUrl, stopAt], { execArgv: [] });
  // `close` does not come where it is this end that disconnects.
  const closed = once(child, "exit");
  t.after(async () => {
    if (child.connected) child.disconnect();
    await closed;
  });
  const [port] = await Promise.race([
    once(child, "message"),
    closed.then(([code]) => {
      throw new Error(`the process ended with ${code}`);
    }),
  ]);
  const stopped = once(child, "message");
  return {
    url: `http://127.0.0.1:${port}`,
    async stopped() {
      await stopped;
    },
    async kill() {
      child.kill("SIGKILL");
      await closed;
    },
  };
}
