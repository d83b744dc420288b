/**
 * A process of the store's tests: `fork(path, [job, url, …])`. It says `ready`, waits for any message, does its job and
 * sends the result.
 */
import { once } from "node:events";
import { exchangeCredential, openDatabase } from "../../../src/api/store/index.ts";
import { mintToken } from "../../../src/core/token.ts";
import { DEVICE, START_MS } from "./people.ts";

const [job = "", url = "", digest = "", argument = ""] = process.argv.slice(2);
const now = (): number => START_MS;

// Holds the channel, and so the process, until it disconnects.
process.on("message", () => {});

function send(message: unknown): void {
  process.send?.(message);
}

async function go(): Promise<void> {
  const message = once(process, "message");
  send("ready");
  await message;
}

/** Opens the database at the same moment as others do. */
async function open(): Promise<void> {
  await go();
  const store = await openDatabase(url, { now });
  await store.close();
  send("opened");
}

/** Exchanges one code many times at once; sends how often that succeeded. */
async function exchange(): Promise<void> {
  const store = await openDatabase(url, { now });
  await go();
  const attempts = Array.from({ length: Number(argument) }, () =>
    exchangeCredential(store, { kind: "code", digest }, DEVICE, mintToken("device"), {
      tokenExpiresAt: null,
    }),
  );
  const devices = await Promise.all(attempts);
  await store.close();
  send(devices.filter((device) => device !== null).length);
}

/** Stops for ever after a step of an exchange, to be killed there. */
async function stall(): Promise<void> {
  const store = await openDatabase(url, { now });
  await go();
  await exchangeCredential(store, { kind: "code", digest }, DEVICE, mintToken("device"), {
    tokenExpiresAt: null,
    async onStep(step) {
      if (step !== argument) return;
      send(step);
      await new Promise(() => {});
    },
  });
}

const jobs: Readonly<Record<string, () => Promise<void>>> = { open, exchange, stall };
await jobs[job]?.();
process.disconnect();
