import type { Server, ServerResponse } from "node:http";
import type { Logger } from "pino";
import type { LineSink } from "../core/ascii-lines.ts";
import { SlotList } from "../core/slot-list.ts";
import { type CallLog, LineCallLog } from "./call-log.ts";
import { type CallerAuth, localCallers, namingUs, unixSocketCallers } from "./callers.ts";
import type { DestinationPolicy } from "./destinations.ts";
import { AccessProxy } from "./handler.ts";
import { internalServer } from "./internal-server.ts";
import { listenOnPort, listenOnSocket } from "./listen.ts";
import { AccessProxyMetrics } from "./metrics.ts";
import type { AccessProxyOptions } from "./options.ts";
import { accessProxyServer } from "./server.ts";
import {
  CallersFile,
  DestinationsFile,
  IdpsFile,
  KeysFolder,
  openSessionStore,
  openTokenStore,
  type SqliteSessions,
  type SqliteTokens,
  type Watched,
} from "./stores/index.ts";

/** Everything that an access proxy with stores and listeners is told. Times in milliseconds. */
export interface AccessProxyAppOptions {
  readonly proxy: Omit<AccessProxyOptions, "destinationPolicy">;
  readonly listenHost: string;
  readonly listenPort: number;
  /** A Unix socket in place of host and port; null for those. */
  readonly listenSocket: string | null;
  /** Values of `Host` that callers over TCP may say beside those of the listener itself, in lower case. */
  readonly hosts: readonly string[];
  readonly pathProx: string;
  readonly pathOk: string;
  readonly internalHost: string;
  readonly internalPort: number;
  readonly internalSecret: string;
  readonly signingKeys: string;
  readonly idps: string;
  /** Null for no destination at all, unless any is allowed. */
  readonly destinations: string | null;
  readonly allowAnyDestination: boolean;
  /** Null trusts whoever is on this host. */
  readonly callers: string | null;
  /** Folder of database and key. */
  readonly folder: string;
  readonly sessionsMax: number;
  readonly tokensMax: number;
  /** How long a stop waits for running calls. */
  readonly drainMs: number;
}

/** An access proxy that listens. */
export interface AccessProxyApp {
  /** Of the listener for calls; 0 for a Unix socket. */
  readonly port: number;
  readonly internalPort: number;
  /** Takes no new connections, lets running calls finish, and ends. */
  stop(): Promise<void>;
  /** Ends at once. Idempotent. */
  close(): Promise<void>;
  /** Looks at all watched files now. */
  reload(): void;
}

const SWEEP_EVERY_MS = 600_000;
/** What the last answers need to leave, once all calls are over. */
const FLUSH_MS = 200;

/** The stores, open. */
interface Stores {
  readonly keys: KeysFolder;
  readonly idps: IdpsFile;
  readonly destinations: DestinationsFile | null;
  readonly callers: CallersFile | null;
  readonly tokens: SqliteTokens;
  readonly sessions: SqliteSessions;
}

/** Opens one thing after the other; where one fails, those before it are closed again. */
async function openStores(
  options: AccessProxyAppOptions,
  logger: Logger,
  closing: (() => void)[],
): Promise<Stores> {
  const { proxy, folder, destinations, callers } = options;
  const watched = <T extends { readonly file: Watched<unknown> }>(store: T): T => {
    closing.push(() => store.file.close());
    return store;
  };
  const keys = await KeysFolder.open(options.signingKeys, logger, proxy);
  closing.push(() => keys.folder.close());
  const idps = watched(await IdpsFile.open(options.idps, logger));
  const hasEdge = proxy.edge !== null;
  const allowed =
    destinations === null
      ? null
      : watched(await DestinationsFile.open(destinations, logger, { hasEdge }));
  const known = callers === null ? null : watched(await CallersFile.open(callers, logger));
  const tokens = await openTokenStore(folder, { tokensMax: options.tokensMax });
  closing.push(() => tokens.close());
  const sessions = await openSessionStore(folder, { sessionsMax: options.sessionsMax });
  closing.push(() => sessions.close());
  return { keys, idps, destinations: allowed, callers: known, tokens, sessions };
}

