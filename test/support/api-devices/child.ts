/**
 * An API server in a process of its own: `fork(path, [database URL])`. It sends its port, and serves until it is killed
 * or disconnected. Its exchanges have no limits.
 */
import { openDatabase } from "../../../src/api/store/index.ts";
import { START_MS } from "../api-store/people.ts";
import { startDevicesServer } from "./server.ts";

const [url = ""] = process.argv.slice(2);
const store = await openDatabase(url, { now: () => START_MS });
const { server, context } = await startDevicesServer(store, { devices: { exchange: null } });
process.once("disconnect", async () => {
  await server.close();
  await context.relay.destroy();
  await store.close();
});
process.send?.(server.port);
