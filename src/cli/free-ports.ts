import { randomInt } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:net";

/** Below what systems hand out by themselves: nobody gets one of these by chance between our look and our use. */
const FIRST = 20_000;
const END = 32_000;
const ATTEMPTS = 200;

/** Ports that this process was given: none is given twice. */
const given = new Set<number>();

/** Whether a port of the loopback can be listened on now. */
export async function isFree(port: number): Promise<boolean> {
  const probe = createServer();
  try {
    probe.listen({ port, host: "127.0.0.1", exclusive: true });
    await once(probe, "listening");
    probe.close();
    await once(probe, "close");
    return true;
  } catch {
    return false;
  }
}

/**
 * A port of the loopback that was free a moment ago: for listeners whose port others must know before.
 *
 * @throws Error where none was found
 */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const port = randomInt(FIRST, END);
    if (given.has(port)) continue;
    given.add(port);
    if (await isFree(port)) return port;
    given.delete(port);
  }
  throw new Error("no port is free");
}
