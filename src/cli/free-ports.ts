import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";

/** Whether a port of the loopback can be listened on now. */
export async function isFree(port: number): Promise<boolean> {
  return (await listenOnce(port)) !== null;
}

/** A port of the loopback that was free a moment ago: for listeners whose port others must know before. */
export async function freePort(): Promise<number> {
  const port = await listenOnce(0);
  if (port === null) throw new Error("no port is free");
  return port;
}

async function listenOnce(port: number): Promise<number | null> {
  const probe = createServer();
  try {
    probe.listen({ port, host: "127.0.0.1", exclusive: true });
    await once(probe, "listening");
    const found = (probe.address() as AddressInfo).port;
    probe.close();
    await once(probe, "close");
    return found;
  } catch {
    return null;
  }
}
