/**
 * An API server in a process of its own: `fork(path, [database URL, step])`. It sends its port, and serves until it is
 * killed or disconnected. Its exchanges have no limits; at the step, if one is named, they stop for ever, and it sends
 * the step's name.
 */
import { openDatabase } from "../../../src/api/store/index.ts";
import { START_MS } from "../api-store/people.ts";
import { startDevicesServer } from "./server.ts";

const [url = "", stopAt = ""] = process.argv.slice(2);
const store = await openDatabase(url, { now: () => START_MS });
const { server, context } = await startDevicesServer(store, {
  devices: { exchange: null },
  async onExchangeStep(step) {
    if (step !== stopAt) return;
    process.send?.(step);
    await new Promise(() => {});
  },
});
process.once("disconnect", async () => {
  await server.close();
  await context.relay.destroy();
  await store.close();
});
process.send?.(server.port);
