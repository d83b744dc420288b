import type { TemplatedApp, us_listen_socket } from "uWebSockets.js";
import { createServer } from "node:net";
import { ConfigError } from "../core/errors.ts";
import { type ListenAddress, listenProblem } from "../core/listen-problem.ts";
import type { Uws } from "./uws.ts";

/** Where a listener listens, and by which settings its problems are told. */
export interface ListenerOptions extends ListenAddress {
  /** PEM files; null for plain HTTP. */
  readonly tls: { readonly certFile: string; readonly keyFile: string } | null;
  /** Registers the routes. Called again for each new certificate. */
  readonly routes: (app: TemplatedApp) => void;
}

/** Tries of port 0, where another process may take the port between our finding and taking it. */
const PORT_TRIES = 8;
const LISTEN_RETRY_MS = 100;
/** `ListenOptions.LIBUS_LISTEN_EXCLUSIVE_PORT`: without it uWS sets `SO_REUSEPORT`. */
const EXCLUSIVE_PORT = 1;

/**
 * Asks the system whether the address can be listened on, and for a free port if `port` is 0. uWS tells no reason
 * when it fails.
 */
function probe(options: ListenerOptions): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", (error: NodeJS.ErrnoException) => {
      reject(listenProblem(options, error.code ?? "unknown error"));
    });
    server.listen({ host: options.host, port: options.port, exclusive: true }, () => {
      const address = server.address();
      const port = typeof address === "object" && address !== null ? address.port : options.port;
      server.close(() => resolve(port));
    });
  });
}

/**
 * One listening port with its uWS app, plain or TLS.
 *
 * The port is held exclusively: uWS would otherwise share it with any other process of the same user, and a second
 * relay started by mistake would take half of the connections.
 */
export class Listener {
  readonly #uws: Uws;
  readonly #options: ListenerOptions;
  #app: TemplatedApp;
  #socket: us_listen_socket | null = null;
  /** Apps of former certificates, whose connections live on. */
  readonly #formerApps: TemplatedApp[] = [];
  #port = 0;
  #closed = false;
  #paused = false;

  private constructor(uws: Uws, options: ListenerOptions) {
    this.#uws = uws;
    this.#options = options;
    this.#app = this.#makeApp();
  }

  /**
   * Opens a listener.
   *
   * @throws ConfigError that names the setting: a taken port, a foreign address, a bad certificate
   */
  static async open(uws: Uws, options: ListenerOptions): Promise<Listener> {
    const listener = new Listener(uws, options);
    for (let tries = 1; ; tries++) {
      const port = await probe(options);
      if (listener.#listen(port)) {
        listener.#port = port;
        return listener;
      }
      if (options.port !== 0 || tries === PORT_TRIES) throw listenProblem(options, "EADDRINUSE");
    }
  }

  /** The port, also where 0 was asked for. */
  get port(): number {
    return this.#port;
  }

  /**
   * Reads the certificate and key again. New connections get the new ones; those that are open stay as they are.
   * Files that cannot be used change nothing.
   *
   * A connection that is being made in the instant of the change may be reset; whoever dials dials again.
   *
   * @param onRetry told when the port could not be taken again at once; it is tried until it can
   * @throws ConfigError when the files cannot be used
   */
  reloadTls(onRetry: () => void): void {
    if (this.#options.tls === null || this.#closed) return;
    const app = this.#makeApp();
    // What the kernel has already accepted is taken by the poll phase that precedes; then nothing waits in the queue.
    setImmediate(() => this.#swap(app, onRetry));
  }

  /** Takes no new connections: they are refused. Those that are open stay. */
  pause(): void {
    this.#paused = true;
    this.#stopListening();
  }

  /**
   * Takes connections again.
   *
   * @param onRetry told when the port could not be taken again at once; it is tried until it can
   */
  resume(onRetry: () => void): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#listenAgain(onRetry);
  }

  /** Stops listening and closes every connection at once. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#stopListening();
    this.#app.close();
    for (const app of this.#formerApps) app.close();
  }

  #swap(app: TemplatedApp, onRetry: () => void): void {
    if (this.#closed) {
      app.close();
      return;
    }
    this.#stopListening();
    this.#formerApps.push(this.#app);
    this.#app = app;
    this.#listenAgain(onRetry);
  }

  /** Only another process that takes the port within the same instant can be in the way. */
  #listenAgain(onRetry: () => void): void {
    if (this.#closed || this.#paused || this.#socket !== null) return;
    if (this.#listen(this.#port)) return;
    onRetry();
    setTimeout(() => this.#listenAgain(onRetry), LISTEN_RETRY_MS).unref();
  }

  #stopListening(): void {
    if (this.#socket === null) return;
    this.#uws.us_listen_socket_close(this.#socket);
    this.#socket = null;
  }

  /** uWS listens within the call. */
  #listen(port: number): boolean {
    const app: ListenExclusive = this.#app as unknown as ListenExclusive;
    let opened = false;
    app.listen(this.#options.host, port, EXCLUSIVE_PORT, (socket) => {
      if (socket === false) return;
      this.#socket = socket;
      opened = true;
    });
    return opened;
  }

  #makeApp(): TemplatedApp {
    const { tls, routes } = this.#options;
    let app: TemplatedApp;
    if (tls === null) {
      app = this.#uws.App();
    } else {
      try {
        app = this.#uws.SSLApp({ cert_file_name: tls.certFile, key_file_name: tls.keyFile });
      } catch {
        throw new ConfigError([
          {
            setting: "tlsCertFile",
            problem: "the certificate and the key cannot be used: missing, not PEM, or no pair",
          },
        ]);
      }
    }
    routes(app);
    return app;
  }
}

/** The form of `listen` with host and options, which the package's types leave out. */
interface ListenExclusive {
  listen(
    host: string,
    port: number,
    options: number,
    done: (socket: us_listen_socket | false) => void,
  ): void;
}