/** What an operator should know, in sentences. */
function warningsOf(options: AccessProxyAppOptions, stores: Stores): string[] {
  const warnings = stores.keys.openFiles.map(
    (path) => `Other users can open ${path}; its mode should be 0600.`,
  );
  if (options.allowAnyDestination) {
    warnings.push(
      "Any destination is allowed: whoever may call can reach every address from here.",
    );
  } else if ((stores.destinations?.destinations.length ?? 0) === 0) {
    warnings.push("No destination is allowed: every call will be refused.");
  }
  const { verifyCodeTokens } = options.proxy;
  if (!verifyCodeTokens) warnings.push("Signatures of code tokens are not checked.");
  else if (stores.idps.unchecked.length > 0) {
    const names = stores.idps.unchecked.join(", ");
    warnings.push(`Signatures of code tokens are not checked for want of keys: ${names}.`);
  }
  return warnings;
}

/** Names by which callers may know a listener on this port. */
function addOwnHosts(hosts: Set<string>, listenHost: string, port: number): void {
  const own = listenHost.includes(":") ? `[${listenHost}]` : listenHost;
  for (const name of [own, "127.0.0.1", "localhost", "[::1]"]) {
    hosts.add(`${name}:${port}`);
    if (port === 80) hosts.add(name);
  }
}

/** What an access proxy is started with beside its options. */
export interface AccessProxyAppDeps {
  readonly logger: Logger;
  /** Where access lines go, as bytes and in blocks, in the logger's shape; default the logger, line by line. */
  readonly accessLines?: LineSink;
}

/**
 * Starts an access proxy: opens its stores, and listens.
 *
 * @throws ConfigError with the problems of files and folders, and by the names of settings for what cannot be listened on
 */
export async function startAccessProxy(
  options: AccessProxyAppOptions,
  { logger, accessLines }: AccessProxyAppDeps,
): Promise<AccessProxyApp> {
  const closing: (() => void)[] = [];
  try {
    const stores = await openStores(options, logger, closing);
    for (const sentence of warningsOf(options, stores)) logger.warn(sentence);
    const callLog = accessLines === undefined ? null : new LineCallLog(accessLines, logger);
    if (callLog !== null) closing.push(() => callLog.close());
    const app = new App(options, stores, { logger, callLog }, closing);
    await app.listen();
    return app;
  } catch (error) {
    for (const close of closing.reverse()) close();
    throw error;
  }
}

class App implements AccessProxyApp {
  readonly #options: AccessProxyAppOptions;
  readonly #stores: Stores;
  readonly #logger: Logger;
  readonly #closing: readonly (() => void)[];
  readonly #metrics: AccessProxyMetrics;
  readonly #proxy: AccessProxy;
  readonly #server: Server;
  readonly #internal: Server;
  readonly #hosts: Set<string>;
  readonly #running = new SlotList<ServerResponse>();
  readonly #sweep: NodeJS.Timeout;
  #lastEnded: () => void = () => {};
  #stopped: Promise<void> | null = null;
  #closed: Promise<void> | null = null;
  port = 0;
  internalPort = 0;

