import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Logger } from "pino";
import { type Agent, connect } from "../agent/index.ts";
import { type Loaded, relayOptions } from "../config/index.ts";
import { formatCredentials } from "../core/credentials.ts";
import { mintDeviceId, mintToken } from "../core/token.ts";
import { CredentialsFile, type Relay, startRelay } from "../relay/index.ts";
import { type DemoService, startDemoService } from "./demo-service.ts";
import { cliError } from "./errors.ts";

/** Relay, agent and service in this process, on loopback, connected. */
export interface DevStack {
  /** `http://127.0.0.1:<port>/d/<device>`: what a caller puts before the path. */
  readonly deviceUrl: string;
  /** An API key that reaches the device. */
  readonly key: string;
  /** Where the requests end up. */
  readonly serviceUrl: string;
  readonly relay: Relay;
  /** Sentences about what is not as asked: a port that was taken. */
  readonly notes: readonly string[];
  /** Ends it all: agent, relay, service, temporary folder. */
  close(): Promise<void>;
}

const LOOPBACK = "127.0.0.1";
const CONNECT_MS = 10_000;

/**
 * Starts everything.
 *
 * @param to address of a service of the user's own, null for the demo service
 * @throws AppError `ERR_CLI_DEV_FAILED` that names the step; what ran before it is ended again
 */
export async function startDevStack(
  loaded: Loaded,
  to: string | null,
  logger: Logger,
): Promise<DevStack> {
  const cleanUps: (() => unknown)[] = [];
  const close = async (): Promise<void> => {
    for (let cleanUp = cleanUps.pop(); cleanUp !== undefined; cleanUp = cleanUps.pop()) {
      await cleanUp();
    }
  };
  try {
    const service = await step("start the demo service", () => ownOrDemo(to, cleanUps));
    const folder = await step("make a temporary folder", () =>
      mkdtemp(join(tmpdir(), "hawser-dev-")),
    );
    cleanUps.push(() => rm(folder, { recursive: true, force: true }));
    const made = await step("write credentials", () => makeCredentials(folder));
    const notes: string[] = [];
    const relay = await step("start the relay", () =>
      startDevRelay(loaded, made.file, logger, notes, cleanUps),
    );
    await step("connect the agent to the relay", () =>
      connectAgent(relay.port, made.tokenFile, service, logger, cleanUps),
    );
    const deviceUrl = `http://${LOOPBACK}:${relay.port}/d/${made.deviceId}`;
    return { deviceUrl, key: made.key, serviceUrl: service, relay, notes, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function step<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw cliError("ERR_CLI_DEV_FAILED", `could not ${what}: ${reason}`, error);
  }
}

async function ownOrDemo(to: string | null, cleanUps: (() => unknown)[]): Promise<string> {
  if (to !== null) return to;
  const demo: DemoService = await startDemoService();
  cleanUps.push(() => demo.close());
  return demo.url;
}

interface MadeCredentials {
  readonly file: string;
  readonly tokenFile: string;
  readonly deviceId: string;
  readonly key: string;
}

/** A device token and a key that live as long as this run. The folder is open to its owner alone. */
async function makeCredentials(folder: string): Promise<MadeCredentials> {
  const token = mintToken("device");
  const key = mintToken("key");
  const deviceId = mintDeviceId();
  const user_id = "dev";
  const file = join(folder, "credentials.json");
  const tokenFile = join(folder, "device.token");
  const credentials = formatCredentials({
    version: 1,
    tokens: [{ ref: token.ref, digest: token.secretDigest, device_id: deviceId, user_id }],
    keys: [{ ref: key.ref, digest: key.secretDigest, user_id }],
  });
  await writeFile(file, credentials, { mode: 0o600 });
  await writeFile(tokenFile, `${token.text}\n`, { mode: 0o600 });
  return { file, tokenFile, deviceId, key: key.text };
}

async function startDevRelay(
  loaded: Loaded,
  credentialsFile: string,
  logger: Logger,
  notes: string[],
  cleanUps: (() => unknown)[],
): Promise<Relay> {
  const options = relayOptions(loaded.values, randomBytes(32).toString("base64url"));
  const credentials = await CredentialsFile.open(credentialsFile, logger);
  cleanUps.push(() => credentials.close());
  const relay = await startRelay(
    {
      ...options,
      listenHost: LOOPBACK,
      internalHost: LOOPBACK,
      listenPort: await portFor(loaded, "listenPort", notes),
      internalPort: await portFor(loaded, "internalPort", notes),
    },
    { tunnelGate: credentials, callerGate: credentials, logger },
  );
  cleanUps.push(() => relay.close());
  credentials.on("revoked", (refs) => relay.revoke(refs));
  return relay;
}

/** The port that is set; where the default one is taken, 0 with a note. */
async function portFor(
  loaded: Loaded,
  name: "listenPort" | "internalPort",
  notes: string[],
): Promise<number> {
  const port = loaded.values[name];
  if (loaded.origins.get(name) !== "default" || (await isFree(port))) return port;
  notes.push(`Port ${port} is taken; using a free one.`);
  return 0;
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", () => resolve(false));
    probe.listen({ port, host: LOOPBACK, exclusive: true }, () => probe.close(() => resolve(true)));
  });
}

async function connectAgent(
  relayPort: number,
  tokenFile: string,
  to: string,
  logger: Logger,
  cleanUps: (() => unknown)[],
): Promise<void> {
  const agent: Agent = connect({
    relay: `ws://${LOOPBACK}:${relayPort}`,
    tokenFile,
    to,
    log: logger,
  });
  cleanUps.push(() => agent.close({ drainMs: 0 }));
  let last = "no answer";
  agent.on("disconnected", ({ code }) => {
    last = code;
  });
  const timeout = AbortSignal.timeout(CONNECT_MS);
  const late = new Promise<never>((_, reject) => {
    timeout.addEventListener("abort", () => {
      reject(new Error(`no tunnel within ${CONNECT_MS / 1_000} s (${last})`));
    });
  });
  await Promise.race([agent.ready(), late]);
}
