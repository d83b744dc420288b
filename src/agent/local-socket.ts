import { connect as connectTcp, isIP, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { TargetSettings } from "./options.ts";

/** The address form of a target. */
export type LocalAddress = Extract<TargetSettings, { kind: "address" }>;

/** Both ends go by themselves, and at most one chunk is read ahead while paused: a read that fails drops what is. */
const SOCKET_OPTIONS = { allowHalfOpen: true, highWaterMark: 1, readableHighWaterMark: 1 };

/** Codes of a write that finds the connection reset, and so over in both directions. */
const RESET_CODES: ReadonlySet<string> = new Set(["EPIPE", "ECONNRESET"]);

type Done = (error?: Error | null) => void;

/**
 * Opens a connection to the local service that outlives a write which finds it reset. Node ends a socket at such a
 * write, and with it goes what the service said before and nobody has read yet: its answer. Here the write and all
 * after it are dropped, and `end` or `error` comes when everything is read.
 *
 * @param onReset told once, within a write or later. `EPIPE`: the service had ended its side before the reset, so that
 *   what it said is whole. `ECONNRESET`: it had not.
 */
export function openSocket(
  { host, port, tls, ca }: LocalAddress,
  onReset: (code: string) => void,
): Socket {
  const socket = tls
    ? connectTls({
        host,
        port,
        ...SOCKET_OPTIONS,
        ALPNProtocols: ["http/1.1"],
        ...(isIP(host) === 0 ? { servername: host } : {}),
        ...(ca === null ? {} : { ca }),
      })
    : connectTcp({ host, port, ...SOCKET_OPTIONS });
  outliveResets(socket, onReset);
  return socket;
}

/**
 * Resets a connection that is up, so that the service learns at once that nobody listens any more.
 *
 * While the shutdown behind an `end()` is under way the system call is refused, and Node (20 to 24) then takes the
 * socket for closed without closing it: the descriptor stays open, `close` never comes, and the process spins for ever
 * at its exit. The shutdown needs one turn of the loop, and the reset waits for it.
 */
export function resetSocket(socket: Socket): void {
  // A shutdown begins when everything is written; before that, a reset drops what is left and goes at once.
  const isShutting =
    socket.writableEnded && !socket.writableFinished && socket.writableLength === 0;
  if (isShutting) socket.once("finish", () => socket.resetAndDestroy());
  else socket.resetAndDestroy();
}

function outliveResets(socket: Socket, onReset: (code: string) => void): void {
  const write = socket._write.bind(socket);
  const writeAll = socket._writev?.bind(socket);
  let isReset = false;

  function guard(done: Done): Done {
    return (error) => {
      const code = error != null && "code" in error ? String(error.code) : "";
      if (!RESET_CODES.has(code)) {
        done(error);
        return;
      }
      if (!isReset) {
        isReset = true;
        onReset(code);
      }
      done();
    };
  }
  socket._write = (chunk: unknown, encoding, done) => {
    if (isReset) done();
    else write(chunk, encoding, guard(done));
  };
  if (writeAll === undefined) return;
  socket._writev = (chunks, done) => {
    if (isReset) done();
    else writeAll(chunks, guard(done));
  };
}