  constructor(
    options: AccessProxyAppOptions,
    stores: Stores,
    { logger, callLog }: { readonly logger: Logger; readonly callLog: CallLog | null },
    closing: readonly (() => void)[],
  ) {
    this.#options = options;
    this.#stores = stores;
    this.#logger = logger;
    this.#closing = closing;
    this.#hosts = new Set(options.hosts);
    this.#metrics = new AccessProxyMetrics({
      runningCalls: () => this.#running.size,
      storedSessions: () => stores.sessions.count,
    });
    const { keys, idps, tokens, sessions } = stores;
    this.#proxy = new AccessProxy(
      { ...options.proxy, destinationPolicy: this.#destinations() },
      {
        keys,
        idps,
        tokens,
        sessions,
        callers: this.#callers(),
        logger,
        observer: this.#metrics,
        ...(callLog === null ? {} : { callLog }),
      },
    );
    this.#server = accessProxyServer(this.#proxy, options);
    this.#server.prependListener("request", (_request, answer) => this.#began(answer));
    this.#internal = internalServer({
      secret: options.internalSecret,
      isReady: () => this.#stopped === null,
      metrics: () => this.#metrics.render(),
      metricsType: this.#metrics.mediaType,
    });
    this.#sweep = setInterval(() => void this.#sweepStores(), SWEEP_EVERY_MS);
    this.#sweep.unref();
    for (const [what, { watched }] of this.#files()) {
      watched.on("rejected", () => this.#metrics.changeRejected(what));
    }
  }

  async listen(): Promise<void> {
    const { listenHost, listenPort, listenSocket, internalHost, internalPort } = this.#options;
    try {
      this.internalPort = await listenOnPort(this.#internal, {
        host: internalHost,
        port: internalPort,
        hostSetting: "internalHost",
        portSetting: "internalPort",
      });
      if (listenSocket === null) {
        this.port = await listenOnPort(this.#server, {
          host: listenHost,
          port: listenPort,
          hostSetting: "listenHost",
          portSetting: "listenPort",
        });
        addOwnHosts(this.#hosts, listenHost, this.port);
      } else await listenOnSocket(this.#server, listenSocket, "listenSocket");
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#drain();
    return this.#stopped;
  }

  close(): Promise<void> {
    this.#closed ??= this.#end();
    return this.#closed;
  }

  reload(): void {
    for (const [, { watched }] of this.#files()) void watched.refresh();
  }

  #files(): [string, { readonly watched: Watched<unknown> }][] {
    const { keys, idps, destinations, callers } = this.#stores;
    const files: [string, { readonly watched: Watched<unknown> }][] = [
      ["keys", { watched: keys.folder }],
      ["idps", { watched: idps.file }],
    ];
    if (destinations !== null) files.push(["destinations", { watched: destinations.file }]);
    if (callers !== null) files.push(["callers", { watched: callers.file }]);
    return files;
  }

  #destinations(): DestinationPolicy {
    const listed = this.#stores.destinations;
    const { allowAnyDestination: allowAny } = this.#options;
    return {
      allowAny,
      get destinations() {
        return listed?.destinations ?? [];
      },
    };
  }

  #callers(): CallerAuth {
    const { callers } = this.#stores;
    // No browser opens a Unix socket: there is no name to be led astray by.
    if (this.#options.listenSocket !== null) return callers ?? unixSocketCallers;
    return namingUs(this.#hosts, callers ?? localCallers);
  }

  #began(answer: ServerResponse): void {
    const slot = this.#running.add(answer);
    if (this.#stopped !== null) answer.shouldKeepAlive = false;
    answer.once("close", () => {
      this.#running.remove(slot);
      if (this.#stopped === null) return;
      // Its connection is idle once this turn is over.
      setImmediate(() => this.#server.closeIdleConnections());
      if (this.#running.size === 0) this.#lastEnded();
    });
  }

  async #drain(): Promise<void> {
    const isOver = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const answer of this.#running) if (!answer.headersSent) answer.shouldKeepAlive = false;
    this.#server.closeIdleConnections();
    const running = this.#running.size;
    if (running > 0) this.#logger.info({ running }, "waiting for running calls");
    let timer: NodeJS.Timeout | undefined;
    const limit = new Promise<void>((resolve) => {
      const endIn = (ms: number): void => {
        clearTimeout(timer);
        timer = setTimeout(resolve, ms);
      };
      endIn(this.#options.drainMs);
      // What is left are connections on which nothing was asked.
      this.#lastEnded = () => endIn(FLUSH_MS);
      if (running === 0) this.#lastEnded();
    });
    await Promise.race([isOver, limit]);
    clearTimeout(timer);
    if (this.#running.size > 0) {
      this.#logger.warn({ running: this.#running.size }, "calls are broken off");
    }
    await this.close();
  }

  async #end(): Promise<void> {
    this.#stopped ??= Promise.resolve();
    clearInterval(this.#sweep);
    for (const server of [this.#server, this.#internal]) {
      server.close();
      server.closeAllConnections();
    }
    await this.#proxy.close();
    for (const close of [...this.#closing].reverse()) close();
  }

  async #sweepStores(): Promise<void> {
    try {
      await this.#stores.tokens.sweep();
      await this.#stores.sessions.sweep();
    } catch (error) {
      this.#logger.warn({ err: error }, "stores cannot be swept");
    }
  }
}
