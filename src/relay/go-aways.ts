import { randomInt } from "node:crypto";
import { setTimeout as wait } from "node:timers/promises";
import { CloseCode, type TunnelStore } from "./tunnel.ts";

/** GoAways in a second: a relay beside us must be able to take the devices in. */
const GO_AWAYS_PER_SECOND = 1_000;
const STEP_MS = 50;

/** `items` in random order, in place. */
function shuffle<T>(items: T[]): T[] {
  for (let last = items.length - 1; last > 0; last--) {
    const other = randomInt(last + 1);
    const item = items[last] as T;
    items[last] = items[other] as T;
    items[other] = item;
  }
  return items;
}

/**
 * Tells the devices in random order to go, spread over time, so that they do not all arrive elsewhere at once. Resolves
 * when all are told.
 *
 * @param leftMs how long the relay still waits: at most half of it is taken, and each tunnel has what is left
 * @param isClosing true once the relay does not wait any longer: the others are not told
 */
export async function sendGoAways(
  store: TunnelStore,
  leftMs: () => number,
  isClosing: () => boolean,
): Promise<void> {
  const tunnels = shuffle([...store.handles()]);
  const spreadMs = Math.min((tunnels.length * 1_000) / GO_AWAYS_PER_SECOND, leftMs() / 2);
  const steps = Math.max(1, Math.floor(spreadMs / STEP_MS));
  const perStep = Math.ceil(tunnels.length / steps);
  for (let next = 0; next < tunnels.length && !isClosing(); next += perStep) {
    if (next > 0) await wait(STEP_MS);
    for (const tunnel of tunnels.slice(next, next + perStep)) {
      tunnel.drain(CloseCode.RESTART, "relay restarts", leftMs());
    }
  }
}
