import { lstatSync, unlinkSync } from "node:fs";
import { connect, type Server } from "node:net";
import { ConfigError } from "../core/errors.ts";
import { type ListenAddress, listenProblem } from "../core/listen-problem.ts";

/** Waits until a server listens, by whatever `begin` does. @throws the error of the system */
function listening(server: Server, begin: () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const onError = (error: Error): void => reject(error);
    server.once("error", onError);
    server.once("listening", () => {
      server.off("error", onError);
      resolve();
    });
    begin();
  });
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "unknown reason";
}

/**
 * Listens on a TCP port.
 *
 * @returns the port
 * @throws ConfigError by the names of the two settings
 */
export async function listenOnPort(server: Server, address: ListenAddress): Promise<number> {
  const { host, port } = address;
  try {
    await listening(server, () => server.listen(port, host));
  } catch (error) {
    throw listenProblem(address, codeOf(error));
  }
  const bound = server.address();
  return typeof bound === "object" && bound !== null ? bound.port : port;
}

/** Whether somebody answers at a socket. */
function isServed(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", (error) => resolve(codeOf(error) !== "ECONNREFUSED"));
  });
}

/** Takes away what a process that was killed has left; anything else stays, and listening fails. */
async function removeStale(path: string): Promise<void> {
  const isSocket = lstatSync(path, { throwIfNoEntry: false })?.isSocket() ?? false;
  if (isSocket && !(await isServed(path))) unlinkSync(path);
}

/**
 * Listens on a Unix socket that its owner alone may open: mode 0600 from its first moment.
 *
 * @throws ConfigError for `setting`
 */
export async function listenOnSocket(server: Server, path: string, setting: string): Promise<void> {
  try {
    await removeStale(path);
    const mask = process.umask(0o177);
    try {
      await listening(server, () => {
        // The socket is made before this returns.
        server.listen(path);
        process.umask(mask);
      });
    } finally {
      process.umask(mask);
    }
  } catch (error) {
    const code = codeOf(error);
    const problem =
      code === "EADDRINUSE"
        ? `${path} is there already, and is served or is no socket`
        : `cannot listen on ${path} (${code})`;
    throw new ConfigError([{ setting, problem }]);
  }
}
