import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { JWK } from "jose";
import { type Child, startChild } from "../../../bench/support/child.ts";
import { accepting } from "../../../bench/support/relays.ts";
import {
  newSigningKey,
  openSessionStore,
  openTokenStore,
  writeUnsignedJwt,
} from "../../../src/access-proxy/index.ts";
import { sessionKey } from "../../../src/access-proxy/session-key.ts";
import { lendPort } from "../ports.ts";
import { hawserMain } from "../process/hawser.ts";

/** The TA that calls. */
const SELF_ID = "https://from.example";
/** Account tag and token tag of the one user. */
const PRINCIPAL = { tag: "me", atTag: "tag-1" };
const HOUR_MS = 3_600_000;

/** `X-Access-Proxy-Users` of a call for the one user. */
export const USERS = writeUnsignedJwt({ [PRINCIPAL.tag]: { at_tag: PRINCIPAL.atTag } });

/** How {@link startProxyProcess} starts. */
export interface ProxyProcessOptions {
  /** An empty folder for files, database and log; the caller's to remove. */
  readonly folder: string;
  /** The one destination, plain HTTP and on the loopback: its own TA id, too. */
  readonly origin: string;
  /** Whether there is a session for the one user, good for an hour. */
  readonly hasSession: boolean;
  /** Who issued the user's token, and what it is asked with; absent where no call needs it. */
  readonly idp?: { readonly issuer: string; readonly endpoint: string; readonly publicJwk: JWK };
  /** Variables beside those of this process. */
  readonly environment?: NodeJS.ProcessEnv;
}

/** `hawser access-proxy` in a process of its own, as it is in production: its log is a file, at level `info`. */
export interface ProxyProcess {
  readonly port: number;
  readonly pid: number;
  readonly logFile: string;
  /** The most memory that was resident so far, in bytes. @see proc(5), VmHWM */
  peakBytes(): number;
  stop(): Promise<void>;
}

/** Puts the user's token and session where the process finds them. */
async function fillStores(data: string, options: ProxyProcessOptions): Promise<void> {
  const { origin, hasSession, idp } = options;
  const expiresAt = Date.now() + HOUR_MS;
  if (idp !== undefined) {
    const tokens = await openTokenStore(data);
    const { issuer } = idp;
    await tokens.putToken("", { token: "access-token", tag: PRINCIPAL.atTag, issuer, expiresAt });
    tokens.close();
  }
  if (!hasSession) return;
  const sessions = await openSessionStore(data);
  const key = sessionKey({
    selfId: SELF_ID,
    callerScope: "",
    toTaId: origin,
    targetOrigin: origin,
    accounts: { principal: PRINCIPAL, related: [] },
  });
  await sessions.save(key, { id: "abcdefghijklmnopqrstuvwxyz0123", expiresAt }, expiresAt);
  sessions.close();
}

/** Starts it and waits until it accepts connections. @throws Error when it does not */
export async function startProxyProcess(options: ProxyProcessOptions): Promise<ProxyProcess> {
  const { folder, origin, idp } = options;
  // The folders of settings are watched: what is written all the time lies elsewhere.
  const [data, keys, settings, temporary] = ["data", "keys", "settings", "temporary"].map(
    (name) => {
      const path = join(folder, name);
      mkdirSync(path, { mode: 0o700 });
      return path;
    },
  ) as [string, string, string, string];
  const json = (place: string, name: string, value: unknown): string => {
    const path = join(place, name);
    writeFileSync(path, JSON.stringify(value), { mode: 0o600 });
    return path;
  };
  const { privateJwk } = await newSigningKey("ES256", null);
  json(keys, "own.json", privateJwk);
  const known = {
    issuer: idp?.issuer ?? "https://idp.example",
    cooperation_from_endpoint: idp?.endpoint ?? "https://idp.example/coop/from",
    ...(idp === undefined ? {} : { jwks: [idp.publicJwk] }),
  };
  const destination = { origin, allowHttp: true, allowPrivate: true };
  await fillStores(data, options);
  const port = await lendPort();
  const logFile = join(folder, "log");
  const child: Child = startChild({
    name: "access-proxy",
    command: process.execPath,
    args: [
      ...[hawserMain(), "access-proxy", "--self-id", SELF_ID, "--sig-alg", "ES256"],
      ...["--signing-keys", keys, "--data-dir", data, "--temp-dir", temporary],
      ...["--idps", json(settings, "idps.json", [known])],
      ...["--destinations", json(settings, "destinations.json", [destination])],
      ...["--listen-port", String(port), "--internal-port", String(await lendPort())],
    ],
    outputFile: logFile,
    endBy: "signal",
    environment: options.environment ?? {},
  });
  await accepting(child, "access-proxy", port);
  return {
    port,
    pid: child.pid,
    logFile,
    peakBytes() {
      const status = readFileSync(`/proc/${child.pid}/status`, "latin1");
      return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1] ?? Number.NaN) * 1_024;
    },
    stop: () => child.stop(),
  };
}
