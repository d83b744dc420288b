import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { WebSocket } from "ws";

const OPEN_POLL_MS = 50;
const OPEN_POLLS_MAX = 100;

/** The variable with which a Node process opens its inspector at `port` of loopback, once it is asked to. */
export function inspectorAt(port: number): NodeJS.ProcessEnv {
  return { NODE_OPTIONS: `--inspect-port=127.0.0.1:${port}` };
}

/**
 * Live JavaScript heap of a Node process: asks it by SIGUSR1 to open its inspector, has it collect its garbage, and reads what
 * is left. The inspector and the collection change what the process weighs: read its resident memory before.
 *
 * @param port of {@link inspectorAt}, with which the process was started
 * @returns bytes
 * @throws Error where the inspector does not open, or answers something else
 */
export async function liveHeapBytes(pid: number, port: number): Promise<number> {
  process.kill(pid, "SIGUSR1");
  const socket = new WebSocket(await debuggerUrl(port));
  await once(socket, "open");
  try {
    await call(socket, 1, "HeapProfiler.collectGarbage");
    const { usedSize } = await call(socket, 2, "Runtime.getHeapUsage");
    if (typeof usedSize !== "number") throw new Error("the inspector says nothing of the heap");
    return usedSize;
  } finally {
    socket.close();
    await once(socket, "close");
  }
}

async function debuggerUrl(port: number): Promise<string> {
  for (let polls = 0; polls < OPEN_POLLS_MAX; polls++) {
    const answer = await fetch(`http://127.0.0.1:${port}/json/list`).catch(() => null);
    if (answer !== null) {
      const [target]: { webSocketDebuggerUrl?: string }[] = JSON.parse(await answer.text());
      if (target?.webSocketDebuggerUrl !== undefined) return target.webSocketDebuggerUrl;
    }
    await delay(OPEN_POLL_MS);
  }
  throw new Error("the inspector does not open");
}

async function call(
  socket: WebSocket,
  id: number,
  method: string,
): Promise<Readonly<Record<string, unknown>>> {
  socket.send(JSON.stringify({ id, method }));
  for (;;) {
    const [data]: Buffer[] = await once(socket, "message");
    const answer: { id?: number; result?: Record<string, unknown> } = JSON.parse(String(data));
    if (answer.id !== id) continue;
    if (answer.result === undefined) throw new Error(`the inspector refuses ${method}`);
    return answer.result;
  }
}
