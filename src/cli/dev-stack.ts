import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Logger } from "pino";
import { type Loaded, newKeyRing, type SettingName, type Values } from "../config/index.ts";
import { type BothServers, startBothServers } from "./both-servers.ts";
import { type DemoIdp, startDemoIdp } from "./demo-idp.ts";
import { startDemoService } from "./demo-service.ts";
import { freePort, isFree } from "./free-ports.ts";
import type { Steps } from "./steps.ts";

/** Identity provider, API server, relay and service in this process, on loopback. */
export interface DevStack {
  /** Where to sign in: `http://127.0.0.1:3721`. */
  readonly baseUrl: string;
  /** What callers put before `/d/<device>`. */
  readonly edgeUrl: string;
  /** Where requests to the demo device end up. */
  readonly serviceUrl: string;
  /** A temporary folder, open to its owner alone. */
  readonly folder: string;
  readonly idp: DemoIdp;
  readonly servers: BothServers;
  /** Sentences about what is not as asked: a port that was taken. */
  readonly notes: readonly string[];
  /** Ends something before the servers, when the stack is closed. */
  onClose(cleanUp: () => Promise<void>): void;
  /** Ends it all. */
  close(): Promise<void>;
}

/** What `hawser dev` was asked for. */
export interface DevStackOptions {
  /** Address of a service of the user's own, null for the demo service. */
  readonly to: string | null;
  /** PKCE alone, without a client secret. */
  readonly publicClient: boolean;
}

const LOOPBACK = "127.0.0.1";

type PortName = Extract<SettingName, "apiPort" | "apiInternalPort" | "listenPort" | "internalPort">;

/**
 * Starts everything but the device.
 *
 * @throws AppError `ERR_CLI_DEV_FAILED` that names the step; what ran before it is ended again
 */
export async function startDevStack(
  loaded: Loaded,
  options: DevStackOptions,
  logger: Logger,
  steps: Steps,
): Promise<DevStack> {
  const cleanUps: (() => unknown)[] = [];
  const close = async (): Promise<void> => {
    for (let cleanUp = cleanUps.pop(); cleanUp !== undefined; cleanUp = cleanUps.pop()) {
      await cleanUp();
    }
  };
  try {
    const serviceUrl = options.to ?? (await startService(steps, cleanUps));
    const folder = await steps.take("make a temporary folder", () =>
      mkdtemp(join(tmpdir(), "hawser-dev-")),
    );
    cleanUps.push(() => rm(folder, { recursive: true, force: true }));
    const notes: string[] = [];
    const ports = await steps.take("find free ports", () => portsFor(loaded, notes));
    const baseUrl = `http://${LOOPBACK}:${ports.apiPort}`;
    const { publicClient } = options;
    const idp = await steps.take(
      "start the demo identity provider",
      () => startDemoIdp({ publicBaseUrl: baseUrl, publicClient }),
      ({ issuer }) => issuer,
    );
    cleanUps.push(() => idp.close());
    const servers = await steps.take(
      "start the API server and the relay",
      () => startServers({ ...loaded.values, ...ports }, { baseUrl, folder, idp }, logger),
      () => baseUrl,
    );
    cleanUps.push(() => servers.close());
    return {
      baseUrl,
      edgeUrl: `http://${LOOPBACK}:${servers.relay.port}`,
      serviceUrl,
      folder,
      idp,
      servers,
      notes,
      onClose: (cleanUp) => cleanUps.push(cleanUp),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

async function startService(steps: Steps, cleanUps: (() => unknown)[]): Promise<string> {
  const service = await steps.take("start the demo service", startDemoService, ({ url }) => url);
  cleanUps.push(() => service.close());
  return service.url;
}

interface Made {
  readonly baseUrl: string;
  readonly folder: string;
  readonly idp: DemoIdp;
}

function startServers(values: Values, made: Made, logger: Logger): Promise<BothServers> {
  const { baseUrl, folder, idp } = made;
  const internalSecret = randomBytes(32).toString("base64url");
  const dev: Values = {
    ...values,
    apiHost: LOOPBACK,
    apiInternalHost: LOOPBACK,
    listenHost: LOOPBACK,
    internalHost: LOOPBACK,
    publicBaseUrl: baseUrl,
    dataDir: folder,
    sessionSecrets: newKeyRing(),
    tokenEncKeys: newKeyRing(),
    oidcIssuer: idp.issuer,
    oidcClientId: idp.clientId,
    oidcClientAuth: idp.clientSecret === null ? "none" : "client_secret_basic",
    oidcClientSecret: idp.clientSecret,
    oidcAllowInsecure: true,
  };
  return startBothServers(dev, { internalSecret, environment: {}, logger });
}

/** The ports that are set; free ones for those that are 0, and with a note where the default one is taken. */
async function portsFor(loaded: Loaded, notes: string[]): Promise<Record<PortName, number>> {
  const portFor = async (name: PortName): Promise<number> => {
    const port = loaded.values[name];
    // Nobody needs to know it before it listens.
    if (port === 0 && name === "apiInternalPort") return 0;
    if (port === 0) return await freePort();
    if (loaded.origins.get(name) !== "default" || (await isFree(port))) return port;
    const other = await freePort();
    notes.push(`Port ${port} is taken; using ${other}.`);
    return other;
  };
  return {
    apiPort: await portFor("apiPort"),
    apiInternalPort: await portFor("apiInternalPort"),
    listenPort: await portFor("listenPort"),
    internalPort: await portFor("internalPort"),
  };
}
