import type { Logger } from "pino";
import type { ApiApp } from "../api/index.ts";
import { type Environment, relayOptions, type Values } from "../config/index.ts";
import type { LineSink } from "../core/ascii-lines.ts";
import { type Relay, startRelay } from "../relay/index.ts";
import { apiSetup, dialable, startOwnApi } from "./api-config.ts";
import { freePort } from "./free-ports.ts";
import { openGate } from "./relay-gate.ts";

/** An API server and a relay in this process, which know each other over HTTP alone. */
export interface BothServers {
  readonly api: ApiApp;
  readonly relay: Relay;
  /** Lets running requests of both finish, then ends them. */
  stop(): Promise<void>;
  /** Ends both at once. Idempotent. */
  close(): Promise<void>;
  /** Reads certificates again, and opens the audit log anew. */
  reload(): void;
}

/** What both are started with, besides checked settings. */
export interface BothParts {
  readonly internalSecret: string;
  readonly environment: Environment;
  readonly logger: Logger;
  /** Where the relay's access lines go. */
  readonly accessLines?: LineSink;
}

/**
 * Starts the API server, then the relay that asks it.
 *
 * @param given checked settings; ports that are 0 are picked where the other server must know them
 * @throws ConfigError; nothing is left running then
 */
export async function startBothServers(given: Values, parts: BothParts): Promise<BothServers> {
  const values = await withKnownPorts(given);
  const { internalSecret, environment, logger } = parts;
  const relayUrl = `http://${dialable(values.internalHost)}:${values.internalPort}`;
  const { options, warnings } = apiSetup(values, {
    internalSecret,
    relayUrl,
    relay: { port: values.listenPort, tls: values.tlsCert !== null },
    makeRings: true,
    environment,
  });
  for (const warning of warnings) logger.warn(warning);
  const api = await startOwnApi(options, logger);
  try {
    const relay = await startOwnRelay(values, api, parts);
    return {
      api,
      relay: relay.relay,
      stop: async () => {
        await Promise.all([api.stopPublic(), relay.relay.drain()]);
        // The relay tells how its tunnels ended: somebody must be there to write it down.
        await relay.close();
        await api.stop();
      },
      close: async () => {
        await relay.close();
        await api.close();
      },
      reload: () => {
        api.reload();
        relay.relay.reloadTls();
      },
    };
  } catch (error) {
    await api.close();
    throw error;
  }
}

/** The relay's ports stand in what the API server is told, before the relay listens. */
async function withKnownPorts(values: Values): Promise<Values> {
  const internalPort = values.internalPort === 0 ? await freePort() : values.internalPort;
  const listenPort = values.listenPort === 0 ? await freePort() : values.listenPort;
  return { ...values, internalPort, listenPort };
}

interface OwnRelay {
  readonly relay: Relay;
  close(): Promise<void>;
}

async function startOwnRelay(values: Values, api: ApiApp, parts: BothParts): Promise<OwnRelay> {
  const { internalSecret, logger, accessLines } = parts;
  const url = `http://${dialable(values.apiInternalHost)}:${api.internalPort}`;
  const gate = await openGate({ ...values, api: url, credentials: null }, internalSecret, logger);
  try {
    const relay = await startRelay(relayOptions(values, internalSecret), {
      ...gate.gates,
      logger,
      ...(accessLines === undefined ? {} : { accessLines }),
    });
    gate.attach(relay);
    return {
      relay,
      close: async () => {
        await relay.close();
        await gate.close();
      },
    };
  } catch (error) {
    await gate.close();
    throw error;
  }
}
